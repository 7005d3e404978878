package calm

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// now is what the runtime is set to.
func now() (percent int, limit int64) {
	percent = debug.SetGCPercent(-1)
	debug.SetGCPercent(percent)
	return percent, debug.SetMemoryLimit(-1)
}

func TestCollector(t *testing.T) {
	percent, limit := now()
	if percent < 0 || limit != math.MaxInt64 {
		t.Fatalf("the test is run with GOGC=%d GOMEMLIMIT=%d", percent, limit)
	}
	synctest.Test(t, func(t *testing.T) {
		c := New()
		defer c.timer.Stop()
		is := func(on bool, when string) {
			t.Helper()
			synctest.Wait()
			p, l := now()
			if on && (p != percent || l != math.MaxInt64) {
				t.Errorf("%s: the collector is at %d, with a limit of %d", when, p, l)
			}
			if !on && (p != -1 || l > int64(heap())+2*Slack) {
				t.Errorf("%s: the collector is at %d, with a limit of %d", when, p, l)
			}
		}
		is(true, "at first")
		time.Sleep(After / 2)
		c.Work()
		time.Sleep(After/2 + 1)
		is(true, "after work")
		time.Sleep(After)
		is(false, "after a rest")
		time.Sleep(time.Hour)
		is(false, "an hour later")
		c.Work()
		is(true, "at work")
		c.Begin()
		time.Sleep(10 * After)
		is(true, "at long work")
		c.End()
		time.Sleep(After)
		is(true, "soon after")
		time.Sleep(After)
		is(false, "after another rest")
		c.Begin()
		is(true, "at the beginning")
		c.End()
	})
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys
}

// Who does not say that it works does not fill the memory.
func TestSlack(t *testing.T) {
	percent, _ := now()
	defer debug.SetGCPercent(percent)
	defer debug.SetMemoryLimit(math.MaxInt64)
	c := New()
	c.timer.Stop()
	c.look()
	before := heap()
	for range 64 {
		garbage = make([]byte, 1<<20)
		for i := 0; i < len(garbage); i += 4096 {
			garbage[i] = 1
		}
	}
	if after := heap(); after > before+2*Slack {
		t.Errorf("%d bytes more", after-before)
	}
	c.Work()
	if p, l := now(); p != percent || l != math.MaxInt64 {
		t.Errorf("afterwards the collector is at %d, with a limit of %d", p, l)
	}
	c.timer.Stop()
}

var garbage []byte

// It is called for each event.
func BenchmarkWork(b *testing.B) {
	c := New()
	defer c.timer.Stop()
	for b.Loop() {
		c.Work()
	}
}
