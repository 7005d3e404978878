package pump

import (
	"io"
	"time"

	"lockstep/ipc/status"
)

// reportEvery bounds how often counters that merely run are told; a change of
// state is told at once.
const reportEvery = 200 * time.Millisecond

// Reporter hands the newest report to the supervisor without ever making the
// engine wait: a report that was not yet written is replaced by a newer one.
type Reporter struct {
	slot chan status.Report
	last status.Report
	at   time.Time
}

// NewReporter starts the goroutine that writes reports to w.
func NewReporter(w io.Writer) *Reporter {
	r := &Reporter{slot: make(chan status.Report, 1)}
	go func() {
		for rep := range r.slot {
			b := rep.Encode()
			if _, err := w.Write(b[:]); err != nil {
				return // the supervisor is gone; its death ends this process
			}
		}
	}()
	return r
}

// Offer passes rep on if it says something new, and returns when it wants to
// be called again although nothing happens (zero: not at all).
func (r *Reporter) Offer(rep status.Report, now time.Time) time.Time {
	if rep == r.last {
		return time.Time{}
	}
	if !urgent(rep, r.last) && now.Sub(r.at) < reportEvery {
		return r.at.Add(reportEvery)
	}
	select {
	case <-r.slot: // the writer did not get to it; the new one says it all
	default:
	}
	r.slot <- rep
	r.last, r.at = rep, now
	return time.Time{}
}

// urgent says whether a person or the supervisor acts on the difference.
func urgent(a, b status.Report) bool {
	return a.State != b.State || a.Ready != b.Ready || a.Held != b.Held ||
		a.Verified != b.Verified || a.Initials != b.Initials || a.Attempts != b.Attempts
}
