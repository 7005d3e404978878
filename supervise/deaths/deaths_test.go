package deaths

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	if Backoff(0) != 0 {
		t.Error("the first restart is not immediate")
	}
	var sum time.Duration
	for n := range 5 {
		sum += Backoff(n)
	}
	if sum > time.Second {
		t.Errorf("five early deaths in a row cost %v", sum)
	}
	if Backoff(1000) != 30*time.Second {
		t.Errorf("the longest wait is %v", Backoff(1000))
	}
	for n := range 100 {
		if Backoff(n+1) < Backoff(n) {
			t.Errorf("the wait falls after %d", n)
		}
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
