package track

import (
	"time"

	"lockstep/worker/clock"
)

// The targets of a sim, each at its own pace.

// empty is reached when the event queue was read until it was empty.
func (s *sim) empty() {
	s.heard()
	for _, m := range s.all {
		if m.ended {
			m.ended, m.until = false, s.now
			s.t.Pass(false)
		}
	}
	if s.settles.IsZero() {
		return
	}
	first := s.settles
	for _, m := range s.all {
		if !m.dirtied && m.idle() && s.t.Idle() {
			m.settled = s.settles
		}
		if m.settled.Before(first) {
			first = m.settled
		}
	}
	s.settles = time.Time{}
	s.t.Acknowledged(first)
}

// settleSoon begins to settle, which the next empty queue ends.
func (s *sim) settleSoon() {
	if !s.settles.IsZero() || !s.t.Idle() {
		return
	}
	s.settles = s.now
	for _, m := range s.all {
		m.dirtied = !m.idle()
	}
}

func (s *sim) target() {
	i := s.next(len(s.all))
	if i > 0 && s.next(s.slower) > 0 {
		i = 0
	}
	s.work(i)
}

// work lets one target do one thing, and says whether there was any.
func (s *sim) work(i int) bool {
	m := s.all[i]
	switch {
	case len(m.pass) > 0:
		m.step()
		m.ended = len(m.pass) == 0 && !m.beside
	case m.beside && !s.t.Complete():
		return false
	case m.beside:
		m.beside, m.ended = false, true
	case len(m.taken) > 0:
		m.work()
	case m.due && s.t.Complete() && !m.ended:
		s.logf("target %d: pass", i)
		s.t.Pass(true)
		m.begin()
	case m.due:
		return false
	case len(m.marks) > 0:
		s.logf("target %d: take %v", i, m.marks)
		m.take()
	default:
		s.settleSoon()
		return false
	}
	return true
}

// heard tells the tracker that all that has changed up to now was told.
func (s *sim) heard() {
	at := s.now
	if s.k.clock == nil {
		at = time.Unix(0, int64(ctime(s.k.version)))
	}
	s.t.Heard(at)
}

// start begins everything: the passes once the walk has ended, or beside it.
func (s *sim) start() {
	s.heard()
	if s.next(2) == 0 || s.p != nil && s.p.tick > 10*time.Millisecond {
		s.t.Start(true, 0)
		s.Rescan("start")
		return
	}
	if s.joins = s.p == nil && s.next(2) == 0; s.joins {
		s.t.Start(s.next(2) == 0, 0)
		s.Rescan("start")
		return
	}
	s.cover.besides++
	if s.p != nil {
		s.t.Start(true, clock.Since(s.now))
	} else {
		s.t.Start(s.next(2) == 0, s.since())
	}
	s.beginBeside()
}

// since is from when on listings tell times, so that a pass can begin now.
func (s *sim) since() uint64 { return ctime(max(1, s.k.version+1-s.next(2)*s.next(20))) }

func (s *sim) beginBeside() {
	for _, m := range s.all {
		s.t.Pass(true)
		m.begin()
		m.beside = true
	}
}

// join begins the passes beside a walk that has gone alone until now: once all is
// answered that was asked for without times. serial is that of an answer.
func (s *sim) join(serial uint64) {
	switch {
	case !s.joins:
	case s.t.Complete():
		s.joins = false // they follow the walk
	case s.blind == 0 && s.next(4) == 0:
		s.logf("times from now on")
		s.blind = s.t.Since(s.since())
	case s.blind > 0 && serial > s.blind:
		s.logf("passes join the walk")
		s.joins = false
		s.cover.joined++
		s.beginBeside()
	}
}

// busy lets the targets work until none has anything left to do.
func (s *sim) busy() bool {
	busy := false
	for i := range s.all {
		busy = s.work(i) || busy
	}
	return busy
}
