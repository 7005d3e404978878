package worker

import (
	"lockstep/worker/clock"
	"lockstep/worker/walks"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/worker/deliver"
	"lockstep/worker/listing"
	"lockstep/worker/track"
)

// newBeside is a root whose first pass begins beside the first walk; the
// answers to both are the test's.
func newBeside(t *testing.T) *several {
	s := startBeside(t, 0)
	if !s.walking || s.targets[0].Pass != deliver.PassRunning {
		t.Fatal("walk and pass do not begin together")
	}
	return s
}

// startBeside is a root whose first walk has begun, and goes alone for a while.
func startBeside(t *testing.T, alone time.Duration) *several {
	s := &several{root: testRoot(t, 1), t: t}
	s.cfg.Beside, s.cfg.BesideAfter = true, alone
	s.asks.Flying = walks.Most
	s.demand("start")
	s.advance()
	return s
}

// A walk that goes alone is joined by its pass when it has lasted long enough, and not
// sooner; what it was asked from its beginning on is enough for a pass that begins later.
func TestPassJoinsItsWalk(t *testing.T) {
	s := startBeside(t, time.Second)
	at := s.e.now.Add(time.Second)
	if s.targets[0].Pass != deliver.PassWaiting || !s.next().Equal(at) {
		t.Fatalf("pass %v, due %v", s.targets[0].Pass, s.next())
	}
	s.e.now = at.Add(-1)
	s.advance()
	if s.targets[0].Pass != deliver.PassWaiting {
		t.Fatal("begun too early")
	}
	s.e.now = at
	s.advance()
	if s.targets[0].Pass != deliver.PassWaiting || !s.next().IsZero() {
		t.Fatalf("begun while what was asked for before is not answered, or due: %v", s.next())
	}
	s.lists(0, "", track.Entry{Kind: listing.KindDir, Nlink: 2, Name: "a"}, track.Entry{Kind: listing.KindDir, Nlink: 2, Name: "b"})
	if s.targets[0].Pass != deliver.PassWaiting {
		t.Fatal("begun while what was asked for before may be answered in part")
	}
	s.lists(clock.Since(at), "a")
	if s.targets[0].Pass != deliver.PassRunning || !s.walking {
		t.Fatal("not begun beside the walk")
	}
	s.ends(s.started(), 0)
	s.initials(0)
	s.lists(clock.Since(at), "b")
	s.initials(1)
}

// lists is the listing of the directory at rel, the first one that is wanted.
func (s *several) lists(since uint64, rel string, entries ...track.Entry) {
	s.t.Helper()
	if len(s.asks.List) == 0 || s.asks.List[0].Rel != rel || s.asks.List[0].Since != since {
		s.t.Fatalf("walks %+v, want %q with times since %d", s.asks.List, rel, since)
	}
	w := s.asks.List[0]
	s.asks.List = s.asks.List[1:]
	s.listed(rel, listing.Part{Serial: w.Serial, WD: int32(w.Serial), Entries: entries}, s.e.now)
	s.advance()
}

// A walk that ends sooner is followed by its pass.
func TestPassFollowsAShortWalk(t *testing.T) {
	s := startBeside(t, time.Second)
	s.lists(0, "", socket())
	if s.targets[0].Pass != deliver.PassRunning || s.walking || !s.beside.Next().IsZero() {
		t.Fatalf("pass %v", s.targets[0].Pass)
	}
	s.e.now = s.e.now.Add(2 * time.Second)
	s.ends(s.started(), 0) // by all rules: it is not made again
	s.initials(1)
}

// listing answers the only walk.
func (s *several) listing(entries ...track.Entry) {
	s.t.Helper()
	if len(s.asks.List) != 1 || s.asks.List[0].Since == 0 {
		s.t.Fatalf("walks %+v", s.asks.List)
	}
	w := s.asks.List[0]
	s.asks.List = nil
	s.root.track.Listing(track.Listing{Serial: w.Serial, WD: 1, Entries: entries}, s.e.now)
	s.advance()
}

func (s *several) initials(want uint64) {
	s.t.Helper()
	if got := s.targets[0].Report().Initials; got != want {
		s.t.Fatalf("%d passes have ended, not %d", got, want)
	}
}

func socket() track.Entry { return track.Entry{Kind: listing.KindSocket, Nlink: 1, Name: "s"} }

// A pass does not end before its walk: what it must leave out is not known.
func TestPassBesideItsWalk(t *testing.T) {
	s := newBeside(t)
	s.ends(s.started(), 0)
	s.initials(0)
	s.listing(track.Entry{Kind: listing.KindFile, Nlink: 2, Name: "f"})
	s.initials(1)
	if len(s.e.flights) != 0 || s.targets[0].Queue.Whole() {
		t.Error("something is still asked for")
	}

	s = newBeside(t)
	job := s.started()
	s.listing()
	s.initials(0)
	s.ends(job, 0)
	s.initials(1)
}

// What the walk finds is to be left out: the pass is stopped, whatever state it
// is in, and made by the rules.
func TestPassBesideItsWalkIsMadeAgain(t *testing.T) {
	again := func(s *several) {
		t.Helper()
		if s.targets[0].Pass != deliver.PassRunning || len(s.e.flights) != 1 {
			t.Fatalf("not made again: %d requests", len(s.e.flights))
		}
		s.ends(s.started(), 0)
		s.initials(1)
	}
	stopped := func(s *several, job ipc.JobID) {
		t.Helper()
		clear(s.e.flights) // the answer to Stop
		s.e.exited(ipc.Exited{Job: job, End: ipc.EndStopped})
		s.advance()
		if r := s.targets[0].Report(); r.Failed != 0 {
			t.Errorf("counted as a failure: %+v", r)
		}
	}

	s := newBeside(t) // it runs
	job := s.started()
	s.listing(socket())
	if len(s.e.flights) != 1 {
		t.Fatal("it is not stopped")
	}
	stopped(s, job)
	again(s)

	s = newBeside(t) // it has ended
	s.ends(s.started(), 0)
	s.listing(socket())
	again(s)

	s = newBeside(t) // it has been asked for
	s.listing(socket())
	job = s.started()
	s.advance()
	stopped(s, job)
	again(s)

	s = newBeside(t) // it is held: a person hears of it, and it is made again later
	job = s.started()
	s.e.exited(ipc.Exited{Job: job, End: ipc.EndHeldMany})
	s.advance()
	s.listing()
	s.initials(0)
	if at := s.targets[0].Next(); at.IsZero() || !at.After(s.e.now) {
		t.Errorf("due %v", at)
	}
}

// What changed beside the pass is looked at once the pass has ended, and the rest
// is not.
func TestChangedBesideThePass(t *testing.T) {
	for age, want := range map[uint64]int{0: 1, 100: 0} {
		s := newBeside(t)
		s.ends(s.started(), 0)
		s.listing(track.Entry{Kind: listing.KindFile, Nlink: 2, Ctime: uint64(time.Now().UnixNano()) - age*1e9, Name: "f"})
		s.initials(1)
		if got := len(s.e.flights); got != want {
			t.Errorf("changed %d s ago: %d requests", age, got)
		}
	}
}
