// Package behind knows what was told with a path that a rename had given, before
// that rename was told.
//
// Fanotify names a directory, and the resolver tells where it is when the event
// is read: if it, or one above it, has been renamed since the event, then the path
// is the new one already, and the event of the rename comes later. Who applies
// "create b/f" and then "move a to b" replaces the b that has f by the a that has
// not. So a directory that comes to a place below which something was told shortly
// before is to be looked at, and so is what was moved from there.
//
// It also knows what was renamed and is back where it was: see Left.
//
// Once all events up to now are heard, no such rename is left: see Step.
//
// Trust: part of the worker, untrusted. Names are hostile.
// Imports: the standard library and worker/below. Pure.
//
// Invariant: what is kept is bounded; beyond that the whole root is in doubt.
package behind

import (
	"slices"

	"lockstep/worker/below"
)

// Behind is what was told since all events up to some moment were heard. The zero
// value is empty.
type Behind struct {
	steps   []step
	renames renames
	half    half
	asked   bool // a barrier is under way
	beyond  bool // there were too many to keep
	older   bool // there were, before the barrier
}

// step is a directory in which something was told, or (from is not "") a rename.
type step struct{ at, from string }

// What is kept, and how many places one rename may concern; where there are more,
// the whole of the root is to be looked at.
const (
	maxSteps = 1 << 13
	maxIn    = 64
)

// Told takes down that something is told of a directory's entries.
func (b *Behind) Told(dir string) { b.add(step{at: dir}) }

// Moved takes down a rename.
func (b *Behind) Moved(to, from string) { b.add(step{at: to, from: from}) }

func (b *Behind) add(s step) {
	switch n := len(b.steps); {
	case n > 0 && b.steps[n-1] == s:
	case n == maxSteps:
		b.beyond = true
	default:
		b.steps = append(b.steps, s)
	}
}

// Came is what is in doubt when a directory has been moved to rel; "" is the root.
func (b *Behind) Came(rel string) (doubts []string) {
	in := []string{rel}
	for _, s := range b.steps {
		switch i := slices.IndexFunc(in, func(dir string) bool { return s.from != "" && below.Within(s.from, dir) }); {
		case s.from == "":
			if below.Within(s.at, rel) && len(doubts) == 0 {
				doubts = append(doubts, rel)
			}
		case i >= 0 && s.at != rel: // the copy had nothing there that could move
			in = append(in, s.at)
		default:
			for i, dir := range in[1:] {
				if below.Within(dir, s.from) { // it was moved on since
					in[i+1] = s.at + dir[len(s.from):]
				}
			}
		}
		if len(in) > maxIn {
			break
		}
	}
	doubts = append(doubts, in[1:]...)
	if b.older || b.beyond || len(in) > maxIn {
		doubts = append(doubts, "")
	}
	return doubts
}

// Step forgets what was told before the last moment up to which all events are
// heard: barrier has a function called then. doubt is told what is in doubt then.
func (b *Behind) Step(barrier func(f func()), doubt func(places []string)) {
	if b.asked || len(b.steps)+len(b.renames.all) == 0 && b.half.from == "" && !b.beyond {
		return
	}
	n, renames := len(b.steps), len(b.renames.all)
	b.asked, b.older, b.beyond = true, b.beyond, false
	barrier(func() {
		doubt(b.end())
		b.asked, b.older = false, false
		b.steps = slices.Delete(b.steps, 0, n)
		b.renames.forget(renames)
	})
}
