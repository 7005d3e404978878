package tell

import (
	"container/list"
	"strings"
	"time"

	"lockstep/worker/listing"
)

// longest is how many times --settle a path is waited for that never is quiet;
// maxWaiting is how many paths are waited for at once: whoever can write in the root
// chooses how many change.
const longest, maxWaiting = 10, 1 << 16

// Settler merges the changes of a path until it has been quiet for a while.
type Settler struct {
	wait  time.Duration
	tell  func(Event)
	order list.List // of *waiting; who was quiet longest is first
	at    map[string]*list.Element
	below map[string]map[string]bool // of a directory: what waits in it, and what has something below it that waits
}

type waiting struct {
	Event
	first time.Time
}

// NewSettler passes events on to tell.
func NewSettler(wait time.Duration, tell func(Event)) *Settler {
	return &Settler{wait: wait, tell: tell, at: map[string]*list.Element{}, below: map[string]map[string]bool{}}
}

// Add takes a change. A move, and what concerns more than one path, ends the
// waiting of all.
func (s *Settler) Add(e Event) {
	if s.wait == 0 || e.Op >= Move {
		s.Flush()
		s.tell(e)
		return
	}
	if e.Op == Remove && e.Kind == listing.KindDir {
		s.forget(e.Rel) // what was in it went with it
	}
	el := s.at[e.Rel]
	if el != nil && el.Value.(*waiting).replacedBy(&e) {
		s.end(el)
		el = nil
	}
	if el == nil {
		if s.order.Len() >= maxWaiting {
			s.end(s.order.Front())
		}
		s.at[e.Rel] = s.order.PushBack(&waiting{Event: e, first: e.At})
		s.link(e.Rel)
		return
	}
	w := el.Value.(*waiting)
	if w.Op == Create && e.Op == Remove && !w.Over { // it was there for less than the wait
		s.drop(el, e.Rel)
		return
	}
	if w.Op = merged(w.Op, e.Op); w.Over && w.Op != Remove {
		w.Op = Create // that something was there before is not known
	}
	w.Kind, w.At, w.Seq = e.Kind, e.At, e.Seq
	if s.order.MoveToBack(el); e.At.Sub(w.first) >= longest*s.wait {
		s.end(el)
	}
}

// merged is what two changes of a path in a row come to.
func merged(first, then Op) Op {
	switch {
	case then == Remove:
		return Remove
	case first == Create:
		return Create
	case first == Remove, first == Modify, then == Modify:
		return Modify // what was removed and made again has another content
	}
	return then
}

// replacedBy says whether one or the other is a directory: what comes after one has
// gone is no change of it, since what was in it has gone.
func (w *waiting) replacedBy(e *Event) bool {
	return w.Op == Remove && (w.Kind == listing.KindDir || e.Kind == listing.KindDir && e.Op != Remove)
}

// drop ends the waiting of a path.
func (s *Settler) drop(el *list.Element, rel string) {
	s.order.Remove(el)
	delete(s.at, rel)
	s.unlink(rel)
}

// forget ends the waiting of all below a directory.
func (s *Settler) forget(dir string) {
	for rel := range s.below[dir] {
		s.forget(rel)
		if el := s.at[rel]; el != nil {
			s.drop(el, rel)
		}
	}
}

func parent(rel string) string { return rel[:max(strings.LastIndexByte(rel, '/'), 0)] }

// link lets the directories above a path know of it.
func (s *Settler) link(rel string) {
	for rel != "" {
		dir := parent(rel)
		in := s.below[dir]
		if in == nil {
			in = map[string]bool{}
			s.below[dir] = in
		}
		if in[rel] {
			return
		}
		in[rel] = true
		rel = dir
	}
}

// unlink is the reverse, for a path that does not wait.
func (s *Settler) unlink(rel string) {
	for rel != "" && s.at[rel] == nil && len(s.below[rel]) == 0 {
		delete(s.below, rel)
		dir := parent(rel)
		delete(s.below[dir], rel)
		rel = dir
	}
}

// end tells what became of a path; before it, that the directories above it
// were made.
func (s *Settler) end(el *list.Element) {
	w := el.Value.(*waiting)
	s.drop(el, w.Rel)
	for i := strings.LastIndexByte(w.Rel, '/'); i > 0; i = strings.LastIndexByte(w.Rel[:i], '/') {
		if up := s.at[w.Rel[:i]]; up != nil && up.Value.(*waiting).Op == Create {
			s.end(up)
			break
		}
	}
	if w.Op == Modify && w.Kind == listing.KindDir {
		w.Op = Attrib
	}
	s.tell(w.Event)
}

// Due tells what has been quiet for long enough.
func (s *Settler) Due(now time.Time) {
	for el := s.order.Front(); el != nil && now.Sub(el.Value.(*waiting).At) >= s.wait; el = s.order.Front() {
		s.end(el)
	}
}

// Flush tells all that waits.
func (s *Settler) Flush() {
	for el := s.order.Front(); el != nil; el = s.order.Front() {
		s.end(el)
	}
}

// Next is when due has something to do, zero for never.
func (s *Settler) Next() time.Time {
	if el := s.order.Front(); el != nil {
		return el.Value.(*waiting).At.Add(s.wait)
	}
	return time.Time{}
}
