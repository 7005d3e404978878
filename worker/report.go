package worker

import (
	"io"
	"runtime"
	"time"

	"lockstep/ipc"
	"lockstep/worker/deliver"
)

// reportEvery bounds how often counters that merely run are told; a change of
// state is told at once.
const reportEvery = 200 * time.Millisecond

// reporter hands the newest report to the supervisor without ever making the
// engine wait: a report that was not yet written is replaced by a newer one.
type reporter struct {
	slot chan ipc.Report
	last ipc.Report
	at   time.Time
}

func newReporter(w io.Writer) *reporter {
	r := &reporter{slot: make(chan ipc.Report, 1)}
	go func() {
		for rep := range r.slot {
			b := rep.Encode()
			if _, err := w.Write(b[:]); err != nil {
				return // the supervisor is gone; its death ends this process
			}
		}
	}()
	return r
}

// offer passes rep on if it says something new, and returns when it wants to
// be called again although nothing happens (zero: not at all).
func (r *reporter) offer(rep ipc.Report, now time.Time) time.Time {
	if rep == r.last {
		return time.Time{}
	}
	if !urgent(rep, r.last) && now.Sub(r.at) < reportEvery {
		return r.at.Add(reportEvery)
	}
	select {
	case <-r.slot: // the writer did not get to it; the new one says it all
	default:
	}
	r.slot <- rep
	r.last, r.at = rep, now
	return time.Time{}
}

// urgent says whether a person or the supervisor acts on the difference.
func urgent(a, b ipc.Report) bool {
	return a.State != b.State || a.Ready != b.Ready || a.Held != b.Held ||
		a.Verified != b.Verified || a.Initials != b.Initials || a.Attempts != b.Attempts
}

// report adds up what the roots and targets have to say.
func (e *engine) report() ipc.Report {
	rep := ipc.Report{State: ipc.StateInStep, Ready: 1, Events: e.events}
	if len(e.roots) == 0 {
		rep.State, rep.Ready = ipc.StateStarting, 0
	}
	for _, r := range e.roots {
		r.report(&rep)
	}
	if e.draining {
		rep.State = ipc.StateDraining
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

func (r *root) report(rep *ipc.Report) {
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
func (r *root) state(t *deliver.Target) ipc.State {
	s := t.State(r.whole == wholeWalking)
	if s == ipc.StateInStep && (!r.track.Idle() || len(r.walks) > 0) {
		return ipc.StateSyncing
	}
	return s
}

// graver orders states by how far they are from being in step.
func graver(a, b ipc.State) ipc.State {
	rank := func(s ipc.State) int {
		switch s {
		case ipc.StateHeld:
			return 7
		case ipc.StateRetrying:
			return 6
		case ipc.StateStarting:
			return 5
		case ipc.StateWalking:
			return 4
		case ipc.StateInitial:
			return 3
		case ipc.StateSyncing:
			return 2
		}
		return 1
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}
