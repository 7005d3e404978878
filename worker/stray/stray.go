// Package stray keeps account of watch descriptors that belong to no directory of
// the tree: such as had events, were ended, or lost their directory.
//
// Trust: part of the worker. How many there are is chosen by whoever can write in
// the root.
// Imports: the standard library. Pure: time is an argument.
//
// Invariant: memory is bounded; what is forgotten for that is answered as if it
// were known (Marks), or belongs to a watch that the kernel ends (Orphans).
package stray

import "time"

// Marks are descriptors, each with the serial number of the last walk that had
// been handed out when it was noted: answers up to that one are concerned.
// Bounded: of too many, every answer up to a number is taken to be concerned.
type Marks struct {
	at  map[int32]uint64
	all uint64
}

const maxMarks = 1 << 16

// Note adds a descriptor; serial is the last walk's that was handed out.
func (m *Marks) Note(wd int32, serial uint64) {
	if len(m.at) >= maxMarks {
		m.at, m.all = nil, serial
	}
	if m.at == nil {
		m.at = map[int32]uint64{}
	}
	m.at[wd] = serial
}

// Forget removes a descriptor.
func (m *Marks) Forget(wd int32) { delete(m.at, wd) }

// Concern says whether the answer with that serial number is concerned.
func (m *Marks) Concern(wd int32, serial uint64) bool {
	noted, is := m.at[wd]
	return is && noted >= serial || m.all >= serial
}

// Any says whether anything was noted.
func (m *Marks) Any() bool { return m.all > 0 || len(m.at) > 0 }

// Orphans are watches that no directory of the tree has: to be ended, in time.
// The zero value has none.
type Orphans struct {
	in    map[int32]bool
	order []int32
	since time.Time // when the first of them was added
}

// Add adds one, unless it is there.
func (o *Orphans) Add(wd int32, now time.Time) {
	if o.in[wd] {
		return
	}
	if o.in == nil {
		o.in = map[int32]bool{}
	}
	if len(o.order) == 0 {
		o.since = now
	}
	o.in[wd] = true
	o.order = append(o.order, wd)
}

// Remove takes out one that has a directory again, or that the kernel ended.
func (o *Orphans) Remove(wd int32) { delete(o.in, wd) }

// Since is when the oldest was added, and whether there is any.
func (o *Orphans) Since() (since time.Time, any bool) { return o.since, len(o.order) > 0 }

// End calls end for each, for a bounded number at a time.
func (o *Orphans) End(end func(wd int32)) {
	n := min(len(o.order), 4096)
	for _, wd := range o.order[:n] {
		if o.in[wd] {
			delete(o.in, wd)
			end(wd)
		}
	}
	if o.order = o.order[n:]; len(o.order) == 0 {
		o.order = nil
	}
}
