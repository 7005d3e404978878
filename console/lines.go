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
	unlimited bool

	buf []byte
	cut bool // the rest of this line is thrown away
	limit
}

// limit lets burst lines pass at once, and perSecond in the long run.
type limit struct {
	now     func() time.Time
	tokens  float64
	last    time.Time
	dropped int
}

func newLimit(now func() time.Time) limit { return limit{now: now, tokens: burst, last: now()} }

// NewLines sends records to log under a role.
func NewLines(log *slog.Logger, role string) *Lines {
	log = log.With(RoleKey, role)
	return newLines(func(level slog.Level, text string) {
		log.Log(context.Background(), level, text)
	}, time.Now, false)
}

// NewListing is NewLines for output that a person asked for: it goes to out as
// it is, without a limit of lines a second; what is a warning goes to the log.
func NewListing(log *slog.Logger, role string, out io.Writer) *Lines {
	log = log.With(RoleKey, role)
	return newLines(func(level slog.Level, text string) {
		if level != slog.LevelInfo {
			log.Log(context.Background(), level, text)
			return
		}
		_, _ = fmt.Fprintln(out, text) // a reader that has gone is no reason to fail
	}, time.Now, true)
}

// RoleLines is where the messages of one of a sync's processes go, which label tells
// from others of its role: the log; of a runner of a dry run, standard output.
func RoleLines(log *slog.Logger, role, label string, dry bool) *Lines {
	if role == "runner" && dry {
		return NewListing(log, role, os.Stdout)
	}
	if label != "" {
		role += " of " + label
	}
	return NewLines(log, role)
}

func newLines(emit func(slog.Level, string), now func() time.Time, unlimited bool) *Lines {
	return &Lines{emit: emit, unlimited: unlimited, limit: newLimit(now), buf: make([]byte, 0, maxLine)}
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
	if !l.unlimited && !l.allowed() {
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

// allowed takes a token, or counts a line that must not pass.
func (l *limit) allowed() bool {
	now := l.now()
	if passed := now.Sub(l.last).Seconds(); passed > 0 {
		l.tokens = min(burst, l.tokens+passed*perSecond)
		l.last = now
	}
	if l.tokens < 1 {
		l.dropped++
		return false
	}
	l.tokens--
	return true
}

// word is the line about those that did not pass, "" when all did.
func (l *limit) word() string {
	if l.dropped == 0 {
		return ""
	}
	n := l.dropped
	l.dropped = 0
	return fmt.Sprintf("%d lines dropped: more than %d a second", n, perSecond)
}

func (l *Lines) tellDropped() {
	if text := l.word(); text != "" {
		l.emit(slog.LevelWarn, text)
	}
}

// Limited returns a logger with the limits of Lines: for lines that another
// program's numbers cause. Not for use by two goroutines at once.
func Limited(log *slog.Logger) *slog.Logger {
	l := newLimit(time.Now)
	return slog.New(limited{log.Handler(), &l})
}

type limited struct {
	slog.Handler
	*limit
}

func (h limited) Handle(ctx context.Context, r slog.Record) error {
	if !h.allowed() {
		return nil
	}
	var err error
	if text := h.word(); text != "" {
		err = h.Handler.Handle(ctx, slog.NewRecord(r.Time, slog.LevelWarn, text, 0))
	}
	return errors.Join(err, h.Handler.Handle(ctx, r))
}

func (h limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return limited{h.Handler.WithAttrs(attrs), h.limit}
}

func (h limited) WithGroup(name string) slog.Handler {
	return limited{h.Handler.WithGroup(name), h.limit}
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
