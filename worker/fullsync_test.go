package worker

import (
	"testing"
	"time"
)

// Passes without a reason are spread: each target's time is its own, a tenth
// around the given one.
func TestFullSyncIsSpread(t *testing.T) {
	s := newSeveral(t, 4)
	if at := s.FullSync(s.targets[0]); !at.IsZero() {
		t.Error("it is off, and due at", at)
	}
	s.cfg.FullSyncEvery = 100 * time.Hour
	last := s.e.now.Add(90 * time.Hour)
	for i, target := range s.targets {
		for range 100 {
			at := s.FullSync(target)
			low, high := last.Add(time.Duration(i)*5*time.Hour), last.Add(time.Duration(i+1)*5*time.Hour)
			if at.Before(low) || at.After(high) {
				t.Fatalf("target %d: after %v", i, at.Sub(s.e.now))
			}
		}
	}
}

// A target whose time has come makes a pass, and only that one.
func TestFullSyncComes(t *testing.T) {
	s := newSeveral(t, 2)
	s.cfg.FullSyncEvery = time.Hour
	s.started()
	for job := range s.e.jobs {
		s.ends(job, 0)
	}
	at := s.targets[0].Next()
	if wait := at.Sub(s.e.now); wait < 54*time.Minute || wait > time.Hour {
		t.Fatalf("due after %v", wait)
	}
	s.e.now = at
	s.advance()
	s.pass(0)
	if r := s.targets[0].Report(); r.Initials != 2 {
		t.Errorf("%d passes", r.Initials)
	}
	if r := s.targets[1].Report(); r.Initials != 1 {
		t.Errorf("the other target: %d passes", r.Initials)
	}
}
