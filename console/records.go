package console

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Record is one line of the log, for a daemon that keeps time and level itself.
type Record struct {
	Time   time.Time
	Level  slog.Level
	Text   string // the line, without its time
	Fields []Field
}

// Field is an attribute of a Record.
type Field struct{ Key, Value string }

// NewRecords returns a logger that hands each record to send, one at a time: as text
// for people, or as JSON.
func NewRecords(send func(Record), json bool) *slog.Logger {
	out := &oneRecord{send: send}
	inner := slog.Handler(&textHandler{out: &out.text})
	if json {
		inner = NewLogger(&out.text, true, false).Handler()
	}
	return slog.New(&recordHandler{Handler: inner, out: out})
}

// oneRecord is where a record is written before it is sent.
type oneRecord struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
	send func(Record) // called with mu held
}

type recordHandler struct {
	slog.Handler
	out   *oneRecord
	given []Field // attributes given before
}

func (h *recordHandler) Handle(ctx context.Context, r slog.Record) error {
	one := Record{Time: r.Time, Level: r.Level, Fields: h.given[:len(h.given):len(h.given)]}
	r.Attrs(func(a slog.Attr) bool {
		one.Fields = appendFields(one.Fields, a)
		return true
	})
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.text.Reset()
	err := h.Handler.Handle(ctx, r)
	one.Text = strings.TrimSuffix(h.out.text.String(), "\n")
	h.out.send(one)
	return err
}

func (h *recordHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	given := h.given[:len(h.given):len(h.given)]
	for _, a := range attrs {
		given = appendFields(given, a)
	}
	return &recordHandler{Handler: h.Handler.WithAttrs(attrs), out: h.out, given: given}
}

func (h *recordHandler) WithGroup(name string) slog.Handler {
	return &recordHandler{Handler: h.Handler.WithGroup(name), out: h.out, given: h.given}
}

func appendFields(fields []Field, a slog.Attr) []Field {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, one := range v.Group() {
			fields = appendFields(fields, one)
		}
		return fields
	}
	return append(fields, Field{a.Key, clean(v.String())})
}

// AtLeast drops what is less than a level.
func AtLeast(log *slog.Logger, least slog.Level) *slog.Logger {
	return slog.New(leveled{log.Handler(), least})
}

type leveled struct {
	slog.Handler
	least slog.Level
}

func (h leveled) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.least && h.Handler.Enabled(ctx, l)
}

// Handle looks again: not everybody asks Enabled first.
func (h leveled) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < h.least {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(attrs), h.least}
}

func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.least}
}
