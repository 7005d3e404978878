// Package status is what goes over the socket between supervisor and worker:
// the worker's account of itself one way, the supervisor's commands the other.
//
// Trust: linked into supervisor and worker, not into the helper. A report is
// the worker's claim, and hostile: it is numbers only, of a fixed size.
// Imports: the codec and the standard library only.
package status

import "lockstep/ipc/wire"

// ReportSize is the size of the packets that go from worker to supervisor.
const ReportSize = 8 * numReport

// State of the engine, in the order it goes through them.
type State uint64

const (
	StateStarting State = iota
	StateWalking        // placing watches, listing
	StateInitial        // the initial (or a rescan) pass runs
	StateSyncing        // changes are waiting or under way
	StateInStep         // nothing is waiting, nothing is in doubt
	StateHeld           // a guard holds: a person must decide
	StateRetrying       // the last command failed; waiting to try again
	StateDraining       // no new commands
)

// Busy says that a target has begun and is not in step.
func (s State) Busy() bool { return s != StateStarting && s != StateInStep }

// Report is the worker's account of itself: numbers only, no text. It goes to
// the supervisor as ReportSize bytes, one little-endian word a field, in order.
//
// There is one of the whole worker and one of each target, which has the
// numbers that are a target's own (see Merge) and zero for the others.
type Report struct {
	State       State
	Ready       uint64 // 1 once every directory is watched and events are read
	Dirs        uint64 // directories watched
	Unwatched   uint64 // directories without a watch (limit reached)
	Queue       uint64 // paths waiting
	Big         uint64 // paths waiting in the lane for big files
	InFlight    uint64 // paths in running commands
	Doubt       uint64 // paths whose last command failed
	Events      uint64 // events read
	Synced      uint64 // paths acknowledged
	Jobs        uint64 // commands ended
	Failed      uint64 // of them, not with success
	Initials    uint64 // whole passes ended with success
	Skipped     uint64 // entries not copied by policy: sockets, devices
	TooLong     uint64 // paths that are too long to be named
	Overflows   uint64 // event queue overflows
	Rescans     uint64 // whole rescans begun
	Unpaired    uint64 // renames of directories whose second half did not come in time: treated as moves out
	Repairs     uint64 // differences between tree and file system found and mended
	Stale       uint64 // found by the last verification: in the tree, not in the file system
	Missing     uint64 // found by the last verification: in the file system, not watched
	Verified    uint64 // verifications ended
	Held        uint64 // ipc.End of the pass that is held: EndHeldEmpty or EndHeldMany, else 0
	HeldDeletes uint64 // what it would delete
	HeldEntries uint64 // of how many on the target
	LastSync    uint64 // unix nanoseconds of the last success, 0 before
	LastCode    uint64 // exit code of the last failed command
	LastEnd     uint64 // ipc.End of the last failed command
	Attempts    uint64 // failures in a row
	Walked      uint64 // entries listed during the walk under way, or the last one
	ListDone    uint64 // bytes of lists handed over
	HeapBytes   uint64 // the worker's own heap
	Target      uint64 // whose numbers these are: an ipc.TargetID; 0: the whole worker's
	Fault       uint64 // rsync.Fault of the last failed command, 0 without

	Returned         uint64 // of Unpaired: the second half came after all, within the root
	RescansOverflow  uint64 // of Rescans: because events were lost
	RescansUnwatched uint64 // because directories have no watch
	RescansAsked     uint64 // because a person asked
	RescansRefused   uint64 // because directories that were refused could be listed again
	RescansForgotten uint64 // because more had happened than is remembered
	RescanDirs       uint64 // directories listed for rescans
	RescanNanos      uint64 // how long that took
	VerifyDirs       uint64 // directories listed for verifications
	VerifyNanos      uint64 // how long that took
	Busy             uint64 // directories that are listed once a second, because too much happens in them
	BusyTimes        uint64 // how often one became so

	Batches uint64 // acknowledged, whole passes counted; of the whole worker: of the target that had most
	Hurried uint64 // CommandHurry that was obeyed
}

