package worker

import (
	"runtime"

	"lockstep/ipc/status"
	"lockstep/worker/deliver"
)

// report adds up what the roots and targets have to say.
func (e *engine) report() status.Report {
	rep := status.Report{State: status.StateInStep, Ready: 1, Events: e.events}
	if len(e.roots) == 0 {
		rep.State, rep.Ready = status.StateStarting, 0
	}
	for _, r := range e.roots {
		r.report(&rep)
	}
	if e.draining {
		rep.State = status.StateDraining
	}
	// Measuring stops the engine for a moment: only when somebody asked for
	// the state, which verifies.
	if rep.Verified != e.verified {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		e.verified, e.heap = rep.Verified, m.HeapAlloc
	}
	rep.HeapBytes = e.heap
	return rep
}

func (r *root) report(rep *status.Report) {
	c := r.track.Counters()
	rep.Dirs += c.Watched
	rep.Unwatched += c.Unwatched
	rep.Overflows += c.Overflows
	rep.Unpaired += c.Unpaired
	rep.Repairs += c.Repairs
	rep.Stale += c.Stale
	rep.Missing += c.Missing
	rep.Verified += c.Verified
	rep.Rescans += r.rescans
	rep.Walked += r.walked
	rep.Skipped += r.special.count()
	rep.TooLong += r.tooLong.count()
	if !r.ready {
		rep.Ready = 0
	}
	for _, t := range r.targets {
		t.Report(rep)
		rep.State = graver(rep.State, r.state(t))
	}
}

// state is where one target stands, the tracker's doubts included.
func (r *root) state(t *deliver.Target) status.State {
	s := t.State(r.whole == wholeWalking)
	switch {
	case s != status.StateInStep:
	case r.track.Counters().Failed > 0:
		return status.StateRetrying
	case !r.track.Idle() || len(r.walks) > 0:
		return status.StateSyncing
	}
	return s
}

// graver orders states by how far they are from being in step.
func graver(a, b status.State) status.State {
	rank := func(s status.State) int {
		switch s {
		case status.StateHeld:
			return 7
		case status.StateRetrying:
			return 6
		case status.StateStarting:
			return 5
		case status.StateWalking:
			return 4
		case status.StateInitial:
			return 3
		case status.StateSyncing:
			return 2
		}
		return 1
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}
