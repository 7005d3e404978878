// Package account counts what a root's view of its tree has lost, and what
// mending it took: how often the whole tree had to be compared, for which cause,
// and what listing all of it again cost. It says when to verify the tree, too,
// and what is to be told of all that.
//
// Trust: part of the worker, untrusted. Numbers only.
// Imports: ipc/status, the tracker's counters and the standard library. Pure: time is
// an argument.
//
// Invariant: every comparison that was called for is counted once, and under one
// cause at most; what is listed meanwhile is counted under one kind of listing.
package account

import (
	"fmt"
	"time"

	"lockstep/ipc/status"
	"lockstep/worker/track"
)

// The causes for which there are numbers of their own.
const (
	Overflow  = "overflow"
	Unwatched = "directories without a watch"
	Asked     = "asked for"
	Refused   = "all directories can be listed again"
	Vanished  = "more directories have gone than can be remembered"
	Clock     = "the clock was set while the tree was listed"
	Names     = "the index of names with one inode has outgrown the tree"
)

// kind is why every directory is listed again.
type kind uint8

// The kinds, in the order in which one outweighs the other.
const (
	nothing kind = iota // it is not
	first               // the walk of a start, which is no loss
	same                // as before; if it was not, then because events were lost
	verify              // tree and file system are compared
	rescan              // targets are
	numKinds
)

// cost is what listing all directories takes.
type cost struct {
	dirs uint64
	took time.Duration
}

// Account is one root's. Its zero value has lost nothing, and never verifies.
type Account struct {
	Every time.Duration // verify so long after everything was listed; 0: never

	calls map[string]uint64
	all   uint64
	spent [numKinds]cost

	kind   kind // of what is under way
	since  time.Time
	dirs   uint64 // walks, and
	mended uint64 // repairs, when nothing was under way
	due    time.Time
	timed  bool // a verification is under way that was due
}

// Now is what there is to see of a root.
type Now struct {
	At        time.Time
	Ready     bool // the first walk has ended
	Listing   bool // every directory is being listed
	Passing   bool // for a pass
	Verifying bool // or to be compared
	Draining  bool

	Walks, Repairs, Stale, Missing uint64 // as the tracker counts them
}

// Called notes that the whole tree has to be compared.
func (a *Account) Called(cause string) {
	if a.calls == nil {
		a.calls = map[string]uint64{}
	}
	a.all++
	if a.kind == verify {
		a.kind = rescan
	}
	switch cause {
	case Overflow, Unwatched, Asked, Refused, Vanished, Names, Clock:
		a.calls[cause]++
	}
}

// Step takes note of what is going on. It says whether to verify now, and what is
// to be told, if anything.
func (a *Account) Step(n Now) (begin bool, told string) {
	told = a.note(n)
	if a.Every <= 0 || !n.Ready || n.Draining {
		a.due = time.Time{}
		return false, told
	}
	if a.due.IsZero() {
		a.due = n.At.Add(a.Every)
	}
	begin = a.free(n) && !n.At.Before(a.due)
	a.timed = a.timed || begin
	return begin, told
}

// free says that no listing of all is under way.
func (a *Account) free(n Now) bool { return !n.Listing && !n.Passing }

// Next is when Step has something to do; zero: no time soon.
func (a *Account) Next(n Now) time.Time {
	if n.Draining || !a.free(n) {
		return time.Time{}
	}
	return a.due
}

func (n Now) kind() kind {
	switch {
	case !n.Listing:
		return nothing
	case !n.Ready:
		return first
	case n.Passing:
		return rescan
	case n.Verifying:
		return verify
	}
	return same
}

// note adds up, and tells of what has ended.
func (a *Account) note(n Now) (told string) {
	if k := n.kind(); k != nothing {
		if a.kind == nothing {
			a.since = n.At
			if k == same {
				k = rescan
			}
		}
		a.kind = max(a.kind, k)
		return ""
	}
	if a.kind != nothing {
		c := cost{n.Walks - a.dirs, n.At.Sub(a.since)}
		a.spent[a.kind].dirs += c.dirs
		a.spent[a.kind].took += c.took
		told = a.tell(c, n)
		a.due, a.timed = time.Time{}, false
	}
	a.kind, a.dirs, a.mended = nothing, n.Walks, n.Repairs
	return told
}

// tell says what has been listed. Of a verification that a person asked for, the
// state tells, which was asked for with it.
func (a *Account) tell(c cost, n Now) string {
	took, mended := c.took.Round(time.Millisecond), n.Repairs-a.mended
	switch {
	case a.kind == rescan:
		return fmt.Sprintf("the whole tree was listed again: %d directories in %v, %d differences mended", c.dirs, took, mended)
	case a.timed:
		return fmt.Sprintf("verified %d directories in %v: %d stale, %d missing, %d mended (what changed meanwhile counts too)",
			c.dirs, took, n.Stale, n.Missing, mended)
	}
	return ""
}

// Report adds the numbers to a report.
func (a *Account) Report(r *status.Report) {
	r.Rescans += a.all
	r.RescansOverflow += a.calls[Overflow]
	r.RescansUnwatched += a.calls[Unwatched]
	r.RescansAsked += a.calls[Asked]
	r.RescansRefused += a.calls[Refused]
	r.RescansForgotten += a.calls[Vanished] + a.calls[Names] + a.calls[Clock]
	r.RescanDirs += a.spent[rescan].dirs
	r.RescanNanos += uint64(max(a.spent[rescan].took, 0))
	r.VerifyDirs += a.spent[verify].dirs
	r.VerifyNanos += uint64(max(a.spent[verify].took, 0))
}

// Tree adds what the tracker has counted to a report.
func Tree(rep *status.Report, c track.Counters) {
	rep.Dirs += c.Watched
	rep.Unwatched += c.Unwatched
	rep.Busy += c.Resting
	rep.Overflows += c.Overflows
	rep.Unpaired += c.Unpaired
	rep.Repairs += c.Repairs
	rep.Stale += c.Stale
	rep.Missing += c.Missing
	rep.Verified += c.Verified
	rep.Returned += c.Returned
}
