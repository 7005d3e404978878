// Package nudge says when a command that runs gets a SIGCHLD.
//
// rsync's receiver ends by a signal whose handler sets a flag (3.5.0), and one that
// comes just before its poll(2) leaves it asleep for a minute with all work done:
// any signal that it handles wakes it. SIGCHLD asks for nothing, and is ignored by
// who does not handle it (signal(7)).
//
// Trust: pure; part of the runner, in its jail. Imports: the standard library and
// ipc's types.
//
// Invariants: they are few, because a signal also ends a call on some file systems
// in user space, and a pass over a whole tree, which would have to begin again,
// gets none; after a minute rsync looks by itself.
package nudge

import (
	"time"

	"lockstep/ipc"
)

const (
	first = time.Second
	last  = time.Minute
)

// Next is the time of the next one for a command that has run for so long: at
// first after a second, then when it has run for twice as long. Nil: never.
func Next(kind ipc.JobKind, ran time.Duration) <-chan time.Time {
	if kind == ipc.JobInitial || kind == ipc.JobContent || ran > last {
		return nil
	}
	return time.After(max(first, ran))
}
