package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// Limits of what a confined program can make the log say.
const (
	maxLine   = 4 << 10 // bytes of one line, before escaping
	burst     = 200     // lines at once
	perSecond = 20      // lines a second in the long run
)

// Lines turns the bytes that a confined program writes into records: one line,
// one record. Not for use by two goroutines at once.
type Lines struct {
	emit      func(level slog.Level, text string)
	now       func() time.Time
	unlimited bool

	buf     []byte
	cut     bool // the rest of this line is thrown away
	tokens  float64
	last    time.Time
	dropped int
}

// NewLines sends records to log under a role.
func NewLines(log *slog.Logger, role string) *Lines {
	log = log.With(RoleKey, role)
	return newLines(func(level slog.Level, text string) {
		log.Log(context.Background(), level, text)
	}, time.Now, false)
}

// NewLinesTo sends records to emit, without a limit of lines a second: for
// output that a person asked for.
func NewLinesTo(emit func(level slog.Level, text string)) *Lines {
	return newLines(emit, time.Now, true)
}

func newLines(emit func(slog.Level, string), now func() time.Time, unlimited bool) *Lines {
	return &Lines{emit: emit, now: now, unlimited: unlimited, tokens: burst, last: now(), buf: make([]byte, 0, maxLine)}
}

// Write takes bytes; whole lines among them become records. It never fails.
func (l *Lines) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			l.end()
		case len(l.buf) < maxLine:
			l.buf = append(l.buf, c)
		default:
			l.cut = true
		}
	}
	return len(p), nil
}

// Close records an unfinished line and how many were dropped.
func (l *Lines) Close() error {
	if len(l.buf) > 0 || l.cut {
		l.end()
	}
	l.tellDropped()
	return nil
}

// end records the line that is complete now.
func (l *Lines) end() {
	line, wasCut := l.buf, l.cut
	l.buf, l.cut = l.buf[:0], false
	if len(line) == 0 {
		return
	}
	if !l.allowed() {
		l.dropped++
		return
	}
	l.tellDropped()
	level, line := priority(line)
	text := clean(string(line))
	if wasCut {
		text += " […line cut]"
	}
	l.emit(level, text)
}

// allowed takes a token: burst at once, perSecond in the long run.
func (l *Lines) allowed() bool {
	if l.unlimited {
		return true
	}
	now := l.now()
	if passed := now.Sub(l.last).Seconds(); passed > 0 {
		l.tokens = min(burst, l.tokens+passed*perSecond)
		l.last = now
	}
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

func (l *Lines) tellDropped() {
	if l.dropped == 0 {
		return
	}
	n := l.dropped
	l.dropped = 0
	l.emit(slog.LevelWarn, fmt.Sprintf("%d lines dropped: more than %d a second", n, perSecond))
}

// priority reads the <N> of sd-daemon(3) at a line's start.
func priority(line []byte) (slog.Level, []byte) {
	if len(line) < 3 || line[0] != '<' || line[1] < '0' || line[1] > '7' || line[2] != '>' {
		return slog.LevelInfo, line
	}
	rest := line[3:]
	switch line[1] {
	case '0', '1', '2', '3':
		return slog.LevelError, rest
	case '4':
		return slog.LevelWarn, rest
	case '7':
		return slog.LevelDebug, rest
	default:
		return slog.LevelInfo, rest
	}
}

// Copy reads a pipe to its end into l, and closes both.
func Copy(pipe *os.File, l *Lines) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{l}, struct{ io.Reader }{pipe}, make([]byte, maxLine))
	return errors.Join(err, l.Close(), pipe.Close())
}
