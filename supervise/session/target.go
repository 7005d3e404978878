package session

import (
	"errors"
	"time"

	"lockstep/config"
	"lockstep/console"
	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/status"
	"lockstep/rootid"
	"lockstep/supervise/brief"
	"lockstep/supervise/deaths"
	"lockstep/supervise/generation"
	"lockstep/supervise/pair"
	"lockstep/supervise/proc"
	"lockstep/supervise/way"
	"lockstep/supervise/words"
	"lockstep/uidpool"
)

// target is one destination, and the runner that serves it.
type target struct {
	config.Target
	id   ipc.TargetID
	pair *pair.Pair

	roots  rootid.Roots // as they were last seen
	why    string       // why nothing may be written to it; "" when it may
	said   string       // of that, what was told last
	back   bool         // it may lack anything: its next runner has all compared
	runner *proc.Process
	in     rootid.Roots // what the runner was started in
	row    deaths.Row   // of its runners
	looker rootid.Looker
	hung   []*proc.Process // runners that could not be ended
	timer  *time.Timer     // until the next one is started; nil: none is waited for
	last   status.Report
	begun  time.Time // the whole pass under way, or the last one
	passed bool      // a whole pass has been made, perhaps not of all paths
	swept  bool      // and one that left nothing undone, deletions included
	tries  int       // in a row that ended without a runner

	uid *uidpool.Lease // of the runner of one on another host
	way way.Finder     // to that
}

// moved says that the target is not what its runner was started in.
func (t *target) moved() bool { return t.runner != nil && !t.in.Same(t.roots) }

// about is the start of a message about one of several targets.
func (s *Session) about(t *target) string {
	if len(s.targets) == 1 {
		return ""
	}
	return escape.Name(t.pair.Place()) + ": "
}

// startRunner starts a runner in what the target was last seen to be. What it is
// told depends on what rsync can do: until that is known its place is kept, where
// its first job can wait.
func (s *Session) startRunner(t *target) error {
	if !s.tried {
		return s.gen.Place(t.id)
	}
	command, changed, err := s.command.Refresh()
	if err != nil {
		return err
	}
	if s.command = command; changed {
		s.log.Warn("rsync has been exchanged for another: what it can do was found out with the old one; restart lockstep to have the new one tried", "rsync", command.Program)
	}
	p := generation.RunnerPlan{
		ID: t.id, Target: t.Target, Source: t.pair.Source(t.roots), Tree: t.pair.Target(t.roots), Remote: t.way.Now, Command: s.command,
		Options: s.options, Rights: brief.Rights(s.cfg, s.cfg.DryRun),
		Accept:  s.cfg.AcceptRoot && !t.passed && s.cfg.FirstPass == config.FirstWhole, // consent is for one whole pass, that of the start
		Passed:  t.swept,
		Entries: t.pair.State.Entries,
	}
	if len(s.targets) > 1 {
		p.Label = t.pair.Place()
	}
	t.in = t.roots
	t.runner, err = s.maker.Runner(s.gen, s.cfg, p)
	return err
}

// serve has a runner started for each target that can be written to and has
// none.
func (s *Session) serve() error {
	for _, t := range s.targets {
		if t.why != "" || t.runner != nil || t.timer != nil {
			continue
		}
		if t.Remote() {
			t.way.Ask(s.reach(t))
			continue
		}
		if err := s.tryRunner(t); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) tryRunner(t *target) error {
	if err := s.startRunner(t); err != nil {
		return s.runnerFailed(t, err)
	}
	t.tries = 0
	if t.back { // what was written to it last may not have reached its disk
		t.back = false
		return s.order(status.CommandResync, t)
	}
	return s.order(status.CommandRetry, t)
}

// runnerFailed is what follows a runner that could not be started: for the only
// target of a sync that never ran it is the end, else it is tried again.
func (s *Session) runnerFailed(t *target, err error) error {
	err = errors.Join(err, s.endRunner(t))
	if !s.everReady && s.host.Alone && len(s.targets) == 1 {
		return err
	}
	s.log.Error(s.about(t)+"the runner could not be started", "error", err.Error())
	t.tries++
	s.runnerLater(t, time.Time{})
	return nil
}

// runnerLater sets the timer of the next runner.
func (s *Session) runnerLater(t *target, ready time.Time) {
	t.timer = time.AfterFunc(t.row.Wait(ready, time.Now()), func() { s.ready <- t })
}

// runnerAgain starts a runner whose time has come.
func (s *Session) runnerAgain(t *target) error {
	t.timer = nil
	if s.gen == nil || t.runner != nil || s.phase != phaseUp {
		return nil
	}
	return s.checkRoots()
}

// endRunner ends a target's runner: its jobs have failed and are requeued by
// the worker, the rest goes on.
func (s *Session) endRunner(t *target) error {
	p := t.runner
	t.runner = nil
	return errors.Join(s.gen.Leave(t.id), s.bury(p.End(), &t.hung, p))
}

// byRunner finds the target that a process serves.
func (s *Session) byRunner(p *proc.Process) *target {
	for _, t := range s.targets {
		if t.runner != nil && t.runner == p {
			return t
		}
	}
	return nil
}

// checkTargets ends the runners of targets that are not what they must be, and
// starts those that can run now.
func (s *Session) checkTargets() error {
	for _, t := range s.targets {
		moved := t.why == "" && t.moved()
		if moved {
			s.log.Info(s.about(t) + "what is mounted at or inside the target has changed: its runner is started afresh")
			t.back = true // what is there now has to be compared
		}
		if moved || t.why != "" {
			if err := s.endRunner(t); err != nil {
				return err
			}
		}
		s.tellTarget(t)
	}
	return s.serve()
}

// tellTarget says that a target is held, or no longer.
func (s *Session) tellTarget(t *target) {
	if t.why == t.said {
		return
	}
	s.resetCheck()
	s.show(func(n *console.Part) { n.Target(uint64(t.id), func(p *console.PartTarget) { p.Why = t.why }) })
	if t.said = t.why; t.why == "" {
		t.back = true
		s.maker.Starter.Trail.Allow(s.log.Info, s.cfg.Name, t.String(), "root", s.about(t)+"is what it was: going on")
		return
	}
	s.maker.Starter.Trail.Forbid(s.log.Warn, s.cfg.Name, t.String(), "root", s.about(t)+words.HeldRoot(t.why, s.consent))
}
