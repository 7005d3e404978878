// Package console is what lockstep shows to people: the log, the live line of a
// terminal, and the words to the service manager.
//
// Trust: linked into the supervisor. Lines of confined programs are hostile
// bytes, and pass through Lines, which is small, bounded and fuzzed.
//
// Rules of the user interface: results go to standard output, all else to
// standard error; a message starts with a small letter, has no full stop, and
// tells the thing, the reason and what to do; one record is one line; nothing
// that reaches a terminal holds a control character of a foreign hand.
//
// Invariant: one Screen writes to one output under one lock; the live line is
// erased before a record and drawn again after it.
package console

import (
	"io"
	"os"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// Screen is an output that may have a live line at its end.
type Screen struct {
	terminal bool
	width    func() int

	mu   sync.Mutex
	out  io.Writer // guarded by mu
	line string    // guarded by mu: what the live line shows, "" for none
}

// NewScreen returns a screen on f; with a live line when f is a terminal.
func NewScreen(f *os.File) *Screen {
	fd := int(f.Fd())
	dumb := os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == ""
	return &Screen{out: f, terminal: term.IsTerminal(fd) && !dumb, width: func() int {
		w, _, err := term.GetSize(fd)
		if err != nil || w < 20 {
			return 80
		}
		return w
	}}
}

// Terminal says that there is a live line.
func (s *Screen) Terminal() bool { return s.terminal }

// erase moves to the line's start and clears it.
const erase = "\r\x1b[K"

// Write prints one or more whole lines above the live line.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.out.Write(p)
	}
	buf := make([]byte, 0, len(p)+len(s.line)+2*len(erase))
	buf = append(buf, erase...)
	buf = append(buf, p...)
	buf = append(buf, s.line...)
	if _, err := s.out.Write(buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetLine draws the live line; "" erases it. Without a terminal it does nothing.
func (s *Screen) SetLine(line string) error {
	if !s.terminal {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line = cut(line, s.width()-1)
	if line == s.line {
		return nil
	}
	s.line = line
	_, err := io.WriteString(s.out, erase+line)
	return err
}

// cut shortens s to n characters, so that it never wraps: a wrapped line could
// not be erased.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	runes := []rune(s)
	return string(runes[:n-1]) + "…"
}
