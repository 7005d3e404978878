// Package terms has what a tracker (worker/track) and who uses it agree on.
//
// Trust: part of the worker.
// Imports: the standard library, worker/doubt and worker/listing only. Pure.
package terms

import (
	"time"

	"lockstep/worker/doubt"
	"lockstep/worker/listing"
)

// Change says what of a path may differ: one or more bits.
type Change uint8

// What may differ.
const (
	Attr    Change = 1 << iota // owner, mode, times, links
	Content                    // data of a file, target of a link
	Name                       // it appeared or vanished
	// Replaced: a directory at this path vanished or was exchanged. If there is
	// a directory now, what the target holds below it is in doubt and what the
	// source lacks must be deleted there.
	Replaced
)

// Sink takes what a Tracker decides. Its methods must not call the Tracker.
type Sink interface {
	// Dirty: what rel ("" is the root) is on the target may be wrong. e is what
	// a listing says it is, nil when an event says so; valid until return.
	Dirty(rel string, c Change, e *listing.Entry)
	// Suspect: a directory is watched from now on, and a target may hold below it
	// what was never there: then it is Replaced, for that target. A target may if
	// one of the doubts applies to it. They are valid until return.
	Suspect(rel string, doubts []doubt.Doubt)
	// Forgotten: a target that was not settled after this time can no longer be
	// told by Suspect, and needs a whole pass.
	Forgotten(until time.Time)
	// Seen reports each entry listed in the initial walk, after an overflow and
	// in a verification; and, at any time, each excluded entry that is met
	// (after an event of kind listing.KindDir, or listing.KindNone when it is no directory).
	Seen(rel string, e listing.Entry, excluded bool)
	// Walk asks for a directory.
	Walk(w listing.Walk)
	// Unwatch ends a watch at once: before any Walk that follows is sent. That
	// the kernel knows no such watch is no error.
	Unwatch(wd int32)
	// Rescan: the target must be compared as a whole.
	Rescan(cause string)
	// RootGone: the root itself was moved, deleted or unmounted.
	RootGone(cause string)
	// Skip: a listing shows a socket or a device. It is marked dirty as well,
	// when the listing marks.
	Skip(rel string, kind uint8)
	// Failed: a directory is not watched (ENOSPC: it was listed all the same) or
	// not even listed. See Retry.
	Failed(rel string, status uint16)
	// TooLong: the path cannot be named, so it cannot be synchronised.
	TooLong(rel string)
}

// Config is what a Tracker must know of its root.
type Config struct {
	PairWait time.Duration                     // how long the halves of a rename may be apart, at rest (tree.Patience); 0: 500 ms
	MaxWalks int                               // walks handed out at once; 0: 4096
	Excluded func(rel string, isDir bool) bool // nil: nothing is
	Mounts   []string                          // directories that are not entered
	Devices  bool                              // devices are copied, so they are not reported to Skip
	Paths    bool                              // events come by Path: no directory has a watch of its own
	// Compared: changes are found by comparing listings (worker/poll). What came and
	// went between two of them nobody tells, but the time of the directory.
	Compared bool
	// Unsure, in nanoseconds since 1970, has the content of files marked whose status
	// has changed since, when the initial walk finds them; 0: of none.
	Unsure uint64
}
