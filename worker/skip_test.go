package worker

import (
	"testing"
	"time"

	"lockstep/ipc/status"
	"lockstep/monitor"
	"lockstep/worker/deliver"
	"lockstep/worker/listing"
	"lockstep/worker/track"
	"lockstep/worker/walks"
)

// newSkipping is a root that begins without a first pass; the answers to the walk are
// the test's.
func newSkipping(t *testing.T, targets int) *several {
	s := &several{root: testRoot(t, targets), t: t}
	s.cfg.SkipFirst = true
	s.asks.Flying = walks.Most
	s.demand("start")
	s.advance()
	if !s.walking || s.ready || len(s.e.flights) > 0 {
		t.Fatal("the walk does not begin, or more than that")
	}
	return s
}

func file(name string, age time.Duration) track.Entry {
	return track.Entry{Kind: listing.KindFile, Nlink: 1, Ctime: uint64(time.Now().Add(-age).UnixNano()), Name: name}
}

// Without a first pass the walk alone makes it ready, and then what has changed since
// the start is copied; what was there before is not.
func TestSkipFirst(t *testing.T) {
	s := newSkipping(t, 2)
	s.listing(file("old", time.Hour), socket())
	for i, target := range s.targets {
		if r := target.Report(); s.state(target) != status.StateInStep || r.Initials != 0 || !target.Queue.Idle() {
			t.Errorf("target %d: %v %+v", i, s.state(target), r)
		}
	}
	if !s.ready || len(s.e.flights) > 0 {
		t.Errorf("ready: %v, %d requests", s.ready, len(s.e.flights))
	}

	s = newSkipping(t, 1)
	s.listing(file("old", time.Hour), file("new", 0))
	if n := s.targets[0].Queue.Marked(); n != 1 || len(s.e.flights) != 1 { // it asks what it is now
		t.Errorf("%d marks, %d requests", n, len(s.e.flights))
	}
	s.event(monitor.Event{WD: 1, Mask: monitor.Modify, Name: []byte("old")})
	if n := s.targets[0].Queue.Marked(); n != 2 {
		t.Errorf("a change that came: %d marks", n)
	}
}

// The first pass alone is left out: events that are lost, also in the first walk, and
// whoever asks for a pass, of all targets or of one, has one.
func TestSkipFirstIsForTheFirst(t *testing.T) {
	lose := func(s *several) { s.event(monitor.Event{WD: -1, Mask: monitor.Overflow}) }
	for name, c := range map[string]struct {
		early, late func(s *several)
		passes      []bool // which targets make one
	}{
		"lost in the walk":  {early: lose, passes: []bool{true, true}},
		"lost later":        {late: lose, passes: []bool{true, true}},
		"asked in the walk": {early: func(s *several) { s.demand("asked", s.targets[1]) }, passes: []bool{false, true}},
		"asked later":       {late: func(s *several) { s.demand("asked", s.targets[0]) }, passes: []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSkipping(t, 2)
			if c.early != nil {
				c.early(s)
			}
			s.walk()
			if s.targets[0].Pass == deliver.PassRunning && c.early == nil {
				t.Fatal("there is a first pass")
			}
			if c.late != nil {
				c.late(s)
			}
			s.advance()
			for len(s.asks.List) > 0 { // what an overflow asks for comes before the walk of the passes
				s.answer("", 1)
				s.advance()
			}
			for i, target := range s.targets {
				if got := target.Pass == deliver.PassRunning; got != c.passes[i] {
					t.Errorf("target %d: a pass: %v, want %v", i, got, c.passes[i])
				}
				if target.Pass != deliver.PassRunning && s.state(target) != status.StateInStep {
					t.Errorf("target %d: %v", i, s.state(target))
				}
			}
		})
	}
}

// What is due at some time after the last pass is so after a start without one.
func TestSkipFirstFullSync(t *testing.T) {
	s := &several{root: testRoot(t, 1), t: t}
	s.cfg.SkipFirst, s.cfg.FullSyncEvery = true, time.Hour
	s.asks.Flying = walks.Most
	s.demand("start")
	s.advance()
	s.walk()
	at := s.targets[0].Next()
	if wait := at.Sub(s.e.now); wait < 54*time.Minute || wait > 66*time.Minute {
		t.Fatalf("due after %v", wait)
	}
	s.e.now = at
	s.advance()
	s.pass(0)
	s.initials(1)
}
