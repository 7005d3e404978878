package worker

import (
	"runtime"
	"time"

	"lockstep/ipc/status"
	"lockstep/worker/account"
	"lockstep/worker/deliver"
)

// report offers what the whole worker and each target have to say, and returns
// when it wants to be called again.
func (e *engine) report() time.Time {
	var next time.Time
	rep := status.Report{State: status.StateInStep, Ready: 1, Events: e.events, Hurried: e.hurried}
	if len(e.roots)+len(e.watches) == 0 {
		rep.State, rep.Ready = status.StateStarting, 0
	}
	for _, r := range e.roots {
		r.report(&rep)
		for _, t := range r.targets {
			one := t.Report()
			one.State = r.state(t)
			rep.Merge(&one)
			next = deliver.Earlier(next, e.reporter.Offer(one, e.now))
		}
	}
	for _, w := range e.watches {
		w.Report(&rep)
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
	return deliver.Earlier(next, e.reporter.Offer(rep, e.now))
}

func (r *root) report(rep *status.Report) {
	c := r.track.Counters()
	account.Tree(rep, c)
	rep.BusyTimes += r.busy.Times()
	r.account.Report(rep)
	rep.Walked += r.walked
	rep.Skipped += r.special.Count()
	rep.TooLong += r.tooLong.Count()
	if !r.ready {
		rep.Ready = 0
	}
}

// state is where one target stands, the tracker's doubts included.
func (r *root) state(t *deliver.Target) status.State {
	s := t.State()
	switch {
	case s != status.StateInStep:
	case r.track.Counters().Failed > 0 || r.poll.Stalled():
		return status.StateRetrying
	case !r.track.Idle() || len(r.asks.List) > 0:
		return status.StateSyncing
	}
	return s
}
