package deliver

import (
	"time"

	"lockstep/worker/doubt"
)

// settling is what of its marks a target is known to have done, for itself: a
// target that is slow, or not there, keeps no other one from being settled.
type settling struct {
	at    time.Time // all that was marked before is done; see track.Acknowledged
	done  uint64    // the queue's count at that time
	asked uint64    // the queue's count when settling began; notIdle: not idle then
	ended bool      // a pass has ended, and the event queue was not empty since
	until time.Time // the last pass had ended, and it was
}

const notIdle = ^uint64(0)

// Unsettled says whether the target could be settled and is not.
func (t *Target) Unsettled() bool {
	return t.Queue.Idle() && !t.settling.ended && t.Queue.Marked() != t.settling.done
}

// Settle begins to settle: Settled ends it.
func (t *Target) Settle() {
	t.settling.asked = notIdle
	if t.Unsettled() {
		t.settling.asked = t.Queue.Marked()
	}
}

// Settled ends what Settle began at that time: the event queue was read until
// it was empty since, and the tracker was idle then (quiet: it is so again). It
// returns up to when the target is settled.
func (t *Target) Settled(at time.Time, quiet bool) time.Time {
	s := &t.settling
	if quiet && t.Queue.Idle() && t.Queue.Marked() == s.asked {
		s.at, s.done = at, s.asked
	}
	return s.at
}

// CaughtUp says that the event queue was read until it was empty since a pass
// has ended.
func (t *Target) CaughtUp() { t.settling.ended, t.settling.until = false, t.host.Now() }

// Suspects says whether one of the doubts applies (see doubt.Doubt).
func (t *Target) Suspects(doubts []doubt.Doubt) bool {
	s := &t.settling
	passing := s.ended || t.Queue.Whole()
	for _, d := range doubts {
		if !s.at.After(d.Last) && (!d.Pass || passing || !s.until.Before(d.First)) {
			return true
		}
	}
	return false
}

// Behind says whether the target was not settled after that time.
func (t *Target) Behind(at time.Time) bool { return !t.settling.at.After(at) }
