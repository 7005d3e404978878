// Package nudge says when a command that runs gets a SIGCHLD.
//
// rsync's receiver ends by a signal whose handler sets a flag (3.5.0), and one that
// comes just before its poll(2) leaves it asleep for a minute with all work done:
// any signal that it handles wakes it. And its sender waits in open(2) for ever when
// somebody has put a FIFO in the place of a file that it has listed: a signal that it
// handles ends that call, the file has failed, and the rest is copied. SIGCHLD asks for
// nothing, and is ignored by who does not handle it (signal(7)).
//
// Trust: pure; part of the runner, in its jail. Imports: the standard library and
// ipc's types.
//
// Invariants: they are few, because a signal also ends a call on some file systems
// in user space: a pass over a whole tree, which would have to begin again, and a
// command that has run for long, get one only when nothing has been done for a while.
package nudge

import (
	"time"

	"lockstep/ipc"
)

const (
	first = time.Second
	last  = 8 * time.Second // to run for longer is long

	// while is how often is looked whether a pass does anything.
	while = 5 * time.Second
	// nothing is less processor time than one that does takes in that while.
	nothing = time.Millisecond
)

// Next is the time of the next look at a command that has run for so long: at first
// after a second, then when it has run for twice as long; at a pass, and at last, once
// in a while.
func Next(kind ipc.JobKind, ran time.Duration) <-chan time.Time {
	if rare(kind, ran) {
		return time.After(while)
	}
	return time.After(max(first, ran))
}

// Due says whether a command gets one that has run for so long, and since the last look
// has taken so much processor time.
func Due(kind ipc.JobKind, ran, took time.Duration) bool {
	return !rare(kind, ran) || took < nothing
}

func rare(kind ipc.JobKind, ran time.Duration) bool {
	return kind == ipc.JobInitial || kind == ipc.JobContent || ran >= last
}
