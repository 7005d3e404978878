package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockstep/ipc/status"
)

// Live makes the live line and the status text out of the worker's numbers.
type Live struct {
	// Expected is what Report.Walked came to in the last whole walk; 0: unknown.
	Expected uint64

	report  status.Report
	since   time.Time // when the present state began
	samples []sample  // of the last rateWindow
}

type sample struct {
	at     time.Time
	synced uint64
}

const rateWindow = 5 * time.Second

// Update takes the newest numbers.
func (l *Live) Update(r status.Report, now time.Time) {
	if l.since.IsZero() || r.State != l.report.State {
		l.since = now
	}
	if r.Synced < l.report.Synced {
		l.samples = nil // another worker, which counts from zero
	}
	l.report = r
	l.samples = append(l.samples, sample{now, r.Synced})
	for len(l.samples) > 2 && now.Sub(l.samples[1].at) > rateWindow {
		l.samples = l.samples[1:]
	}
}

// rate is how many paths a second were acknowledged lately.
func (l *Live) rate(now time.Time) float64 {
	if len(l.samples) < 2 {
		return 0
	}
	first, last := l.samples[0], l.samples[len(l.samples)-1]
	if now.Sub(last.at) > rateWindow {
		return 0
	}
	passed := max(now.Sub(first.at), time.Second)
	return float64(last.synced-first.synced) / passed.Seconds()
}

// Moving says that the line changes with time alone.
func (l *Live) Moving() bool {
	switch l.report.State {
	case status.StateStarting, status.StateWalking, status.StateInitial:
		return true
	}
	return false
}

// StateName is a state in words.
func StateName(s status.State) string {
	switch s {
	case status.StateStarting:
		return "starting"
	case status.StateWalking:
		return "walking"
	case status.StateInitial:
		return "whole sync"
	case status.StateSyncing:
		return "syncing"
	case status.StateInStep:
		return "in step"
	case status.StateHeld:
		return "held"
	case status.StateRetrying:
		return "retrying"
	case status.StateDraining:
		return "stopping"
	}
	return "unknown state"
}

// Line is what the live line shows now.
func (l *Live) Line(now time.Time) string {
	r := &l.report
	switch r.State {
	case status.StateStarting, status.StateWalking, status.StateInitial:
		return l.progress(now)
	}
	parts := []string{StateName(r.State), count(r.Dirs, "dir"), "queue " + Number(r.Queue+r.Big), "in flight " + Number(r.InFlight)}
	if r.Doubt > 0 {
		parts = append(parts, "in doubt "+Number(r.Doubt))
	}
	if r.LastSync > 0 {
		parts = append(parts, "last sync "+time.Unix(0, int64(r.LastSync)).Format("15:04:05"))
	}
	if rate := l.rate(now); rate >= 0.1 {
		parts = append(parts, strconv.FormatFloat(rate, 'f', 1, 64)+"/s")
	}
	return strings.Join(parts, " · ")
}

const barWidth = 24

// progress is the line while the number of what is left is not known, or
// known from the last time only.
func (l *Live) progress(now time.Time) string {
	r := &l.report
	elapsed := now.Sub(l.since)
	bar := bounce(elapsed)
	if r.State == status.StateWalking && l.Expected > 0 {
		bar = fill(r.Walked, l.Expected)
	}
	return fmt.Sprintf("%s [%s] %s · %d:%02d", StateName(r.State), bar,
		count(r.Dirs, "dir"), int(elapsed.Minutes()), int(elapsed.Seconds())%60)
}

// fill is a bar of a known share; never quite full, since a tree may have grown.
func fill(done, all uint64) string {
	n := barWidth - 1
	if done < all {
		n = int(done * (barWidth - 1) / all)
	}
	return strings.Repeat("█", n) + strings.Repeat("░", barWidth-n)
}

// bounce is a bar of an unknown share: a block that wanders.
func bounce(elapsed time.Duration) string {
	const block = 5
	span := barWidth - block
	at := int(elapsed/(100*time.Millisecond)) % (2 * span)
	if at > span {
		at = 2*span - at
	}
	return strings.Repeat("░", at) + strings.Repeat("█", block) + strings.Repeat("░", span-at)
}

// Status is one line for the service manager.
func (l *Live) Status() string {
	r := &l.report
	return fmt.Sprintf("%s: %s, queue %s, in flight %s, in doubt %s", StateName(r.State),
		count(r.Dirs, "dir"), Number(r.Queue+r.Big), Number(r.InFlight), Number(r.Doubt))
}

// Number writes a number with a comma each three digits.
func Number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number and what it counts.
func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return Number(n) + " " + what + "s"
}
