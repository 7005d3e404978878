package session

import (
	"reflect"
	"time"

	"lockstep/supervise/jail"
	"lockstep/supervise/way"
)

// reached is what was found out about the way to a target on another host.
type reached struct {
	target *target
	way    jail.Remote
	err    error
}

// reach is what is needed to find the way to a target, and who hears of it.
func (s *Session) reach(t *target) (way.Goal, func(jail.Remote, error)) {
	return way.Goal{Target: t.Target, Config: s.cfg, Rsync: s.command, UID: t.uid.UID, GID: t.uid.GID},
		func(found jail.Remote, err error) { s.reached <- reached{t, found, err} }
}

// onReached starts the runner, or another one when the way has changed.
func (s *Session) onReached(r reached) error {
	t := r.target
	if t.way.Answered(r.err) {
		s.news.Warn(s.about(t) + t.way.Trouble + "; it is tried again")
	}
	if r.err != nil {
		if err := s.gen.Leave(t.id); err != nil {
			return err
		}
		t.tries++
		if t.runner == nil && t.timer == nil && s.phase == phaseUp {
			s.runnerLater(t, time.Time{})
		}
		return nil
	}
	if s.gen == nil || s.phase != phaseUp || t.timer != nil {
		return nil // it is asked again
	}
	if t.runner != nil {
		if reflect.DeepEqual(*t.way.Now, r.way) {
			return nil
		}
		s.log.Info(s.about(t) + "its address or keys have changed: its runner is started afresh")
		if err := s.endRunner(t); err != nil {
			return err
		}
	}
	t.way.Now = &r.way
	return s.tryRunner(t)
}
