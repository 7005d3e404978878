package pump

import (
	"io"
	"slices"
	"sync"
	"time"

	"lockstep/ipc/status"
)

// reportEvery bounds how often counters that merely run are told; a change of
// state is told at once.
const reportEvery = 200 * time.Millisecond

// Reporter hands the newest reports to the supervisor without ever making the
// engine wait: a report that was not yet written is replaced by a newer one of
// the same target, so that there are never more than one a target.
type Reporter struct {
	mu     sync.Mutex
	unread []status.Report
	wake   chan struct{}
	said   map[uint64]said // by target
}

// said is what the supervisor was last told of a target, and when.
type said struct {
	rep status.Report
	at  time.Time
}

// NewReporter starts the goroutine that writes reports to w.
func NewReporter(w io.Writer) *Reporter {
	r := &Reporter{wake: make(chan struct{}, 1), said: map[uint64]said{}}
	go func() {
		for range r.wake {
			for rep, ok := r.take(); ok; rep, ok = r.take() {
				b := rep.Encode()
				if _, err := w.Write(b[:]); err != nil {
					return // the supervisor is gone; its death ends this process
				}
			}
		}
	}()
	return r
}

// take removes the oldest report that was not written yet.
func (r *Reporter) take() (rep status.Report, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unread) == 0 {
		return rep, false
	}
	rep = r.unread[0]
	r.unread = slices.Delete(r.unread, 0, 1)
	return rep, true
}

// Offer passes rep on if it says something new of its target, and returns when
// it wants to be called again although nothing happens (zero: not at all).
func (r *Reporter) Offer(rep status.Report, now time.Time) time.Time {
	last, told := r.said[rep.Target]
	if told && rep == last.rep {
		return time.Time{}
	}
	if told && !urgent(rep, last.rep) && now.Sub(last.at) < reportEvery {
		return last.at.Add(reportEvery)
	}
	r.said[rep.Target] = said{rep, now}
	r.put(rep)
	select {
	case r.wake <- struct{}{}:
	default: // the writer is awake, or about to be
	}
	return time.Time{}
}

func (r *Reporter) put(rep status.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.unread {
		if r.unread[i].Target == rep.Target {
			r.unread[i] = rep // the writer did not get to it; the new one says it all
			return
		}
	}
	r.unread = append(r.unread, rep)
}

// urgent says whether a person or the supervisor acts on the difference.
func urgent(a, b status.Report) bool {
	return a.State != b.State || a.Ready != b.Ready || a.Held != b.Held ||
		a.Verified != b.Verified || a.Initials != b.Initials || a.Attempts != b.Attempts || a.Fault != b.Fault
}
