// Package calm keeps a process asleep in which nothing happens: Go's runtime
// collects garbage once in two minutes even where none was made, which wakes
// every thread of it, in some processes forty times.
//
// Trust: linked into supervisor, worker and runner. Imports: the standard library.
//
// Invariant: the collector is off only while nobody works, and even then it runs
// when as much as Slack has been allocated.
package calm

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// After is how long nothing has happened when the collector is turned off; it
	// is so at the second look at the latest.
	After = 30 * time.Second
	// Slack is what may be allocated meanwhile by who does not say that it works.
	Slack = 16 << 20
)

// Collector turns the garbage collector off and on. There is one in a process at
// most; nil does nothing.
type Collector struct {
	worked atomic.Bool // since the last look
	off    atomic.Bool

	mu      sync.Mutex
	busy    int         // who has begun and not ended
	percent int         // what to go back to (GOGC)
	timer   *time.Timer // to the next look; stopped while the collector is off
}

// New leaves the collector on until nothing has happened for a while.
func New() *Collector {
	c := &Collector{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(After, c.look)
	return c
}

// Work says that something has happened. It may be called for each event.
func (c *Collector) Work() {
	if c == nil {
		return
	}
	if !c.worked.Load() {
		c.worked.Store(true)
	}
	if c.off.Load() {
		c.wake()
	}
}

// Begin says that something goes on until End is called.
func (c *Collector) Begin() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.busy++
	c.mu.Unlock()
	c.Work()
}

// End is called once for each Begin.
func (c *Collector) End() {
	if c == nil {
		return
	}
	c.Work()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
}

func (c *Collector) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.off.Load() {
		return
	}
	debug.SetMemoryLimit(math.MaxInt64)
	debug.SetGCPercent(c.percent)
	c.off.Store(false)
	c.timer.Reset(After)
}

func (c *Collector) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.worked.Swap(false) || c.busy > 0 {
		c.timer.Reset(After)
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetMemoryLimit(int64(m.Sys-m.HeapReleased) + Slack)
	c.percent = debug.SetGCPercent(-1)
	c.off.Store(true)
}
