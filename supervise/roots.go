package supervise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lockstep/internal/escape"
	"lockstep/rootid"
)

// looked is the answer of one look at the roots.
type looked struct {
	roots rootid.Roots
	err   error
}

// lookLimit bounds the wait for a file system that does not answer.
const lookLimit = 5 * time.Second

// look reads what the roots are now. A dead mount must not keep the session
// from anything else: it counts as a root that is not there.
func (s *session) look() (rootid.Roots, error) {
	limit := time.NewTimer(lookLimit)
	defer limit.Stop()
	if s.looking != nil {
		// The answer to an earlier question is of no use now.
		select {
		case <-s.looking:
		case <-limit.C:
			return rootid.Roots{}, errDead
		}
	}
	answer := make(chan looked, 1)
	source, target := s.cfg.Source, s.targetHost()
	go func() {
		r, err := rootid.Look(source, target)
		answer <- looked{r, err}
	}()
	select {
	case l := <-answer:
		s.looking = nil
		return l.roots, l.err
	case <-limit.C:
		s.looking = answer
		return rootid.Roots{}, errDead
	}
}

// errDead is a file system that does not answer.
var errDead = errors.New("source or target does not answer (is its server or disk gone?)")

// rememberRoots opens the state, compares the roots with it, and makes a
// missing target. Roots that have changed are no error here: they are held.
func (s *session) rememberRoots() error {
	store, err := rootid.OpenStore(s.cfg.StateDir, s.cfg.Source, s.cfg.Target)
	if err != nil {
		return refuse(err)
	}
	s.store = store
	s.later(store.Close)
	if err := s.makeScratch(); err != nil {
		return err
	}
	state, known, err := store.Load()
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
		s.state = rootid.State{Source: s.cfg.Source, Target: s.cfg.Target, Entries: state.Entries}
		return s.adopt(now)
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

// adopt takes the roots as they are for what they must be from now on. A dry
// run changes nothing.
func (s *session) adopt(now rootid.Roots) error {
	s.state.SourceID, s.state.TargetID = now.Source, now.Target
	s.state.SourcePoint, s.state.TargetPoint = now.SourcePoint, now.TargetPoint
	s.state.Mounts = nil
	if s.cfg.CrossMounts {
		s.state.Mounts = now.InSource
	}
	if s.cfg.DryRun {
		return nil
	}
	return s.store.Save(s.state)
}

// judge compares the roots with what they must be, and returns "" or why the
// mirror is held.
func (s *session) judge(now rootid.Roots, err error) string {
	if err != nil {
		return err.Error()
	}
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
		return s.startGeneration(now)
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
	return errors.Join(s.showLine("held: "+why), s.notify.Status("held: "+why))
}

// warnMounts names what is left out.
func (s *session) warnMounts(now rootid.Roots) {
	names := make([]string, len(now.InSource))
	for i, rel := range now.InSource {
		names[i] = escape.Name(rel)
	}
	list := strings.Join(names, ", ")
	if len(names) > 0 && !s.cfg.CrossMounts && list != s.warned {
		s.log.Warn("mounted inside the source, and so left out and kept on the target; add --cross-mounts to copy them: " + list)
	}
	s.warned = list
}
