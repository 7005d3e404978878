// Package rounds says when a sync's roots are looked at. A directory that is
// exchanged for another one without a mount shows in no table of the kernel's.
//
// Trust: part of the supervisor.
//
// Invariant: they are looked at every Idle at least, every Busy while the worker
// has something to tell, and every Held while one of them is not what it was.
package rounds

import "time"

// How long it is from one look to the next.
const (
	Busy = time.Minute
	Idle = 15 * time.Minute // each look wakes the process some fifty times: its runtime's monitor
	Held = 2 * time.Second
)

// Timer tells by C when the next look is due.
type Timer struct {
	C   <-chan time.Time
	t   *time.Timer
	set time.Time
}

// New is a timer that runs.
func New() *Timer {
	t := time.NewTimer(Idle)
	return &Timer{C: t.C, t: t, set: time.Now()}
}

// Looked sets the next time after a look; held says what it showed.
func (t *Timer) Looked(held bool) {
	wait := Idle
	if held {
		wait = Held
	}
	t.set = time.Now()
	t.t.Reset(wait)
}

// News says that the worker had something to tell.
func (t *Timer) News() {
	if time.Since(t.set) >= Busy {
		t.t.Reset(0)
	}
}
