package worker

import (
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
)

// A server that does not answer, where changes are found by comparing listings:
// nothing is in step meanwhile, one line says so, and afterwards nothing is left to do.
func TestServerThatPauses(t *testing.T) {
	s, w := newWorld(t)
	var log strings.Builder
	s.e.log.W = &log
	s.cfg.Monitor, s.cfg.PollEvery = settings.MonitorPoll, time.Second
	s.startPoll()
	s.verify() // brings the first listings
	pausing := false
	s.list = func(rel string, watch bool) ipc.Dir {
		if pausing {
			return ipc.Dir{WD: -1, Status: ipc.StatusTimeout}
		}
		return w.list(rel, watch)
	}
	target := s.targets[0]
	s.wait(time.Second)
	if got := s.root.state(target); got != status.StateInStep {
		t.Fatalf("state %v", got)
	}
	pausing = true
	before := target.Queue.Marked()
	for range 20 {
		s.wait(time.Second)
		if got := s.root.state(target); got != status.StateRetrying {
			t.Fatalf("state %v while nothing can be listed", got)
		}
	}
	waits := true
	s.poll.Mark(func() { waits = false })
	s.wait(time.Second)
	pausing = false
	s.wait(time.Second)
	if !waits {
		t.Error("one round is enough")
	}
	s.wait(time.Second)
	s.wait(time.Second)
	if got := s.root.state(target); got != status.StateInStep || waits || target.Queue.Marked() != before {
		t.Errorf("afterwards: state %v, a mark waits %v, %d paths were marked", got, waits, target.Queue.Marked()-before)
	}
	if strings.Count(log.String(), "just now: the file system did not answer in time") != 1 || s.numbers().Rescans != 0 {
		t.Errorf("rescans: %d; log:\n%s", s.numbers().Rescans, log.String())
	}
}
