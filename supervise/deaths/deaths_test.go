package deaths

import (
	"syscall"
	"testing"
	"time"

	"lockstep/supervise/exit"
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
		if s.count(now) {
			t.Fatalf("death %d, none of them near another, is too many", i+1)
		}
		now = now.Add(SigsysWindow / 2)
	}
}

func TestSigsysLocksOut(t *testing.T) {
	var s Sigsys
	now := time.Unix(1, 0)
	for i := range MaxSigsys {
		err := s.Locked("worker", syscall.SIGSYS, now)
		if locked := exit.Code(err) == exit.Locked; locked != (i == MaxSigsys-1) {
			t.Errorf("death %d: %v", i+1, err)
		}
	}
	if err := s.Locked("worker", syscall.SIGKILL, now); err != nil {
		t.Errorf("another signal: %v", err)
	}
}
