package watch

import (
	"container/list"
	"strings"
	"time"

	"lockstep/worker/listing"
)

// longest is how many times --settle a path is waited for that never is quiet.
const longest = 10

// settler merges the changes of a path until it has been quiet for a while.
type settler struct {
	wait  time.Duration
	tell  func(event)
	order list.List // of *waiting; who was quiet longest is first
	at    map[string]*list.Element
}

type waiting struct {
	event
	first time.Time
}

func newSettler(wait time.Duration, tell func(event)) *settler {
	return &settler{wait: wait, tell: tell, at: map[string]*list.Element{}}
}

// add takes a change. A move, and what concerns more than one path, ends the
// waiting of all.
func (s *settler) add(e event) {
	if s.wait == 0 || e.op >= move {
		s.flush()
		s.tell(e)
		return
	}
	el := s.at[e.rel]
	if el == nil {
		s.at[e.rel] = s.order.PushBack(&waiting{event: e, first: e.at})
		return
	}
	w := el.Value.(*waiting)
	if w.op == create && e.op == remove { // it was there for less than the wait
		s.drop(el, e.rel)
		return
	}
	w.op = merged(w.op, e.op)
	w.kind, w.at, w.seq = e.kind, e.at, e.seq
	if s.order.MoveToBack(el); e.at.Sub(w.first) >= longest*s.wait {
		s.end(el)
	}
}

// merged is what two changes of a path in a row come to.
func merged(first, then op) op {
	switch {
	case then == remove:
		return remove
	case first == create:
		return create
	case first == remove, first == modify, then == modify:
		return modify // what was removed and made again has another content
	}
	return then
}

// drop forgets a path that came and went, and what is below it.
func (s *settler) drop(el *list.Element, rel string) {
	s.order.Remove(el)
	delete(s.at, rel)
}

// end tells what became of a path; before it, that the directories above it
// were made.
func (s *settler) end(el *list.Element) {
	w := el.Value.(*waiting)
	s.drop(el, w.rel)
	for i := strings.LastIndexByte(w.rel, '/'); i > 0; i = strings.LastIndexByte(w.rel[:i], '/') {
		if up := s.at[w.rel[:i]]; up != nil && up.Value.(*waiting).op == create {
			s.end(up)
			break
		}
	}
	if w.op == modify && w.kind == listing.KindDir {
		w.op = attrib
	}
	s.tell(w.event)
}

// due tells what has been quiet for long enough.
func (s *settler) due(now time.Time) {
	for el := s.order.Front(); el != nil && now.Sub(el.Value.(*waiting).at) >= s.wait; el = s.order.Front() {
		s.end(el)
	}
}

func (s *settler) flush() {
	for el := s.order.Front(); el != nil; el = s.order.Front() {
		s.end(el)
	}
}

// next is when due has something to do, zero for never.
func (s *settler) next() time.Time {
	if el := s.order.Front(); el != nil {
		return el.Value.(*waiting).at.Add(s.wait)
	}
	return time.Time{}
}
