package proc

import (
	"strings"
	"testing"
	"time"

	"lockstep/cgroup"
	"lockstep/sandbox"
)

// What cannot be killed is named and left, and is known to be gone later.
func TestEndOfOneThatHangs(t *testing.T) {
	release := make(chan struct{})
	p := &Process{Process: &sandbox.Process{PID: 4711}, Role: "runner", leaf: &cgroup.Leaf{}}
	p.Go(func() { <-release })
	begin := time.Now()
	err := p.End()
	if err == nil || !strings.Contains(err.Error(), "the runner (pid 4711) hangs in the kernel") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begin); took > 2*goneTime {
		t.Errorf("took %v", took)
	}
	if p.Hangs() == nil {
		t.Error("forgotten")
	}
	close(release)
	for end := time.Now().Add(10 * time.Second); p.Hangs() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still hangs after it has gone")
		}
	}
}

func TestNoProcessHasEnded(t *testing.T) {
	var p *Process
	if p.End() != nil || p.Hangs() != nil {
		t.Error("a nil process has not ended")
	}
}
