// Package doubt remembers where a target may hold what was never there, and when
// that came about: each target can then tell for itself whether it is concerned.
//
// Trust: part of the worker. Paths are hostile, and kept as hashes only.
// Imports: the standard library. Pure: time is an argument.
//
// Invariant: of what was added and not forgotten since, Of names every path that
// is at or above the one asked for.
package doubt

import "time"

// Doubt is a reason why a target may hold, below a directory, what was never
// there: a directory vanished there or above it; or (Pass) one was new there or
// above it while a pass over some target was due or under way, which may have
// copied from it before it was watched.
//
// It applies to a target that is not settled after Last (see track.Tracker.Acknowledged); of a
// Pass, only if it is one that this target's pass could see: one is due, under
// way or not caught up with (see track.Tracker.Pass), or the last one ended after First.
type Doubt struct {
	Pass        bool
	First, Last time.Time // when it was noted
}

// Set remembers paths of directories by their hash: two paths of one hash
// cost a needless pruning and nothing else. Bounded: of too many the older half
// is forgotten.
type Set struct {
	base  time.Time // of the first note
	at    map[uint64]span
	order []note
}

// span is when a path was noted for the first time and for the last, in
// nanoseconds since base.
type span struct{ first, last int64 }

type note struct {
	hash uint64
	when int64
}

// maxNotes is what the burst of a large tree's removal may bring: 20 MB.
const maxNotes = 1 << 18

// FNV-1a, which gives the hash of each path on the way.
const (
	fnvStart = 14695981039346656037
	fnvPrime = 1099511628211
)

// Add notes rel. When it had to forget notes for that it says up to which time.
func (d *Set) Add(rel string, now time.Time) (until time.Time) {
	if d.base.IsZero() {
		d.base = now
	}
	hash, at := uint64(fnvStart), int64(now.Sub(d.base))
	for i := range len(rel) {
		hash = (hash ^ uint64(rel[i])) * fnvPrime
	}
	if d.at == nil {
		d.at = map[uint64]span{}
	}
	noted, known := d.at[hash]
	if known && noted.last == at {
		return until
	}
	if !known {
		noted.first = at
	}
	noted.last = at
	d.at[hash] = noted
	d.order = append(d.order, note{hash, at})
	if len(d.order) > maxNotes {
		until = d.time(d.order[maxNotes/2].when)
		d.Forget(until.Add(1))
	}
	return until
}

// Of appends what was noted of rel and of the directories above it.
func (d *Set) Of(to []Doubt, rel string, pass bool) []Doubt {
	if len(d.at) == 0 {
		return to
	}
	hash := uint64(fnvStart)
	for i := 0; i <= len(rel); i++ {
		if i == len(rel) || rel[i] == '/' {
			if s, in := d.at[hash]; in {
				to = append(to, Doubt{Pass: pass, First: d.time(s.first), Last: d.time(s.last)})
			}
		}
		if i < len(rel) {
			hash = (hash ^ uint64(rel[i])) * fnvPrime
		}
	}
	return to
}

func (d *Set) time(at int64) time.Time { return d.base.Add(time.Duration(at)) }

// Forget drops what was not noted again since until.
func (d *Set) Forget(until time.Time) {
	n, end := 0, int64(until.Sub(d.base))
	for n < len(d.order) && d.order[n].when < end {
		old := d.order[n]
		if d.at[old.hash].last == old.when { // else a younger note is of the same path
			delete(d.at, old.hash)
		}
		n++
	}
	if d.order = d.order[n:]; len(d.order) == 0 {
		d.at, d.order = nil, nil // an idle tracker holds no memory
	}
}

// Memory is what a tracker remembers for its targets, and whether passes over
// them are due or under way.
type Memory struct {
	vanished Set  // where directories vanished
	passed   Set  // where they were new while a pass was due or under way
	due      bool // a pass has been called for and has not begun
	passes   int  // under way
	doubts   []Doubt
}

// Due says that a pass is called for.
func (m *Memory) Due() { m.due = true }

// Pass says that a pass begins, or (false) has ended.
func (m *Memory) Pass(running bool) {
	if running {
		m.passes++
		m.due = false
	} else if m.passes > 0 {
		m.passes--
	}
}

// Passing says whether a pass is due or under way.
func (m *Memory) Passing() bool { return m.due || m.passes > 0 }

// Vanished notes that a directory is no longer at rel, or may not be the one that
// it was. When notes had to be forgotten for that it says up to which time.
func (m *Memory) Vanished(rel string, now time.Time) (until time.Time) {
	return m.vanished.Add(rel, now)
}

// Fresh notes that a directory is new at rel, if a pass may find it before it is
// watched.
func (m *Memory) Fresh(rel string, now time.Time) (until time.Time) {
	if !m.Passing() {
		return until
	}
	return m.passed.Add(rel, now)
}

// Of is what was noted of rel and of the directories above it: valid until the
// next call.
func (m *Memory) Of(rel string) []Doubt {
	m.doubts = m.vanished.Of(m.passed.Of(m.doubts[:0], rel, true), rel, false)
	return m.doubts
}

// Forget drops what was not noted again since until.
func (m *Memory) Forget(until time.Time) {
	m.vanished.Forget(until)
	m.passed.Forget(until)
}
