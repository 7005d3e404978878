package worker

import (
	"testing"
	"time"

	"lockstep/monitor"
)

// A target that is never there does not make what an overflow puts in doubt grow: that
// is what has changed since all events were heard.
func TestOverflowPutsLittleInDoubt(t *testing.T) {
	s := newSeveral(t, 1) // its first pass never ends
	for range 100 {
		s.e.now = s.e.now.Add(time.Minute)
		s.event(monitor.Event{WD: 1, Mask: monitor.Modify, Name: []byte("f")})
		s.advance()
		for s.e.barriers.Waiting() > 0 {
			s.e.barriers.Reached()
		}
	}
	if s.targets[0].Queue.Idle() {
		t.Fatal("the target has all")
	}
	s.e.now = s.e.now.Add(time.Second)
	s.event(monitor.Event{WD: -1, Mask: monitor.Overflow})
	since := time.Unix(0, int64(s.asks.List[0].Since))
	if ago := s.e.now.Sub(since); ago < 10*time.Second || ago > 20*time.Second {
		t.Errorf("what has changed in %v is compared", ago)
	}
}

// Of many events nobody asks each time whether they are all.
func TestHearingIsNotAskedForOften(t *testing.T) {
	s := newSeveral(t, 1)
	asked := 0
	for range 1000 {
		s.e.now = s.e.now.Add(10 * time.Millisecond)
		s.event(monitor.Event{WD: 1, Mask: monitor.Modify, Name: []byte("f")})
		s.advance()
		for ; s.e.barriers.Waiting() > 0; asked++ {
			s.e.barriers.Reached()
		}
	}
	if asked < 5 || asked > 15 {
		t.Errorf("asked %d times in 10 s", asked)
	}
}
