package pump

import (
	"bytes"
	"testing"
	"time"

	"lockstep/ipc/status"
	"lockstep/ipc/wire"
)

// gate is a writer that waits, as a supervisor that is slow.
type gate struct {
	begun, open chan struct{}
	got         chan status.Report
}

func (g *gate) Write(b []byte) (int, error) {
	g.begun <- struct{}{}
	<-g.open
	rep, err := wire.Decode[status.Report](bytes.Clone(b))
	g.got <- rep
	return len(b), err
}

// A supervisor that does not read gets one report of each target when it does,
// each the newest of its target; the engine never waits.
func TestReportsAreReplacedByTarget(t *testing.T) {
	g := &gate{begun: make(chan struct{}, 8), open: make(chan struct{}), got: make(chan status.Report, 8)}
	r := NewReporter(g)
	now := time.Now()
	r.Offer(status.Report{}, now)
	<-g.begun // the first one is being written
	for i := range uint64(1000) {
		for target := range uint64(3) {
			now = now.Add(reportEvery)
			if at := r.Offer(status.Report{Target: target, Synced: i + 1}, now); !at.IsZero() {
				t.Fatal("not taken")
			}
		}
	}
	close(g.open)
	seen := map[uint64]uint64{}
	for range 4 {
		rep := <-g.got
		seen[rep.Target] = rep.Synced
	}
	for target := range uint64(3) {
		if seen[target] != 1000 {
			t.Errorf("of target %d the supervisor knows %d", target, seen[target])
		}
	}
}

// What merely runs is told every 200 ms, a change of state at once, each target
// for itself.
func TestReportsAreSpacedByTarget(t *testing.T) {
	r := NewReporter(&bytes.Buffer{})
	now := time.Now()
	r.Offer(status.Report{Target: 1}, now)
	now = now.Add(reportEvery / 2)
	if at := r.Offer(status.Report{Target: 1, Synced: 1}, now); !at.Equal(now.Add(reportEvery / 2)) {
		t.Error("a counter did not wait:", at)
	}
	if at := r.Offer(status.Report{Target: 2, Synced: 1}, now); !at.IsZero() {
		t.Error("another target waited")
	}
	if at := r.Offer(status.Report{Target: 1, Attempts: 1}, now); !at.IsZero() {
		t.Error("a failure waited")
	}
	if at := r.Offer(status.Report{Target: 1, Attempts: 1}, now); !at.IsZero() {
		t.Error("nothing new, and it wants to be called again")
	}
}
