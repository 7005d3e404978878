// Package account counts what a root's view of its tree has lost, and what
// mending it took: how often the whole tree had to be compared, for which cause,
// and what listing all of it again cost.
//
// Trust: part of the worker, untrusted. Numbers only.
// Imports: ipc/status and the standard library. Pure: time is an argument.
//
// Invariant: every comparison that was called for is counted once, and under one
// cause at most; what is listed meanwhile is counted under one kind of listing.
package account

import (
	"time"

	"lockstep/ipc/status"
)

// The causes for which there are numbers of their own.
const (
	Overflow  = "overflow"
	Unwatched = "directories without a watch"
	Asked     = "asked for"
	Refused   = "all directories can be listed again"
	Vanished  = "more directories have gone than can be remembered"
	Names     = "the index of names with one inode has outgrown the tree"
)

// Kind is why every directory is listed again.
type Kind uint8

// The kinds, in the order in which one outweighs the other.
const (
	Nothing Kind = iota // it is not
	First               // the walk of a start, which is no loss
	Same                // as before; if it was not, then because events were lost
	Verify              // tree and file system are compared
	Rescan              // targets are
	numKinds
)

// Span is one such listing.
type Span struct {
	Kind    Kind
	Dirs    uint64 // directories listed
	Took    time.Duration
	Repairs uint64 // differences mended meanwhile
}

// Account is one root's. The zero value is ready.
type Account struct {
	calls map[string]uint64
	all   uint64
	spent [numKinds]Span

	now    Span // under way; Nothing: none is
	since  time.Time
	dirs   uint64 // walks, and
	mended uint64 // repairs, when none was under way
}

// Called notes that the whole tree has to be compared.
func (a *Account) Called(cause string) {
	if a.calls == nil {
		a.calls = map[string]uint64{}
	}
	a.all++
	if a.now.Kind == Verify {
		a.now.Kind = Rescan
	}
	switch cause {
	case Overflow, Unwatched, Asked, Refused, Vanished, Names:
		a.calls[cause]++
	}
}

// Step tells what is being listed now, and how many directories have been walked
// and differences mended since the start. It returns what has just ended.
func (a *Account) Step(kind Kind, now time.Time, walks, repairs uint64) (ended Span) {
	if kind != Nothing {
		if a.now.Kind == Nothing {
			a.since = now
			if kind == Same {
				kind = Rescan
			}
		}
		a.now.Kind = max(a.now.Kind, kind)
		return Span{}
	}
	if ended = a.now; ended.Kind != Nothing {
		ended.Dirs, ended.Repairs, ended.Took = walks-a.dirs, repairs-a.mended, now.Sub(a.since)
		sum := &a.spent[ended.Kind]
		sum.Dirs += ended.Dirs
		sum.Took += ended.Took
	}
	a.now, a.dirs, a.mended = Span{}, walks, repairs
	return ended
}

// Report adds the numbers to a report.
func (a *Account) Report(r *status.Report) {
	r.Rescans += a.all
	r.RescansOverflow += a.calls[Overflow]
	r.RescansUnwatched += a.calls[Unwatched]
	r.RescansAsked += a.calls[Asked]
	r.RescansRefused += a.calls[Refused]
	r.RescansForgotten += a.calls[Vanished] + a.calls[Names]
	r.RescanDirs += a.spent[Rescan].Dirs
	r.RescanNanos += uint64(max(a.spent[Rescan].Took, 0))
	r.VerifyDirs += a.spent[Verify].Dirs
	r.VerifyNanos += uint64(max(a.spent[Verify].Took, 0))
}
