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

// Report adds the target's numbers to the worker's.
func (t *Target) Report(rep *status.Report) {
	q := t.Queue
	rep.Queue += uint64(q.Len())
	rep.Big += uint64(q.Big())
	rep.InFlight += uint64(q.InFlight())
	rep.Doubt += uint64(q.Doubt())
	if !t.redoAt.IsZero() {
		rep.Doubt++ // what the last pass left undone
	}
	rep.Synced += t.synced
	rep.Jobs += t.ended
	rep.Failed += t.failed
	rep.Initials += t.initials
	rep.ListDone += t.listed
	rep.Attempts = max(rep.Attempts, t.attempts)
	if t.attempts > 0 {
		rep.LastCode, rep.LastEnd = uint64(t.last.Code), uint64(t.last.End)
	}
	if t.held.End != ipc.EndNone {
		rep.Held, rep.HeldDeletes, rep.HeldEntries = uint64(t.held.End), t.held.Deletes, t.held.Entries
	}
	if !t.lastSync.IsZero() {
		rep.LastSync = max(rep.LastSync, uint64(t.lastSync.UnixNano()))
	}
}

// State is where the target stands; walking: its root is being listed whole.
func (t *Target) State(walking bool) status.State {
	switch {
	case t.held.End != ipc.EndNone:
		return status.StateHeld
	case walking:
		return status.StateWalking
	case t.Pass == PassRunning || t.Pass == PassWaiting:
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
