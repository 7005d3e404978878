// Package tell makes lines of changes: changes of one path are merged, the type of
// what they are about is found out, and then they are written.
//
// Trust: part of the worker, untrusted. Names are hostile; the supervisor checks
// every line once more. Pure: time is an argument.
//
// Invariant: changes keep their order, but for those that wait to be merged; a
// type that is told is right.
package tell

import (
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc/output"
	"lockstep/worker/listing"
)

// Op is a word of the vocabulary.
type Op uint8

// The words.
const (
	Create Op = iota
	Modify
	Attrib
	Remove
	Move
	Overflow
	Rescan
)

func (o Op) String() string {
	return [...]string{"create", "modify", "attrib", "delete", "move", "overflow", "rescan"}[o]
}

// Event is one change, as it is told.
type Event struct {
	Op    Op
	Kind  uint8 // listing.Kind…; KindNone: not known
	Rel   string
	From  string // of a move
	Cause string // of an overflow or a rescan
	At    time.Time
	Seq   uint64 // the order in which changes were heard of
	Over  bool   // a Create of what came from nowhere: it may have replaced something
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

// AppendLine is the event as JSON or as text, without an end of line.
func (e *Event) AppendLine(b []byte, json bool) []byte {
	if json {
		return e.appendJSON(b)
	}
	return e.appendText(b)
}

func (e *Event) appendJSON(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = e.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","op":"`...)
	b = append(append(b, e.Op.String()...), '"')
	if word := typeOf(e.Kind); word != "" {
		b = append(append(append(b, `,"type":"`...), word...), '"')
	}
	b = output.AppendName(append(b, ','), "path", e.Rel)
	if e.Op == Move {
		b = output.AppendName(append(b, ','), "from", e.From)
	}
	if e.Cause != "" {
		b = output.AppendName(append(b, ','), "cause", e.Cause)
	}
	return append(b, '}')
}

func (e *Event) appendText(b []byte) []byte {
	b = e.At.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(append(b, ' '), e.Op.String()...)
	word := typeOf(e.Kind)
	if word == "" {
		word = "-"
	}
	b = append(append(append(b, ' '), word...), ' ')
	b = append(b, Show(e.Rel)...)
	if e.Op == Move {
		b = append(append(b, " from "...), Show(e.From)...)
	}
	if e.Cause != "" {
		b = append(append(append(b, " ("...), escape.Name(e.Cause)...), ')')
	}
	return b
}

// Show is a path as people read it.
func Show(rel string) string {
	if rel == "" {
		return "."
	}
	return escape.Name(rel)
}
