// Package deaths says what follows from deaths that repeat: a longer wait, or no
// further start.
//
// Trust: linked into the supervisor; pure.
//
// Invariant: the first restart is immediate, and no wait is longer than 30 s.
package deaths

import (
	"fmt"
	"syscall"
	"time"

	"lockstep/supervise/exit"
)

// Row counts deaths that follow each other closely.
type Row struct{ N int }

// Wait counts a death now, of what was ready since then (zero: it never was),
// and says how long to wait before it is started again. What dies without ever
// being ready will most likely do so again, so that the wait doubles. What had
// been ready was most likely killed: it is back within a second even if that
// happens time and again, until it has happened so often that it must be a
// fault of its own.
func (r *Row) Wait(ready, now time.Time) time.Duration {
	if !ready.IsZero() && now.Sub(ready) > soon {
		r.N = 0
	}
	r.N++
	if ready.IsZero() {
		return backoff(r.N - 1)
	}
	return min(backoff(r.N-1), max(short, backoff(r.N-patience)))
}

const (
	soon     = time.Second // a death within this after readiness is an early one
	short    = 250 * time.Millisecond
	patience = 200 // early deaths of what was ready
)

// backoff is the wait after n early deaths in a row.
func backoff(n int) time.Duration {
	const first, longest = 50 * time.Millisecond, 30 * time.Second
	if n <= 0 {
		return 0
	}
	return min(first<<min(n-1, 16), longest)
}

const (
	MaxSigsys    = 5 // deaths by SIGSYS within SigsysWindow: no bug that a restart mends
	SigsysWindow = time.Minute
)

// Sigsys counts deaths by a forbidden system call.
type Sigsys struct{ at []time.Time }

// Locked counts the end of a process if it was by SIGSYS. It is an error when
// there were too many: what keeps making forbidden calls is locked out.
func (s *Sigsys) Locked(role string, sig syscall.Signal, now time.Time) error {
	if sig != syscall.SIGSYS || !s.count(now) {
		return nil
	}
	return exit.Error{Code: exit.Locked, Err: fmt.Errorf("locked out: %d deaths by a forbidden system call within %v, the last of the %s; "+
		"it is an attack or a bug: look at the audit log and report it, and start lockstep again only then", MaxSigsys, SigsysWindow, role)}
}

// count counts one, and says whether they are too many.
func (s *Sigsys) count(now time.Time) (tooMany bool) {
	kept := s.at[:0]
	for _, at := range append(s.at, now) {
		if now.Sub(at) < SigsysWindow {
			kept = append(kept, at)
		}
	}
	s.at = kept
	return len(kept) >= MaxSigsys
}
