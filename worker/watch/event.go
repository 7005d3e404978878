package watch

import (
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc/output"
	"lockstep/worker/listing"
)

// op is a word of the vocabulary.
type op uint8

const (
	create op = iota
	modify
	attrib
	remove
	move
	overflow
	rescan
)

func (o op) String() string {
	return [...]string{"create", "modify", "attrib", "delete", "move", "overflow", "rescan"}[o]
}

// event is one change, as it is told.
type event struct {
	op    op
	kind  uint8 // listing.Kind…; KindNone: not known
	rel   string
	from  string // of a move
	cause string // of an overflow or a rescan
	at    time.Time
	seq   uint64 // the order in which changes were heard of
	asked bool   // what it is was looked for
}

// typeOf is the word for a kind; "" when it is not known.
func typeOf(kind uint8) string {
	switch kind {
	case listing.KindNone:
		return ""
	case listing.KindFile:
		return "file"
	case listing.KindDir:
		return "dir"
	case listing.KindLink:
		return "symlink"
	}
	return "other"
}

// appendLine is the event as JSON or as text, without an end of line.
func (e *event) appendLine(b []byte, json bool) []byte {
	if json {
		return e.appendJSON(b)
	}
	return e.appendText(b)
}

func (e *event) appendJSON(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = e.at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","op":"`...)
	b = append(append(b, e.op.String()...), '"')
	if word := typeOf(e.kind); word != "" {
		b = append(append(append(b, `,"type":"`...), word...), '"')
	}
	b = output.AppendName(append(b, ','), "path", e.rel)
	if e.op == move {
		b = output.AppendName(append(b, ','), "from", e.from)
	}
	if e.cause != "" {
		b = output.AppendName(append(b, ','), "cause", e.cause)
	}
	return append(b, '}')
}

func (e *event) appendText(b []byte) []byte {
	b = e.at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(append(b, ' '), e.op.String()...)
	word := typeOf(e.kind)
	if word == "" {
		word = "-"
	}
	b = append(append(append(b, ' '), word...), ' ')
	b = append(b, show(e.rel)...)
	if e.op == move {
		b = append(append(b, " from "...), show(e.from)...)
	}
	if e.cause != "" {
		b = append(append(append(b, " ("...), escape.Name(e.cause)...), ')')
	}
	return b
}

// show is a path as people read it.
func show(rel string) string {
	if rel == "" {
		return "."
	}
	return escape.Name(rel)
}
