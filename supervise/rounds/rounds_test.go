package rounds

import (
	"testing"
	"testing/synctest"
	"time"
)

// due is how long it takes until the timer says so.
func due(t *Timer) time.Duration {
	begin := time.Now()
	<-t.C
	return time.Since(begin)
}

func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New()
		if wait := due(r); wait != Idle {
			t.Errorf("at first after %v", wait)
		}
		r.Looked(true)
		if wait := due(r); wait != Held {
			t.Errorf("held: after %v", wait)
		}
		r.Looked(false)
		time.Sleep(Busy - time.Second)
		for range 3 {
			r.News()
		}
		if wait := due(r); wait != time.Second {
			t.Errorf("news within %v of a look: after %v", Busy, wait)
		}
		r.Looked(true)
		r.News()
		if wait := due(r); wait != Held {
			t.Errorf("news while held: after %v", wait)
		}
		r.Looked(false)
		time.Sleep(Busy)
		r.News()
		if wait := due(r); wait != 0 {
			t.Errorf("news after %v: after %v", Busy, wait)
		}
	})
}
