package queue

import (
	"testing"
	"time"
)

// After Retry and Hurry all that waits is due, in both lanes, and what comes as well.
func TestHurry(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	q := New(Config{Delay: time.Hour, MaxDelay: 2 * time.Hour, BigDelay: 24 * time.Hour}, now)
	for _, name := range []string{"c", "a", "big", "b"} {
		q.Add(name, Content, now)
		now = now.Add(time.Second)
	}
	far := now.Add(90 * time.Minute)
	b := q.Take(far, 0)
	q.Defer(b, []string{"big"}, far)
	q.Done(b, far)
	q.Add("waits", Content, far)
	if q.Take(far, 0) != nil || q.TakeBig(far, 0) != nil || q.Running() != 0 {
		t.Fatal("something is due as it is")
	}
	q.Retry(far)
	q.Hurry()
	q.Add("new", Name, far)
	small, big := q.Take(far, 0), q.TakeBig(far, 0)
	if small == nil || big == nil || len(small.Entries) != 2 || len(big.Entries) != 1 || q.Running() != 2 {
		t.Fatalf("%+v %+v, %d run", small, big, q.Running())
	}
	q.Done(small, far)
	q.Done(big, far)
	if q.AddWhole(far); !q.BeginWhole(far) || q.Running() != 1 {
		t.Errorf("%d run with a pass", q.Running())
	}
}
