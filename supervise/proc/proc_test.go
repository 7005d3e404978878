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

// What the table of descriptors does not have is given to nobody.
func TestUndeclaredDonation(t *testing.T) {
	s := &Starter{}
	for name, spec := range map[string]sandbox.Spec{"more": {Role: "worker"}, "helper": {Role: "nobody"}} {
		if p, err := s.Start(spec, "", nil, []sandbox.Donation{{Name: name}}, cgroup.Limits{}); p != nil || err == nil || !strings.Contains(err.Error(), "the table of descriptors gives") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Start(sandbox.Spec{Role: "worker", Opens: []sandbox.Open{{Name: "root1"}}}, "", nil, nil, cgroup.Limits{}); err == nil || !strings.Contains(err.Error(), "root1") {
		t.Errorf("a directory that is opened: %v", err)
	}
}
