// Package rounds says when a sync's roots are looked at. A directory that is
// exchanged for another one without a mount shows in no table of the kernel's.
//
// Trust: part of the supervisor.
//
// Invariant: they are looked at every Idle at least, Busy after a look if the worker
// has had something to tell since, and every Held while one of them is not what it
// was.
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
	// near: the next look is due in Busy at most.
	near bool
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
	t.set, t.near = time.Now(), held
	t.t.Reset(wait)
}

// News says that the worker had something to tell.
func (t *Timer) News() {
	if !t.near {
		t.near = true
		t.t.Reset(max(Busy-time.Since(t.set), 0))
	}
}
