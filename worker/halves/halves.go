// Package halves keeps the first halves of renames until their second ones come.
//
// The kernel queues one half behind the other but for what others do at that moment.
// Where the second one is not heard of in time, the name has left for a place of
// which nobody tells.
//
// Trust: part of the worker, untrusted. Names are hostile.
// Imports: the standard library and worker/below. Pure: time is an argument.
//
// Invariant: who adds one to Most takes the oldest first; each event is compared with
// all that wait.
package halves

import (
	"time"

	"lockstep/worker/below"
)

// Half is the first half of a rename.
type Half struct {
	Cookie uint32
	Rel    string
	Kind   uint8
	At     time.Time
	Twice  bool // something came to this name shortly before, perhaps by the same exchange
}

// How far the halves of a rename may be apart: in time, as in package track, and in
// other halves.
const Wait, Most = 500 * time.Millisecond, 256

// Waiting are those that wait, oldest first.
type Waiting []Half

func (w *Waiting) remove(i int) Half {
	h := (*w)[i]
	*w = append((*w)[:i], (*w)[i+1:]...)
	return h
}

// Take removes the one with a cookie; 0 is none's.
func (w *Waiting) Take(cookie uint32) (h Half, ok bool) {
	for i := len(*w) - 1; i >= 0 && cookie != 0; i-- {
		if (*w)[i].Cookie == cookie {
			return w.remove(i), true
		}
	}
	return Half{}, false
}

// TakeAt removes the oldest one of a path, or of one above or below it.
func (w *Waiting) TakeAt(rel string) (h Half, ok bool) {
	for i, h := range *w {
		if below.Within(rel, h.Rel) || below.Within(h.Rel, rel) {
			return w.remove(i), true
		}
	}
	return Half{}, false
}

// Oldest removes the one that has waited for longest; there must be one.
func (w *Waiting) Oldest() Half { return w.remove(0) }

// Due says whether one has waited for long enough.
func (w Waiting) Due(now time.Time) bool { return len(w) > 0 && now.Sub(w[0].At) >= Wait }

// Next is when one will have; zero: none waits.
func (w Waiting) Next() time.Time {
	if len(w) == 0 {
		return time.Time{}
	}
	return w[0].At.Add(Wait)
}
