package session

import (
	"reflect"
	"time"

	"lockstep/ipc/status"
	"lockstep/supervise/jail"
	"lockstep/supervise/way"
)

// reached is what was found out about the way to a target on another host.
type reached struct {
	target *target
	way    jail.Remote
	err    error
}

// reach finds the way to a target: its host's addresses, and keys and passwords
// as they are now. It does not wait; onReached hears of it. One at a time.
func (s *Session) reach(t *target) {
	if t.asked {
		return
	}
	t.asked, t.askedAt = true, time.Now()
	goal := way.Goal{Target: t.Target, Config: s.cfg, Rsync: s.command, UID: t.uid.UID, GID: t.uid.GID}
	go func() {
		found, err := goal.Find()
		s.reached <- reached{t, found, err}
	}()
}

// onReached starts the runner, or another one when the way has changed.
func (s *Session) onReached(r reached) error {
	t := r.target
	t.asked = false
	if r.err != nil {
		s.trouble(t, r.err.Error())
		if t.runner == nil && t.timer == nil && s.phase == phaseUp {
			s.runnerLater(t, time.Time{})
		}
		return nil
	}
	if s.gen == nil || s.phase != phaseUp {
		return nil // it is asked again
	}
	if t.runner != nil {
		if reflect.DeepEqual(*t.way, r.way) {
			return nil
		}
		s.log.Info(s.about(t) + "its address or keys have changed: its runner is started afresh")
		if err := s.endRunner(t); err != nil {
			return err
		}
	}
	t.way = &r.way
	return s.tryRunner(t)
}

// trouble says what is wrong with the way to a target, the same again only
// after a while.
func (s *Session) trouble(t *target, text string) {
	if text == t.trouble && time.Since(t.toldAt) < tellAgain {
		return
	}
	t.trouble, t.toldAt = text, time.Now()
	s.news.Warn(s.about(t) + text + "; it is tried again")
}

const (
	tellAgain = time.Minute
	askAgain  = 5 * time.Second // between two looks at the way
)

// look at the way again when commands fail: a name may have another address, a
// person may have mended a key.
func (s *Session) doubtWay(t *target, old status.Report) {
	if t.Remote() && t.last.Attempts > old.Attempts && time.Since(t.askedAt) > askAgain {
		s.reach(t)
	}
}
