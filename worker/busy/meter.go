// Package busy finds the directories in which so much happens that it is cheaper to
// look at them once a second than to hear of each change (gamin's flow control), and
// keeps account of them until they are calm.
//
// Trust: part of the worker. How much happens where is chosen by whoever can write in
// the root.
// Imports: the standard library, monitor, worker/poll and worker/tree only. Pure: time
// is an argument.
//
// Invariants: a directory that rests was listed while it was watched, and is compared
// with that listing from then on; it is forgotten only after a comparison with a
// listing that was asked for while it was watched again. An event costs no memory, and
// a calm directory neither.
package busy

import "time"

// slots is how many busy directories can be told apart at a time.
const slots = 8

const (
	window  = time.Second // over which events are counted
	lasting = 3           // windows in a row make a directory busy: a burst is none
)

// Meter finds the watches with the most events, in memory of a fixed size: the counts
// of Misra and Gries, which are never too high, and too low by a ninth of all
// events at most.
type Meter struct {
	Rate int // events a second that are too many

	began time.Time // of the window
	last  int
	slot  [slots]slot
}

// slot is one watch that is counted.
type slot struct {
	wd    int32
	count int // in this window; a slot without events is free
	held  int // windows in a row before it with too many
}

// Count notes an event.
func (m *Meter) Count(wd int32) {
	if s := &m.slot[m.last]; s.wd == wd && s.count+s.held > 0 { // most come in runs
		s.count++
		return
	}
	free := -1
	for i := range m.slot {
		s := &m.slot[i]
		switch {
		case s.count+s.held == 0:
			free = i
		case s.wd == wd:
			s.count++
			m.last = i
			return
		}
	}
	if free >= 0 {
		m.slot[free] = slot{wd: wd, count: 1}
		m.last = free
		return
	}
	for i := range m.slot {
		m.slot[i].count = max(m.slot[i].count-1, 0)
	}
}

// Over ends the window when its time has come, and calls busy for each watch that had
// too many events in so many windows in a row. It is to be called now and then while
// there are events.
func (m *Meter) Over(now time.Time, busy func(wd int32)) {
	took := now.Sub(m.began)
	if took >= 0 && took < window {
		return
	}
	m.began = now
	most := float64(m.Rate) * max(took, window).Seconds()
	for i := range m.slot {
		s := &m.slot[i]
		s.held++
		if float64(s.count) < most {
			s.held = 0
		}
		s.count = 0
		if s.held == lasting {
			s.held = 0
			busy(s.wd)
		}
	}
}
