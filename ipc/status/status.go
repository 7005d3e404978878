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

// Report is the worker's account of itself: numbers only, no text. It goes to
// the supervisor as ReportSize bytes, one little-endian word a field, in order.
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
	Unpaired    uint64 // renames whose second half never came: treated as moves out
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
}

const numReport = 32

// Command goes from supervisor to worker: one fixed-size packet of 8 bytes.
type Command uint64

const (
	CommandVerify Command = iota + 1 // compare tree and file system, both ways, and mend
	CommandResync                    // make a whole pass
)

// fields are the report's words in the order of the packet.
func (r *Report) fields() [numReport]*uint64 {
	return [numReport]*uint64{(*uint64)(&r.State), &r.Ready, &r.Dirs, &r.Unwatched, &r.Queue, &r.Big,
		&r.InFlight, &r.Doubt, &r.Events, &r.Synced, &r.Jobs, &r.Failed, &r.Initials, &r.Skipped,
		&r.TooLong, &r.Overflows, &r.Rescans, &r.Unpaired, &r.Repairs, &r.Stale, &r.Missing,
		&r.Verified, &r.Held, &r.HeldDeletes, &r.HeldEntries, &r.LastSync, &r.LastCode, &r.LastEnd,
		&r.Attempts, &r.Walked, &r.ListDone, &r.HeapBytes}
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
