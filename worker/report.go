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

// stepLimit keeps a tree in step by rescans when the kernel gives no more
// watches (unless a person wants no such rescans), and says what can be done.
func (r *root) stepLimit() {
	if !r.walking && r.links.Len() > 2*r.names+maxStaleNames {
		r.names = r.links.Len()
		r.demand(account.Names)
	}
	c := r.track.Counters()
	compare, told := r.limit.Step(c.Unwatched, c.Dirs, r.track.Idle(), r.walking, r.e.now)
	if told != "" {
		r.e.log.Printf(deliver.Warn, "%s: %s", r.name, told)
	}
	if compare {
		r.demand(account.Unwatched)
	}
}

// verify begins a comparison of tree and file system, both ways. It is made of
// walks as all else is: few are under way at a time (track.Config.MaxWalks,
// walks.Most), and events are applied between their answers.
func (r *root) verify() {
	if r.ready && !r.track.Counters().Verifying {
		r.track.Verify()
	}
}

// stepAccount keeps account of what listing the whole tree takes, and verifies it
// when that is due.
func (r *root) stepAccount() {
	verify, told := r.account.Step(r.seen())
	if told != "" {
		r.e.log.Printf(deliver.Notice, "%s: %s", r.name, told)
	}
	if verify {
		r.verify()
	}
}

// seen is the root as its account sees it.
func (r *root) seen() account.Now {
	c := r.track.Counters()
	return account.Now{
		At: r.e.now, Ready: r.ready, Listing: !r.track.Complete(), Passing: r.walking, Verifying: c.Verifying, Draining: r.e.draining,
		Walks: c.Walks, Repairs: c.Repairs, Stale: c.Stale, Missing: c.Missing,
	}
}
