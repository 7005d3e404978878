package tell

import (
	"container/list"
	"strings"
	"time"

	"lockstep/worker/listing"
)

// longest is how many times --settle a path is waited for that never is quiet.
const longest = 10

// Settler merges the changes of a path until it has been quiet for a while.
type Settler struct {
	wait  time.Duration
	tell  func(Event)
	order list.List // of *waiting; who was quiet longest is first
	at    map[string]*list.Element
}

type waiting struct {
	Event
	first time.Time
}

// NewSettler passes events on to tell.
func NewSettler(wait time.Duration, tell func(Event)) *Settler {
	return &Settler{wait: wait, tell: tell, at: map[string]*list.Element{}}
}

// Add takes a change. A move, and what concerns more than one path, ends the
// waiting of all.
func (s *Settler) Add(e Event) {
	if s.wait == 0 || e.Op >= Move {
		s.Flush()
		s.tell(e)
		return
	}
	el := s.at[e.Rel]
	if el == nil {
		s.at[e.Rel] = s.order.PushBack(&waiting{Event: e, first: e.At})
		return
	}
	w := el.Value.(*waiting)
	if w.Op == Create && e.Op == Remove { // it was there for less than the wait
		s.drop(el, e.Rel)
		return
	}
	w.Op = merged(w.Op, e.Op)
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

// drop forgets a path that came and went, and what is below it.
func (s *Settler) drop(el *list.Element, rel string) {
	s.order.Remove(el)
	delete(s.at, rel)
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
