package generation

import (
	"errors"
	"syscall"
	"testing"

	"lockstep/ipc/status"
	"lockstep/supervise/proc"
	"lockstep/supervise/slots"
)

// A newer report replaces an older one of the same target only, and a worker
// that makes targets up fills no memory.
func TestInbox(t *testing.T) {
	in := NewInbox()
	for i := range uint64(5) {
		for target := range uint64(3) {
			in.put(Report{Report: status.Report{Target: target, Jobs: i}})
		}
	}
	<-in.Wake
	all := in.Take()
	if len(all) != 3 {
		t.Fatalf("%d reports", len(all))
	}
	for i, r := range all {
		if r.Target != uint64(i) || r.Jobs != 4 {
			t.Errorf("report %d is of target %d with %d jobs", i, r.Target, r.Jobs)
		}
	}
	if len(in.Take()) != 0 || len(in.Wake) != 0 {
		t.Error("not empty")
	}
	for target := range uint64(10 * maxTargets) {
		in.put(Report{Report: status.Report{Target: target}})
	}
	if n := len(in.Take()); n != maxTargets {
		t.Errorf("%d reports are kept", n)
	}
}

// A runner that does not read what it hears is found out, and nobody waits for
// it; one that has gone is none.
func TestGrantNeverWaits(t *testing.T) {
	ours, theirs, err := proc.Pair("gate")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	for range 1 << 20 {
		if err = grant(ours, slots.Granted); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("%v", err)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := grant(ours, slots.Granted); err != nil {
		t.Errorf("of one that has gone: %v", err)
	}
}
