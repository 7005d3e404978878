// Package sidebyside compares what two programs hand to the same handler, of the
// same changes in the same order: the real clsync, and lockstep with clsync's words.
//
// Trust: tests only; it shares no code with the product. What makes the calls is
// package e2e's test.
//
// Invariants: of what clsync handed over, Expect makes what lockstep has to hand
// over, word for word, and says which of the differences of docs/from-clsync.md it
// needed for that; what differs from it is a failure, and so is a difference that is
// never met. Left out of the comparison are the paths of list files, the directories
// of the run, in which calls what happened at a time is told (the marks of a path
// are put together), and the order in a call.
package sidebyside

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Call is one call of the handler, as testdata/record.h writes it down.
type Call struct {
	Dir   string   // its working directory
	Env   []string // CLSYNC_…
	Words []Word
}

// Word is what a word of a call is, or an argument of a function's.
type Word struct {
	Kind Kind
	Text string // of List the content of the file, of Event its numbers
}

// Kind says what a Word is.
type Kind byte

// The kinds, as record.h tags them.
const (
	Plain Kind = 'a'
	List  Kind = 'l'
	Event Kind = 'e'
	Path  Kind = 'p'
)

// ReadCall reads one record; io.EOF is the end of all.
func ReadCall(r *bufio.Reader) (Call, error) {
	var c Call
	for {
		tag, err := r.ReadByte()
		if err != nil || tag == '.' {
			return c, err
		}
		if blank, err := r.ReadByte(); err != nil || blank != ' ' {
			return c, fmt.Errorf("tag %q: %q comes after it (%v)", tag, blank, err)
		}
		digits, err := r.ReadString(' ')
		if err != nil {
			return c, err
		}
		n, err := strconv.Atoi(strings.TrimSuffix(digits, " "))
		if err != nil || n < 0 || n > 1<<24 {
			return c, fmt.Errorf("tag %q: a length of %q", tag, digits)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return c, err
		}
		switch kind := Kind(tag); kind {
		case 'd':
			c.Dir = string(text)
		case 'v':
			c.Env = append(c.Env, string(text))
		case Plain, List, Event, Path:
			c.Words = append(c.Words, Word{kind, string(text)})
		default:
			return c, fmt.Errorf("there is no tag %q", tag)
		}
	}
}
