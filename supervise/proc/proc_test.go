package proc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/cgroup"
	"lockstep/sandbox"
)

// What cannot be killed is named and left, and is known to be gone later.
func TestEndOfOneThatHangs(t *testing.T) { synctest.Test(t, endOfOneThatHangs) }

func endOfOneThatHangs(t *testing.T) {
	release := make(chan struct{})
	p := &Process{Process: &sandbox.Process{PID: 4711}, Role: "runner", leaf: &cgroup.Leaf{}}
	p.Go(func() { <-release })
	begin := time.Now()
	err := p.End()
	if err == nil || !strings.Contains(err.Error(), "the runner (pid 4711) hangs in the kernel") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took != goneTime { // of synctest's clock
		t.Errorf("took %v", took)
	}
	if p.Hangs() == nil {
		t.Error("forgotten")
	}
	close(release)
	synctest.Wait() // until End's goroutine has seen it
	if p.Hangs() != nil {
		t.Error("still hangs after it has gone")
	}
}

func TestNoProcessHasEnded(t *testing.T) {
	var p *Process
	if p.End() != nil || p.Hangs() != nil {
		t.Error("a nil process has not ended")
	}
}
