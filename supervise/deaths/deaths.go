// Package deaths says what follows from deaths that repeat: a longer wait, or no
// further start.
//
// Trust: linked into the supervisor; pure.
//
// Invariant: the first restart is immediate, and no wait is longer than 30 s.
package deaths

import "time"

// Backoff is the wait after n early deaths in a row.
func Backoff(n int) time.Duration {
	const first, longest = 50 * time.Millisecond, 30 * time.Second
	if n == 0 {
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

// Count counts one, and says whether they are too many.
func (s *Sigsys) Count(now time.Time) (tooMany bool) {
	kept := s.at[:0]
	for _, at := range append(s.at, now) {
		if now.Sub(at) < SigsysWindow {
			kept = append(kept, at)
		}
	}
	s.at = kept
	return len(kept) >= MaxSigsys
}
