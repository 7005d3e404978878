package deliver

import (
	"lockstep/ipc"
	"lockstep/ipc/status"
)

// Levels of sd-daemon(3), which the supervisor turns into records.
const (
	Error  = "<3>"
	Warn   = "<4>"
	Notice = "<5>"
)

// Report is the target's numbers.
func (t *Target) Report() status.Report {
	q := t.Queue
	rep := status.Report{
		Target: uint64(t.id),
		Queue:  uint64(q.Len()), Big: uint64(q.Big()), InFlight: uint64(q.InFlight()), Doubt: uint64(q.Doubt()),
		Synced: t.synced, Jobs: t.ended, Failed: t.failed, Initials: t.initials, ListDone: t.listed, Batches: t.batches,
		Attempts: t.attempts,
	}
	if !t.redoAt.IsZero() {
		rep.Doubt++ // what the last pass left undone
	}
	if t.attempts > 0 {
		rep.LastCode, rep.LastEnd = uint64(t.last.Code), uint64(t.last.End)
		rep.Fault = uint64(t.fault)
	}
	if t.held.End != ipc.EndNone {
		rep.Held, rep.HeldDeletes, rep.HeldEntries = uint64(t.held.End), t.held.Deletes, t.held.Entries
	}
	if !t.lastSync.IsZero() {
		rep.LastSync = uint64(t.lastSync.UnixNano())
	}
	return rep
}

// State is where the target stands.
func (t *Target) State() status.State {
	switch {
	case t.held.End != ipc.EndNone:
		return status.StateHeld
	case t.Pass == PassWaiting:
		return status.StateWalking
	case t.Pass == PassRunning:
		return status.StateInitial
	case t.attempts > 0 && !t.Queue.Idle(), !t.redoAt.IsZero():
		return status.StateRetrying
	case !t.live:
		return status.StateStarting
	case !t.Queue.Idle():
		return status.StateSyncing
	}
	return status.StateInStep
}
