package session

import (
	"errors"
	"slices"
	"sync"

	"lockstep/console"
	"lockstep/ipc/status"
	"lockstep/rootid"
	"lockstep/supervise/exit"
	"lockstep/supervise/proc"
	"lockstep/supervise/words"
)

// look reads what source and targets are now. why says why nothing can run; of
// a target that alone cannot be written to, target.why says it. A dead mount
// must not keep the session from anything else: it counts as not there.
func (s *Session) look() (now rootid.Roots, why string) {
	now, err := s.looker.Look(s.cfg.Source, "", s.cfg.CrossMounts)
	if err != nil {
		return now, err.Error()
	}
	if err := proc.Hanging(s.hung); err != nil {
		return now, err.Error()
	}
	s.hung = nil
	for _, t := range s.targets {
		if why := t.pair.State.CheckSource(now); why != "" {
			return now, why
		}
	}
	var looks sync.WaitGroup // at the same time: one that is dead takes its time
	for _, t := range s.targets {
		looks.Go(func() { t.look(now) })
	}
	looks.Wait()
	if !slices.ContainsFunc(s.targets, func(t *target) bool { return t.why == "" }) {
		return now, s.targets[0].why
	}
	return now, ""
}

// look reads what the target is now; the source was just seen.
func (t *target) look(source rootid.Roots) {
	t.roots, t.why = source, ""
	if t.Here() {
		var err error
		t.roots, err = t.pair.Look(&t.looker)
		if t.why = t.pair.State.Check(t.roots); err != nil {
			t.why = err.Error()
		}
	}
	if err := proc.Hanging(t.hung); err != nil {
		t.why = err.Error()
		return
	}
	t.hung = nil
}

// checkRoots is called when something may have changed: it ends a generation
// whose roots are not there any more, and ends a hold when they are back.
func (s *Session) checkRoots() error {
	if s.phase == phaseStopping {
		return nil
	}
	now, why := s.look()
	switch {
	case why != "":
		return s.hold(why)
	case s.gen == nil && s.phase == phaseHeld:
		s.maker.Starter.Trail.Allow(s.log.Info, s.cfg.Name, "", "root", "source and target are what they were: going on")
		return s.startGeneration(now)
	case s.gen == nil:
		return nil
	case !s.gen.Roots.Same(now), s.alone() && s.targets[0].moved():
		s.log.Info("what is mounted at or inside source or target has changed: starting afresh")
		if err := s.stopGeneration(); err != nil {
			return err
		}
		return s.startAgain()
	}
	return s.checkTargets()
}

// alone says that there is one target only.
func (s *Session) alone() bool { return len(s.targets) == 1 }

// hold stops everything and waits for the roots, or for a person.
func (s *Session) hold(why string) error {
	if err := s.stopGeneration(); err != nil {
		return err
	}
	s.phase = phaseHeld
	s.restart.Stop()
	s.resetCheck()
	if s.cfg.Once || s.cfg.DryRun {
		return exit.Error{Code: exit.Failed, Err: errors.New(words.HeldRoot(why, s.consent))}
	}
	if s.heldWhy != why {
		s.maker.Starter.Trail.Forbid(s.log.Warn, s.cfg.Name, "", "root", words.HeldRoot(why, s.consent))
		s.heldWhy = why
	}
	s.show(func(n *console.Part) { n.Why, n.Ready, n.Report = "held: "+why, true, status.Report{} })
	return nil
}

// warnMounts names what is left out.
func (s *Session) warnMounts(now rootid.Roots) {
	list := words.Names(now.SourceRels())
	if list != "" && !s.cfg.CrossMounts && list != s.warned {
		s.log.Warn("mounted inside the source, and so left out and kept on the target; add --cross-mounts to copy them: " + list)
	}
	s.warned = list
}
