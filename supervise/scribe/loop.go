package scribe

import (
	"errors"
	"fmt"
	"time"

	"lockstep/trail"
	"lockstep/trail/store"
)

// loop writes until all is written after Close.
func (s *Scribe) loop() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	for {
		s.mu.Lock()
		queue, lost, closed := s.queue, s.lost, s.closed
		s.queue, s.lost = nil, 0
		s.mu.Unlock()
		s.missed += lost
		for _, e := range queue {
			s.put(e)
		}
		if closed && len(queue) == 0 {
			s.end()
			return
		}
		if closed {
			continue
		}
		timer.Stop()
		if due := s.due(); !due.IsZero() {
			wait := time.Until(due)
			if wait <= 0 { // whatever has happened meanwhile, and however often
				s.again()
				continue
			}
			timer.Reset(wait)
		}
		select {
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// due is when again has something to do; zero: it has nothing.
func (s *Scribe) due() time.Time {
	switch {
	case s.Failing() != nil:
		return s.tried.Add(retryEvery)
	case s.open > 0:
		return s.since.Add(signSoon)
	}
	return time.Time{}
}

// Failing says why nothing can be written now; nil: it can.
func (s *Scribe) Failing() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing
}

// again signs what is not signed, or tries again to write.
func (s *Scribe) again() {
	if s.Failing() == nil {
		s.sign()
		return
	}
	s.missed += drop(&s.held)
	if s.mend() {
		held := s.held
		s.held = nil
		for _, e := range held {
			s.put(e)
		}
	}
}

// put writes an entry, or counts it.
func (s *Scribe) put(e entry) {
	if s.Failing() != nil { // again tries
		s.hold(e)
		return
	}
	err := s.write(e.Record)
	if err != nil {
		s.fails(err, 0)
		s.hold(e)
		return
	}
	if e.then != nil {
		e.then()
	}
}

// hold keeps an entry that could not be written, if something waits for it.
func (s *Scribe) hold(e entry) {
	if e.then == nil {
		s.missed++
		return
	}
	s.held = append(s.held, e) // each runner has few that it waits for
	s.missed += drop(&s.held)
}

// mend writes that something is missing; from then on the trail is whole again.
func (s *Scribe) mend() bool {
	gap := s.stamp(trail.Record{Event: trail.Event{Type: trail.Gap, Outcome: trail.Failure, Why: trail.Why{Rule: "audit", Reason: fmt.Sprint(s.Failing())}, Facts: trail.Facts{Lost: s.missed}}})
	if err := s.store.Append(gap); err != nil {
		s.fails(err, 0)
		return false
	}
	s.log.Warn("the audit trail can be written again", "lost", s.missed)
	s.missed, s.told = 0, time.Time{}
	s.mu.Lock()
	s.failing = nil
	s.mu.Unlock()
	s.sign()
	return s.Failing() == nil
}

// fails takes note of a record that could not be written.
func (s *Scribe) fails(err error, missed uint64) {
	s.missed += missed
	s.mu.Lock()
	s.failing = err
	s.mu.Unlock()
	s.tried = time.Now()
	if s.told.IsZero() || s.tried.Sub(s.told) >= tellEvery {
		s.told = s.tried
		text := "the audit trail cannot be written: what happens is counted, and that is recorded when it can be"
		if s.strict {
			text = `the audit trail cannot be written, and no command is begun until it can be (audit = "strict"): make room, or mend what the error says`
		}
		s.log.Error(text, "error", err.Error())
	}
}

const flood = "more happened at a time than is recorded"

// write writes a record, after a word about events that found no room. After an error
// the record is not in the trail.
func (s *Scribe) write(r trail.Record) error {
	if s.missed > 0 {
		gap := s.stamp(trail.Record{Event: trail.Event{Type: trail.Gap, Outcome: trail.Failure, Why: trail.Why{Rule: "audit", Reason: flood}, Facts: trail.Facts{Lost: s.missed}}})
		if err := s.store.Append(gap); err != nil {
			return err
		}
		s.missed = 0
	}
	if err := s.store.Append(r); err != nil {
		return err
	}
	if s.open >= signEvery || s.hasty {
		s.sign()
	}
	return nil
}

// urgent are records that are signed, and on the disk, at once.
func urgent(t trail.Type) bool {
	switch t {
	case trail.Violation, trail.LockOut, trail.Stop, trail.Start:
		return true
	}
	return false
}

// sign signs what was written.
func (s *Scribe) sign() {
	if s.open == 0 {
		return
	}
	if err := s.store.Checkpoint(); err != nil {
		s.fails(err, 0)
	}
}

// was takes note of a record that is in its file, also of those that the store makes
// itself, and has others hear of it.
func (s *Scribe) was(r trail.Record) {
	if s.open == 0 {
		s.since = time.Now()
	}
	s.open, s.hasty = s.open+1, s.hasty || urgent(r.Type)
	if r.Type == trail.Checkpoint {
		s.open, s.hasty = 0, false
	}
	if r.Type == trail.Violation && r.Why.Rule == store.Rule {
		s.log.Error(r.Why.Reason+"; find out who did it: lockstep audit verify names the place", "dir", r.Object.Name)
	}
	s.tell(r)
}

// tell has the log daemon hear of a record: its number and its hash are an anchor that
// nobody can take back from there.
func (s *Scribe) tell(r trail.Record) {
	s.kernel.Send(r.Seq, r.Sum, r)
	if s.also == nil {
		return
	}
	attrs := []any{"seq", r.Seq, "type", string(r.Type), "outcome", string(r.Outcome), "actor", r.Actor.Role}
	for _, a := range []struct{ key, value string }{{"sync", r.Object.Sync}, {"target", r.Object.Target}, {"name", r.Object.Name}, {"rule", r.Why.Rule}, {"reason", r.Why.Reason}} {
		if a.value != "" {
			attrs = append(attrs, a.key, a.value)
		}
	}
	s.also.Info("audit", append(attrs, "cfg", r.Cfg, "sum", r.Sum)...)
}

// end signs what is left.
func (s *Scribe) end() {
	s.missed += uint64(len(s.held)) // nothing begins any more
	s.held = nil
	if s.Failing() != nil {
		s.mend()
	}
	s.sign()
	err := s.Failing()
	if err == nil && s.missed > 0 {
		err = errors.New(flood)
	}
	if err != nil {
		s.bad = fmt.Errorf("%d event(s) are not in the audit trail: %w", s.missed, err)
	}
	s.bad = errors.Join(s.bad, s.store.Close(), s.sink.Close(), s.kernel.Close())
}