const numReport = 48

// Command goes from supervisor to worker: one fixed-size packet of 8 bytes,
// little-endian. The lower 16 bits are what is to be done, the next 16 the
// target that is meant; 0 means all.
type Command uint64

const (
	CommandVerify Command = iota + 1 // compare tree and file system, both ways, and mend; of all
	CommandResync                    // make a whole pass, at once
	CommandRetry                     // end the back-off: what waits is tried now
	CommandList                      // write the directories of the tree to the output, of a watch
	CommandTrace                     // begin, or end, to tell every event and walk, of a watch
	CommandHurry                     // read all events that there are, and copy what waits now, at once
)

const targetShift = 16

// For is the command for one target.
func (c Command) For(target uint64) Command { return c.Verb() | Command(target<<targetShift) }

// Verb is the command without its target.
func (c Command) Verb() Command { return c & (1<<targetShift - 1) }

// Target is the target that is meant; 0: all.
func (c Command) Target() uint64 { return uint64(c >> targetShift) }

// fields are the report's words in the order of the packet.
func (r *Report) fields() [numReport]*uint64 {
	return [numReport]*uint64{(*uint64)(&r.State), &r.Ready, &r.Dirs, &r.Unwatched, &r.Queue, &r.Big,
		&r.InFlight, &r.Doubt, &r.Events, &r.Synced, &r.Jobs, &r.Failed, &r.Initials, &r.Skipped,
		&r.TooLong, &r.Overflows, &r.Rescans, &r.Unpaired, &r.Repairs, &r.Stale, &r.Missing,
		&r.Verified, &r.Held, &r.HeldDeletes, &r.HeldEntries, &r.LastSync, &r.LastCode, &r.LastEnd,
		&r.Attempts, &r.Walked, &r.ListDone, &r.HeapBytes, &r.Target, &r.Fault,
		&r.Returned, &r.RescansOverflow, &r.RescansUnwatched, &r.RescansAsked, &r.RescansRefused,
		&r.RescansForgotten, &r.RescanDirs, &r.RescanNanos, &r.VerifyDirs, &r.VerifyNanos, &r.Busy, &r.BusyTimes, &r.Batches, &r.Hurried}
}

// Merge adds a target's numbers to the worker's: counts add up, the gravest
// state counts, and of failures the longest row.
func (r *Report) Merge(t *Report) {
	r.State = graver(r.State, t.State)
	r.Queue += t.Queue
	r.Big += t.Big
	r.InFlight += t.InFlight
	r.Doubt += t.Doubt
	r.Synced += t.Synced
	r.Jobs += t.Jobs
	r.Failed += t.Failed
	r.Initials += t.Initials
	r.ListDone += t.ListDone
	r.LastSync = max(r.LastSync, t.LastSync)
	r.Batches = max(r.Batches, t.Batches)
	if t.Held != 0 {
		r.Held, r.HeldDeletes, r.HeldEntries = t.Held, t.HeldDeletes, t.HeldEntries
	}
	if t.Attempts > r.Attempts {
		r.Attempts, r.LastCode, r.LastEnd, r.Fault = t.Attempts, t.LastCode, t.LastEnd, t.Fault
	}
}

// graver orders states by how far they are from being in step.
func graver(a, b State) State {
	rank := [...]int{StateInStep: 1, StateSyncing: 2, StateInitial: 3, StateWalking: 4,
		StateStarting: 5, StateRetrying: 6, StateHeld: 7, StateDraining: 8}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// Encode makes the report's packet, of which wire.Decode is the reverse.
func (r *Report) Encode() (out [ReportSize]byte) {
	_, _ = wire.Append(out[:0], r) // only the worker's own state can be wrong
	return out
}

func (r *Report) Layout(c *wire.Codec) {
	for _, f := range r.fields() {
		wire.U64(c, f)
	}
	c.Must(r.State <= StateDraining, "unknown state")
}
