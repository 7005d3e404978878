package console

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"lockstep/internal/escape"
)

// NewLogger returns a logger that writes one line a record to w: as text for
// people, or as JSON.
func NewLogger(w io.Writer, json bool, terminal bool) *slog.Logger {
	if json {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: cleanAttr}))
	}
	layout := "2006-01-02 15:04:05"
	if terminal {
		layout = "15:04:05"
	}
	return slog.New(&textHandler{out: &lockedWriter{w: w}, layout: layout})
}

// RoleKey is the attribute that names which process speaks.
const RoleKey = "role"

// clean returns s when all of it is printable, else s escaped. What has passed
// internal/escape once is printable, and is not escaped twice.
func clean(s string) string {
	for i, r := range s {
		if !unicode.IsPrint(r) {
			return escape.Name(s)
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n <= 1 {
				return escape.Name(s)
			}
		}
	}
	return s
}

// cleanAttr keeps the JSON free of invalid UTF-8 and of characters that
// change the direction of text, which the encoder would let through.
func cleanAttr(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String(a.Key, a.Value.Time().UTC().Format(time.RFC3339Nano))
	}
	if a.Key == slog.LevelKey {
		return slog.String(a.Key, strings.ToLower(a.Value.String()))
	}
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, clean(v.String()))
	case slog.KindAny:
		return slog.String(a.Key, clean(fmt.Sprint(v.Any())))
	case slog.KindDuration:
		return slog.String(a.Key, v.Duration().String())
	default:
		return a
	}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// textHandler writes: time level role: message key=value.
type textHandler struct {
	out    io.Writer
	layout string // of the time; "": without it
	role   string
	prefix string // attributes given before, already written out
}

func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b, attrs strings.Builder
	role := h.role
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == RoleKey {
			role = clean(a.Value.String())
			return true
		}
		writeAttr(&attrs, a)
		return true
	})
	if !r.Time.IsZero() && h.layout != "" {
		b.WriteString(r.Time.Local().Format(h.layout))
		b.WriteByte(' ')
	}
	b.WriteString(levelWord(r.Level))
	if role != "" {
		b.WriteString(role)
		b.WriteString(": ")
	}
	b.WriteString(clean(r.Message))
	b.WriteString(h.prefix)
	b.WriteString(attrs.String())
	b.WriteByte('\n')
	_, err := io.WriteString(h.out, b.String())
	return err
}

// levelWord is empty for the usual level, so that what matters stands out.
func levelWord(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error: "
	case l >= slog.LevelWarn:
		return "warning: "
	case l >= slog.LevelInfo:
		return ""
	default:
		return "debug: "
	}
}

func writeAttr(b *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Key == "" || v.Kind() == slog.KindGroup {
		for _, one := range v.Group() {
			writeAttr(b, one)
		}
		return
	}
	text := clean(v.String())
	if text == "" || strings.ContainsAny(text, " =\"") {
		text = strconv.Quote(text)
	}
	b.WriteByte(' ')
	b.WriteString(clean(a.Key))
	b.WriteByte('=')
	b.WriteString(text)
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var b strings.Builder
	for _, a := range attrs {
		if a.Key == RoleKey {
			c.role = clean(a.Value.String())
			continue
		}
		writeAttr(&b, a)
	}
	c.prefix += b.String()
	return &c
}

// WithGroup is not needed here: keys stay flat.
func (h *textHandler) WithGroup(string) slog.Handler { return h }
