package worker

import (
	"lockstep/worker/walks"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/status"
	"lockstep/monitor"
	"lockstep/worker/deliver"
	"lockstep/worker/queue"
	"lockstep/worker/track"
)

// several is a root with targets whose helper is the test.
type several struct {
	*root
	t   *testing.T
	job ipc.JobID
}

func newSeveral(t *testing.T, targets int) *several {
	r := testRoot(t, targets)
	s := &several{root: r, t: t}
	r.asks.Flying = walks.Most // walks are answered here
	r.demand("start")
	s.advance()
	s.walk()
	return s
}

// walk answers every walk: the root is empty.
func (s *several) walk() {
	s.t.Helper()
	if !s.walking {
		s.t.Fatal("no walk is under way")
	}
	for len(s.asks.List) > 0 {
		w := s.asks.List[0]
		s.asks.List = s.asks.List[1:]
		s.root.track.Listing(track.Listing{Serial: w.Serial, WD: 1}, s.e.now)
	}
	s.advance()
}

// started answers every request that waits with a job, and returns the last.
func (s *several) started() ipc.JobID {
	s.t.Helper()
	for seq, f := range s.e.flights {
		delete(s.e.flights, seq)
		s.job++
		if err := f(&ipc.StartAnswer{Job: s.job}, true); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.job
}

func (s *several) ends(job ipc.JobID, code uint8) {
	s.e.exited(ipc.Exited{Job: job, End: ipc.EndExited, Code: code})
	s.advance()
	for s.e.barriers.Waiting() > 0 {
		s.e.barriers.Reached()
	}
}

// pass has a target make the whole pass that is due, from walk to end.
func (s *several) pass(target int) {
	s.t.Helper()
	s.advance()
	s.walk()
	if s.targets[target].Pass != deliver.PassRunning {
		s.t.Fatalf("target %d makes no pass", target)
	}
	s.ends(s.started(), 0)
}

func mkdir(name string) monitor.Event {
	return monitor.Event{WD: 1, Mask: monitor.Create | monitor.IsDir, Name: []byte(name)}
}

func rmdir(name string) monitor.Event {
	return monitor.Event{WD: 1, Mask: monitor.Delete | monitor.IsDir, Name: []byte(name)}
}

func (s *several) event(e monitor.Event) { s.root.track.Event(e, s.e.now) }

// answer answers the walks that are due, of one directory and of nothing else
// that is there.
func (s *several) answer(rel string, wd int32) {
	s.t.Helper()
	for len(s.asks.List) > 0 {
		w := s.asks.List[0]
		s.asks.List = s.asks.List[1:]
		l := track.Listing{Serial: w.Serial, WD: wd}
		if w.Rel != rel {
			l.WD, l.Status = -1, 2
		}
		s.root.track.Listing(l, s.e.now)
	}
}

// done has a target do all that waits, and be settled when it can be.
func (s *several) done(t *deliver.Target) {
	s.t.Helper()
	s.answer("", 0)
	s.e.now = s.e.now.Add(time.Minute)
	for b := t.Queue.Take(s.e.now, 0); b != nil; b = t.Queue.Take(s.e.now, 0) {
		t.Queue.Done(b, s.e.now)
	}
	s.settle()
	for s.e.barriers.Waiting() > 0 {
		s.e.barriers.Reached()
	}
}

// While one target's pass runs for hours, another one makes passes, is in step,
// and gets its changes when they are due.
func TestASlowPassDelaysNoOtherTarget(t *testing.T) {
	s := newSeveral(t, 2)
	slow, quick := s.targets[0], s.targets[1]
	s.started()
	for job := range s.e.jobs { // end the quick one's
		if s.e.jobs[job].Target() == quick {
			s.ends(job, 0)
		}
	}
	if slow.Pass != deliver.PassRunning || quick.Pass != deliver.PassNone || quick.State() != status.StateInStep {
		t.Fatalf("slow: %d, quick: %d in state %d", slow.Pass, quick.Pass, quick.State())
	}
	for range 3 {
		s.e.now = s.e.now.Add(time.Minute)
		s.demand("overflow")
		s.pass(1)
		if slow.Pass != deliver.PassRunning || quick.State() != status.StateInStep {
			t.Fatalf("slow: %d, quick in state %d", slow.Pass, quick.State())
		}
	}
	(*sink)(s.root).Dirty("f", track.Content, nil)
	due, ok := quick.Queue.Next(s.e.now)
	if next := s.next(); !ok || next.After(due) {
		t.Errorf("due at %v, the timer at %v", due, next)
	}
	s.e.now = due
	s.advance()
	if quick.Queue.InFlight() != 1 || slow.Queue.Len() != 1 {
		t.Errorf("%d paths under way to the quick target, %d wait for the slow one", quick.Queue.InFlight(), slow.Queue.Len())
	}
}

// A directory that is new while one target's pass runs is in doubt for that
// target only; one that took the name of another only for those that have not
// heard of the other's end.
func TestDoubtsAreATargetsOwn(t *testing.T) {
	s := newSeveral(t, 2)
	s.started()
	slow, quick := s.targets[0], s.targets[1]
	for job := range s.e.jobs {
		if s.e.jobs[job].Target() == quick {
			s.ends(job, 0)
		}
	}
	appear := func(wd int32) {
		s.e.now = s.e.now.Add(time.Second)
		s.event(mkdir("d"))
		s.answer("d", wd)
	}
	appear(2)
	if c := slow.Queue.Pending("d"); c&queue.Replaced == 0 {
		t.Errorf("the pass under way may have copied from it: %b", c)
	}
	if c := quick.Queue.Pending("d"); c&queue.Replaced != 0 {
		t.Errorf("no pass of this target could see it: %b", c)
	}
	s.done(quick)
	s.e.now = s.e.now.Add(time.Second)
	s.event(rmdir("d"))
	s.done(quick)
	appear(3)
	if c := slow.Queue.Pending("d"); c&queue.Replaced == 0 {
		t.Errorf("the target may have the old one: %b", c)
	}
	if c := quick.Queue.Pending("d"); c&queue.Replaced != 0 {
		t.Errorf("the target has deleted the old one: %b", c)
	}
}
