package worker

import (
	"fmt"
	"testing"
	"time"

	"lockstep/monitor"
)

// changes is what the kernel tells of n files that are written.
func changes(first, n int) []byte {
	var b []byte
	for i := range n {
		for _, mask := range []monitor.Op{monitor.Modify, monitor.CloseWrite} {
			b = monitor.Append(b, monitor.Event{WD: 1, Mask: mask, Name: fmt.Appendf(nil, "some-file-%06d.txt", first+i)})
		}
	}
	return b
}

// apply is what the loop does with a buffer.
func (s *several) apply(b []byte) {
	if err := s.e.decode(b); err != nil {
		s.t.Fatal(err)
	}
}

// Nothing is allocated for the event of a path that has changed before, whether
// it waits or was taken meanwhile, and for that of another one only what is kept
// of it.
func TestNothingIsAllocatedForAnEvent(t *testing.T) {
	s := newSeveral(t, 1)
	s.ends(s.started(), 0)
	const files = 200
	known := changes(0, files)
	q := s.targets[0].Queue
	s.apply(known)
	if n := testing.AllocsPerRun(50, func() { s.apply(known) }); n > 0 {
		t.Errorf("%v allocations for %d events of paths that wait", n, 2*files)
	}
	round := func() {
		s.e.now = s.e.now.Add(time.Second)
		b := q.Take(s.e.now, 0)
		q.Done(b, s.e.now)
		s.apply(known)
	}
	round()
	// The batch, its entries, and what it is made of, which grows.
	if n := testing.AllocsPerRun(50, round); n > 16 {
		t.Errorf("%v allocations for a batch of %d paths and %d events", n, files, 2*files)
	}
	const rounds = 20
	var fresh [][]byte
	for i := range rounds + 1 {
		fresh = append(fresh, changes((i+1)*files, files))
	}
	if n := testing.AllocsPerRun(rounds, func() { s.apply(fresh[0]); fresh = fresh[1:] }); n > 2.5*files {
		t.Errorf("%v allocations for %d new paths", n, files)
	}
}

// BenchmarkEvent is the engine's part of one event.
func BenchmarkEvent(b *testing.B) {
	t := &testing.T{}
	s := newSeveral(t, 1)
	const files = 200
	known := changes(0, files)
	s.apply(known)
	b.ReportAllocs()
	for b.Loop() {
		s.apply(known)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(2*files), "ns/event")
}
