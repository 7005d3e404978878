// Package arrivals lists what has come into a tree of which nothing else is kept:
// where one mark tells of a whole file system, only what came with content of its
// own (a directory that was moved in) has to be looked at.
//
// Trust: part of the worker, untrusted. Names are hostile.
// Imports: worker/listing and worker/below only. Pure.
//
// Invariant: an answer counts only if its place has not been wanted anew since,
// nor forgotten. What is kept is in proportion to the places that are wanted.
package arrivals

import (
	"slices"

	"lockstep/worker/below"
	"lockstep/worker/listing"
)

// Walker knows which directories are still to be listed. Not safe for concurrent
// use.
type Walker struct {
	serial uint64
	at     map[string]uint64 // of each place that is wanted, the walk that counts
	queue  []listing.Walk    // those that were not asked for yet, and some that do not count
	failed map[string]bool   // refused, and not listed since
}

// New makes one that wants nothing.
func New() *Walker {
	w := &Walker{}
	w.Clear()
	return w
}

// Clear wants nothing any more. Answers that are under way do not count.
func (w *Walker) Clear() {
	w.at, w.failed, w.queue = map[string]uint64{}, map[string]bool{}, nil
}

// Want has a directory listed from now on: what was asked before does not count.
func (w *Walker) Want(rel string) {
	w.serial++
	w.at[rel] = w.serial
	w.queue = append(w.queue, listing.Walk{Serial: w.serial, Rel: rel, All: true})
	// What is renamed again and again is wanted anew each time, before anything of
	// it is asked for.
	if len(w.queue) > 2*len(w.at)+spare {
		w.queue = slices.DeleteFunc(w.queue, func(ask listing.Walk) bool { return !w.Counts(ask.Rel, ask.Serial) })
	}
}

// spare is how many walks that do not count are kept in any case.
const spare = 64

// Forget wants nothing at a place, nor below it.
func (w *Walker) Forget(rel string) {
	for at := range w.at {
		if below.Within(at, rel) {
			delete(w.at, at)
		}
	}
	for at := range w.failed {
		if below.Within(at, rel) {
			delete(w.failed, at)
		}
	}
}

// Next takes up to most walks out of the queue.
func (w *Walker) Next(most int) (next []listing.Walk) {
	n := 0
	for n < len(w.queue) && len(next) < most {
		if ask := w.queue[n]; w.at[ask.Rel] == ask.Serial {
			next = append(next, ask)
		}
		n++
	}
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue = nil
	}
	return next
}

// Back puts walks back that Next gave, and that were not asked for.
func (w *Walker) Back(rest []listing.Walk) {
	if len(rest) > 0 {
		w.queue = append(rest, w.queue...)
	}
}

// Counts says whether an answer counts.
func (w *Walker) Counts(rel string, serial uint64) bool { return serial > 0 && w.at[rel] == serial }

// Done ends a place's walk.
func (w *Walker) Done(rel string) {
	delete(w.at, rel)
	delete(w.failed, rel)
}

// Fail ends a walk that was refused: see Retry. It says whether that is news.
func (w *Walker) Fail(rel string) (news bool) {
	delete(w.at, rel)
	news = !w.failed[rel]
	w.failed[rel] = true
	return news
}

// Retry wants what was refused.
func (w *Walker) Retry() {
	for rel := range w.failed {
		w.Want(rel)
	}
}

// Busy says whether a place was not listed to its end.
func (w *Walker) Busy(rel string) bool { return w.at[rel] != 0 || w.failed[rel] }

// Failed is how many places were refused and are not listed since.
func (w *Walker) Failed() int { return len(w.failed) }

// Idle says whether no answer is waited for.
func (w *Walker) Idle() bool { return len(w.at) == 0 }
