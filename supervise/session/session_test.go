package session

import (
	"errors"
	"syscall"
	"testing"

	"lockstep/supervise/deaths"
	"lockstep/supervise/exit"
	"lockstep/supervise/proc"
)

func TestSigsysLocksOut(t *testing.T) {
	s := &Session{}
	e := proc.Exit{Process: &proc.Process{Role: "worker"}, Code: -1, Sig: syscall.SIGSYS}
	for i := range deaths.MaxSigsys {
		err := s.countSigsys(e)
		var ee exit.Error
		if locked := errors.As(err, &ee) && ee.Code == exit.Locked; locked != (i == deaths.MaxSigsys-1) {
			t.Errorf("death %d: %v", i+1, err)
		}
	}
	if err := s.countSigsys(proc.Exit{Process: e.Process, Sig: syscall.SIGKILL}); err != nil {
		t.Errorf("another signal: %v", err)
	}
}
