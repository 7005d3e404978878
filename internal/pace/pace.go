// Package pace says how often a queue of events is read.
//
// Trust: linked into worker and resolver. Imports: the standard library and x/sys.
package pace

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// A stream of changes is not read event by event but every few milliseconds:
// that costs one wake-up for many of them, and the kernel merges equal ones
// while they wait.
const (
	// FreeReads after a rest follow at once: one change is several events, and
	// it must meet no timer.
	FreeReads = 8
	leastRest = time.Millisecond
	MostRest  = 8 * time.Millisecond
	// A read of less than few bytes makes the next rest longer, one of more than
	// many shorter, and of more than flood there is none: even a queue of 1,024
	// events must not fill meanwhile.
	few, many, flood = 1 << 10, 4 << 10, 8 << 10
)

// Pace says how long to rest before the next read. It grants FreeReads, and one
// more for each MostRest that was not spent resting.
type Pace struct {
	credit int
	rest   time.Duration
	at     time.Time // up to when credit was given
}

// After is how long to rest after a read of n bytes.
func (p *Pace) After(n int, now time.Time) time.Duration {
	if earned := int(min(now.Sub(p.at)/MostRest, FreeReads)); earned > 0 {
		p.credit, p.at = min(p.credit+earned, FreeReads), now
	}
	switch {
	case n >= flood:
		p.rest = 0
	case p.credit > 0:
		p.credit--
		p.rest = 0
	case n >= many:
		p.rest = max(p.rest/2, leastRest)
	case n < few:
		p.rest = min(max(2*p.rest, leastRest), MostRest)
	default:
		p.rest = max(p.rest, leastRest)
	}
	if p.rest > 0 {
		p.at = now.Add(p.rest)
	}
	return p.rest
}

// Rest lets events gather. A timer of the runtime's would do so in its poller.
func Rest(d time.Duration) {
	runtime.Gosched()
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // EINTR: then it was shorter
}
