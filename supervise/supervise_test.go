package supervise

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"lockstep/supervise/proc"
)

func TestBackoff(t *testing.T) {
	if backoff(0) != 0 {
		t.Error("the first restart is not immediate")
	}
	var sum time.Duration
	for n := range 5 {
		sum += backoff(n)
	}
	if sum > time.Second {
		t.Errorf("five early deaths in a row cost %v", sum)
	}
	if backoff(1000) != 30*time.Second {
		t.Errorf("the longest wait is %v", backoff(1000))
	}
	for n := range 100 {
		if backoff(n+1) < backoff(n) {
			t.Errorf("the wait falls after %d", n)
		}
	}
}

func TestSigsysLocksOut(t *testing.T) {
	s := &session{}
	e := proc.Exit{Process: &proc.Process{Role: "worker"}, Code: -1, Sig: syscall.SIGSYS}
	for i := range maxSigsys {
		err := s.countSigsys(e)
		var ee exitError
		if locked := errors.As(err, &ee) && ee.code == ExitLocked; locked != (i == maxSigsys-1) {
			t.Errorf("death %d: %v", i+1, err)
		}
	}
	if err := s.countSigsys(proc.Exit{Process: e.Process, Sig: syscall.SIGKILL}); err != nil {
		t.Errorf("another signal: %v", err)
	}
	s.sigsys = []time.Time{time.Now().Add(-2 * sigsysWindow), time.Now().Add(-2 * sigsysWindow), time.Now().Add(-2 * sigsysWindow), time.Now().Add(-2 * sigsysWindow)}
	if err := s.countSigsys(e); err != nil || len(s.sigsys) != 1 {
		t.Errorf("old deaths count: %v", err)
	}
}
