package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lockstep/internal/escape"
	"lockstep/rootid"
	"lockstep/supervise/host"
	"lockstep/supervise/words"
)

// look reads what the roots are now. A dead mount must not keep the session
// from anything else: it counts as a root that is not there.
func (s *session) look() (rootid.Roots, error) {
	return s.looker.Look(s.cfg.Source, s.targetHost(), s.cfg.CrossMounts)
}

// openState opens the state directory, which nothing is removed from before it
// is known to be root's alone, and takes the target for this mirror. A dry run
// changes nothing that a mirror could be in the way of.
func (s *session) openState() error {
	store, err := rootid.OpenStore(s.cfg.StateDir, s.cfg.Source, s.cfg.Target)
	if err != nil {
		return refuse(err)
	}
	s.store = store
	s.later(store.Close)
	if s.cfg.DryRun {
		return nil
	}
	lock, err := host.LockTarget(store.LockPath(s.cfg.Target), s.cfg.Target)
	if err != nil {
		return refuse(err)
	}
	s.later(lock.Release)
	return nil
}

// rememberRoots compares the roots with the state, and makes a missing target.
// Roots that have changed are no error here: they are held.
func (s *session) rememberRoots() error {
	if err := s.makeScratch(); err != nil {
		return err
	}
	state, known, err := s.store.Load()
	if err != nil {
		return refuse(err)
	}
	if s.cfg.TargetMissing {
		if err := s.firstTarget(state, known); err != nil {
			return err
		}
	}
	now, err := s.look()
	if err != nil {
		return err
	}
	if s.cfg.DryRun && s.cfg.TargetMissing {
		state.TargetID = now.Target // a stand-in
	}
	s.state = state
	s.live.Expected = state.Entries
	if !known || s.cfg.AcceptRoot {
		if known {
			if diff := state.Check(now); diff != "" {
				s.log.Warn("accepted by --accept-root: " + diff)
			}
		}
		return s.remember(rootid.NewState(s.cfg.Source, s.cfg.Target, state.Entries, now))
	}
	return nil
}

// makeScratch makes the directory for the trial of rsync, and for a target that
// a dry run does not make.
func (s *session) makeScratch() error {
	dir := s.scratch()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("scratch directory: %w", err)
	}
	s.later(func() error { return os.RemoveAll(dir) })
	if s.cfg.DryRun && s.cfg.TargetMissing {
		return os.Mkdir(s.targetHost(), 0o700)
	}
	return nil
}

// firstTarget makes the target, unless it should be on a file system that is
// not here: then a new directory would be filled in its place.
func (s *session) firstTarget(state rootid.State, known bool) error {
	parent, err := rootid.Read(filepath.Dir(s.cfg.Target))
	if err != nil {
		return err
	}
	if diff := state.TargetID.SameFS(parent); known && diff != "" && !s.cfg.AcceptRoot {
		return exitError{ExitFailed, fmt.Errorf("target %s: is missing, and so is the file system that it was on (%s); mount it, or start once with --accept-root if it is meant to be another",
			escape.Name(s.cfg.Target), diff)}
	}
	if s.cfg.DryRun {
		return nil
	}
	return s.cfg.MakeTarget()
}

// remember keeps what the roots must be from now on. A dry run changes nothing.
func (s *session) remember(state rootid.State) error {
	if !s.cfg.DryRun {
		if err := s.store.Save(state); err != nil {
			return err
		}
	}
	s.state = state
	return nil
}

// rememberMounts is called before anything can be copied out of what is mounted
// inside the source: from then on it must be there, or its copy would be
// deleted.
func (s *session) rememberMounts(now rootid.Roots) error {
	if grown := s.state; grown.Grow(now) {
		return s.remember(grown)
	}
	return nil
}

// judge compares the roots with what they must be, and returns "" or why the
// mirror is held.
func (s *session) judge(now rootid.Roots, err error) string {
	if err != nil {
		return err.Error()
	}
	for _, p := range s.hung {
		if err := p.Hangs(); err != nil {
			return err.Error() // it may still write
		}
	}
	s.hung = nil
	return s.state.Check(now)
}

// checkRoots is called when something may have changed: it ends a generation
// whose roots are not there any more, and ends a hold when they are back.
func (s *session) checkRoots() error {
	if s.phase == phaseStopping {
		return nil
	}
	now, err := s.look()
	why := s.judge(now, err)
	switch {
	case why != "":
		return s.hold(why)
	case s.gen == nil && s.phase == phaseHeld:
		s.log.Info("source and target are what they were: going on")
		return s.startGeneration(now)
	case s.gen != nil && !s.gen.Roots.Same(now):
		s.log.Info("what is mounted at or inside source or target has changed: starting afresh")
		if err := s.stopGeneration(); err != nil {
			return err
		}
		return s.startAgain()
	}
	return nil
}

// hold stops everything and waits for the roots, or for a person.
func (s *session) hold(why string) error {
	if err := s.stopGeneration(); err != nil {
		return err
	}
	s.phase = phaseHeld
	s.restart.Stop()
	s.resetCheck()
	text := fmt.Sprintf("held: %s; nothing is copied or deleted until it is back; if it is meant to be so, stop lockstep and start it once with --accept-root", why)
	if s.cfg.Once || s.cfg.DryRun {
		return exitError{ExitFailed, errors.New(text)}
	}
	if s.heldWhy != why {
		s.log.Warn(text)
		s.heldWhy = why
	}
	s.notify.Status("held: "+why, time.Now())
	return errors.Join(s.showLine("held: "+why), s.redraw(time.Now()))
}

// warnMounts names what is left out.
func (s *session) warnMounts(now rootid.Roots) {
	list := words.Names(now.SourceRels())
	if list != "" && !s.cfg.CrossMounts && list != s.warned {
		s.log.Warn("mounted inside the source, and so left out and kept on the target; add --cross-mounts to copy them: " + list)
	}
	s.warned = list
}
