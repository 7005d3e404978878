// Package keep leaves copies of the lists that a handler was given in files that the
// supervisor has opened, the newest in the place of the oldest.
//
// Trust: part of the runner, in its jail. Lists are hostile bytes; they are copied, and
// not looked into.
// Imports: the standard library only.
//
// Invariants: a file has one list, or the beginning of one, of at most Most bytes; no
// file is opened here, so that all that is ever kept is bounded by how many there are;
// what cannot be kept fails nothing.
package keep

import (
	"fmt"
	"os"
)

// Most bounds what is kept of a list, in bytes.
const Most = 4 << 20

// Ring is the files, in the order in which they are written.
type Ring struct {
	files []*os.File
	next  int
	bad   bool // the last list could not be kept
}

// New makes one. With no files nothing is kept.
func New(files []*os.File) *Ring { return &Ring{files: files} }

// Put keeps a list, and returns the name of its file; "": none is kept. An error is
// returned for the first of several lists that could not be kept.
func (r *Ring) Put(list []byte) (name string, err error) {
	if len(r.files) == 0 {
		return "", nil
	}
	f := r.files[r.next]
	r.next = (r.next + 1) % len(r.files)
	err = f.Truncate(0)
	if err == nil {
		if _, err = f.WriteAt(list[:min(len(list), Most)], 0); err != nil {
			_ = f.Truncate(0) // half a list would be taken for a whole one
		}
	}
	again := r.bad
	if r.bad = err != nil; r.bad && !again {
		return f.Name(), fmt.Errorf("%s, a list of the handler, is not kept: %w", f.Name(), err)
	}
	return f.Name(), nil
}
