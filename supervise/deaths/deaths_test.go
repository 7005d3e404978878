package deaths

import (
	"testing"
	"time"
)

// What is killed while it works is back soon, however often; what never comes to
// work is given ever more time; and what keeps dying is not started for ever.
func TestWait(t *testing.T) {
	now := time.Unix(1, 0)
	var killed, unready Row
	for i := range patience {
		now = now.Add(time.Second)
		if w := killed.Wait(now.Add(-soon/2), now); w > short || (i == 0) != (w == 0) {
			t.Fatalf("death %d after readiness: a wait of %v", i+1, w)
		}
	}
	var sum, last time.Duration
	for i := range 100 {
		w := unready.Wait(time.Time{}, now)
		if w < last {
			t.Errorf("the wait falls after death %d", i)
		}
		if last = w; i < 5 {
			sum += w
		}
	}
	if sum > time.Second || last != 30*time.Second {
		t.Errorf("five deaths before readiness cost %v, the longest wait is %v", sum, last)
	}
	for range 20 {
		last = killed.Wait(now, now)
	}
	if last != 30*time.Second {
		t.Errorf("the wait after %d early deaths is %v", killed.N, last)
	}
	if w := killed.Wait(now.Add(-2*soon), now); w != 0 {
		t.Errorf("a death after long work is answered by a wait of %v", w)
	}
}

func TestOldDeathsDoNotCount(t *testing.T) {
	var s Sigsys
	now := time.Unix(1, 0)
	for i := range 10 * MaxSigsys {
		if s.Count(now) {
			t.Fatalf("death %d, none of them near another, is too many", i+1)
		}
		now = now.Add(SigsysWindow / 2)
	}
}
