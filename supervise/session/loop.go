package session

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"time"

	"lockstep/console"
	"lockstep/ipc/status"
	"lockstep/rootid"
	"lockstep/supervise/deaths"
	"lockstep/supervise/exit"
	"lockstep/supervise/generation"
	"lockstep/supervise/leave"
	"lockstep/supervise/proc"
	"lockstep/supervise/reload"
	"lockstep/supervise/rounds"
	"lockstep/supervise/words"
)

// phase is where the session is.
type phase uint8

const (
	phaseDown     phase = iota // nothing runs; the restart timer does
	phaseHeld                  // nothing runs; a root is not what it must be
	phaseUp                    // a generation runs
	phaseStopping              // the worker was told to finish
)

// loop is the state of Run, which alone uses it.
type loop struct {
	phase phase
	gen   *generation.Generation
	total words.Totals

	tried     bool // rsync was, and works: until then no runner is started
	everReady bool // a generation has been ready
	once      bool // the stop under way is --once's own
	ended     bool
	verify    bool // a person waits for the state
	heldWhy   string
	warned    string     // mounts that were named
	early     deaths.Row // generations that died before READY or soon after
	sigsys    deaths.Sigsys
	hung      []*proc.Process // what could not be ended
	asked     time.Time       // when a person asked for the end
	hurry     bool            // and again

	restart  *time.Timer // of a generation
	deadline *time.Timer // of a stop
	rounds   *rounds.Timer

	leave *leave.Leave

	news *slog.Logger // for lines that the worker's numbers cause
}

const (
	twice = leave.Twice

	saveEvery = time.Minute

	maxOnceDeaths = 5 // early deaths in a row that --once bears
)

// Run runs until a signal, --once or a failure ends it; nothing that it started
// is alive when it returns.
func (s *Session) Run() (err error) {
	for _, t := range []**time.Timer{&s.restart, &s.deadline} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
	}
	defer func() {
		err = errors.Join(err, s.stopGeneration())
		s.held.Save(time.Now(), 0, s.log)
		s.leave.Farewell(s.everReady, s.Beat, s.Signals, s.asked)
		s.show(func(n *console.Part) { n.Ended, n.Ready = true, true })
	}()

	s.phase = phaseHeld
	s.rounds = rounds.New()
	if now, why := s.look(); why != "" {
		err = s.hold(why)
	} else {
		err = s.startGeneration(now)
	}
	for err == nil && !s.ended {
		if err = s.step(); err == nil {
			err = s.maybeDone()
		}
	}
	if err != nil {
		return err
	}
	var last status.Report
	if s.gen != nil {
		last = s.gen.Last
	}
	if err := s.stopGeneration(); err != nil {
		return err
	}
	return s.result(last)
}

// step takes one event.
func (s *Session) step() error {
	select {
	case sig := <-s.Signals:
		return s.onSignal(sig)
	case v := <-s.Tried:
		return s.onTried(v)
	case e := <-s.exits:
		return s.onExit(e)
	case <-s.maker.Inbox.Wake:
		return s.onReports()
	case <-s.Mounts:
		return s.checkRoots()
	case <-s.rounds.C:
		s.resetCheck()
		return s.checkRoots()
	case <-s.restart.C:
		return s.startAgain()
	case t := <-s.ready:
		return s.runnerAgain(t)
	case r := <-s.reached:
		return s.onReached(r)
	case <-s.deadline.C:
		s.log.Warn("commands were still running after --stop-timeout: they are killed, and what they had in hand is looked at again at the next start")
		s.ended = true
		return nil
	case <-s.leave.Hooks.Ended:
		s.leave.OnHooked()
		return nil
	case <-s.leave.Late.C:
		s.leave.OnLate()
		s.ended = true
		return nil
	case <-s.Beat:
		return nil
	}
}

func (s *Session) resetCheck() {
	s.rounds.Looked(s.phase == phaseHeld || slices.ContainsFunc(s.targets, func(t *target) bool { return t.why != "" }))
}

// startGeneration starts all of it in roots that were just looked at.
func (s *Session) startGeneration(now rootid.Roots) error {
	s.heldWhy = ""
	s.warnMounts(now)
	s.show((*console.Part).Begin)
	s.phase = phaseDown
	var err error
	if s.tried {
		err = s.held.Keep(now)
	}
	if err == nil {
		plan := generation.Plan{Config: s.cfg, Left: s.leave.Left(), Whole: s.everReady || s.host.Heir, Options: s.options, Roots: now, Source: s.targets[0].pair.Source(now)}
		for _, t := range s.targets {
			plan.Unsure = t.pair.Unsure(plan.Unsure)
		}
		s.gen, err = s.maker.Begin(plan)
		s.phase = phaseUp
	}
	if err == nil {
		for _, t := range s.targets {
			s.tellTarget(t)
		}
		err = s.serve()
	}
	if err == nil {
		err = s.maker.Finish(s.gen)
	}
	if err == nil {
		// What was mounted in between is in no jail and in no list.
		if again, why := s.look(); why != "" || !again.Same(now) {
			s.log.Info("source or target changed while they were opened")
			if err = s.stopGeneration(); err == nil {
				return s.startLater(time.Time{})
			}
		}
	}
	if err == nil {
		return s.checkTargets()
	}
	err = errors.Join(err, s.stopGeneration())
	if !s.everReady && s.host.Alone {
		return err
	}
	s.log.Error("the start failed", "error", err.Error())
	return s.startLater(time.Time{})
}

// stopGeneration ends what runs.
func (s *Session) stopGeneration() error {
	g := s.gen
	if g == nil {
		return nil
	}
	s.gen, s.phase = nil, phaseDown
	runners := make([]*proc.Process, len(s.targets))
	// A whole pass may still have to be made: that of the next generation if this one has
	// died, or one that is due or under way.
	owes := g.Last.State != status.StateDraining && (s.everReady || s.host.Heir)
	for i, t := range s.targets {
		if t.timer != nil {
			t.timer.Stop()
		}
		runners[i], owes = t.runner, owes || t.last.State.Busy()
		t.timer, t.runner, t.last = nil, nil, status.Report{}
	}
	s.total.Add(g.Last)
	s.leave.Gone(g.Last, owes)
	err := g.End(runners, s.Signals, s.heard)
	s.ended = s.ended || errors.Is(err, generation.ErrLeft)
	for i, t := range s.targets {
		if e := s.bury(err, &t.hung, runners[i]); e != nil {
			return e
		}
	}
	return s.bury(err, &s.hung, g.All()...)
}

// heard takes note of a signal that comes while a generation is ended (nil: no
// signal), and says whether the end is waited for no longer.
func (s *Session) heard(sig os.Signal) (hurry bool) {
	switch {
	case sig == reload.Changed || sig == reload.Removed:
		s.leave.GoesOn = sig == reload.Changed
		s.shutDown("stopping: " + sig.String())
	case !leave.Ends(sig): // the next generation looks at everything anyway
	case s.asked.IsZero() && !s.once:
		s.asked = time.Now()
		s.shutDown("stopping: " + sig.String())
	default:
		s.hurry = s.hurry || time.Since(s.asked) >= twice
	}
	return s.hurry
}

// bury keeps in mind what could not be ended: nothing may be started beside it
// (look). Any other error stays one.
func (s *Session) bury(err error, hung *[]*proc.Process, all ...*proc.Process) error {
	now, err := proc.Buried(err, s.log.Error, all...)
	*hung = append(*hung, now...)
	return err
}

// Hangs is an error as long as a process of a session that has ended is left.
func (s *Session) Hangs() error {
	all := slices.Concat(s.hung, s.leave.Hooks.Hung)
	for _, t := range s.targets {
		all = append(all, t.hung...)
	}
	return proc.Hanging(all)
}

// startLater sets the timer of the next start, after the end of a generation
// that was ready since then, or never.
func (s *Session) startLater(ready time.Time) error {
	wait := s.early.Wait(ready, time.Now())
	if s.early.N > maxOnceDeaths && (s.cfg.Once || s.cfg.DryRun) {
		return exit.Error{Code: exit.Internal, Err: errors.New("ended without being in step: the processes keep dying; the lines above say how")}
	}
	if wait > 0 {
		s.log.Info("starting again", "in", wait)
		s.show(func(n *console.Part) { n.Why, n.Ready = "waiting to start again", n.Ready || !s.host.Alone })
	}
	s.restart.Reset(wait)
	return nil
}

func (s *Session) startAgain() error {
	if s.phase != phaseDown || s.ended {
		return nil
	}
	now, why := s.look()
	if why != "" {
		return s.hold(why)
	}
	return s.startGeneration(now)
}

// onExit takes the end of a process. What a generation that is stopped already
// leaves is no news.
func (s *Session) onExit(e proc.Exit) error {
	g, t := s.gen, s.byRunner(e.Process)
	if g == nil || t == nil && !g.Has(e.Process) {
		return nil
	}
	if s.phase == phaseStopping {
		s.ended = s.ended || t == nil
		if e.Code == 0 && e.Err == nil || e.Process == g.Helper && e.Code == words.CodeInternal {
			return nil // as it should; and a helper that saw its worker go has said so
		}
		return s.verdict(e)
	}
	if err := s.verdict(e); err != nil {
		return err
	}
	if e.Code == words.CodeRootGone {
		// Most likely something was exchanged under us.
		if _, why := s.look(); why != "" {
			return s.checkRoots()
		}
	}
	if t == nil {
		return s.endGeneration(g)
	}
	begun := e.Process.Begun
	if err := s.endRunner(t); err != nil {
		return err
	}
	s.runnerLater(t, begun)
	return nil
}

// verdict says that a process ended, and whether a restart has any sense.
func (s *Session) verdict(e proc.Exit) error {
	s.maker.Starter.Trail.Death(s.log, s.cfg.Name, e.Process.Role, e.Process.PID, e.Code, e.Sig, e.Err)
	if !s.everReady && s.host.Alone && (s.alone() || s.byRunner(e.Process) == nil) {
		if err := words.Final(e.Process.Role, e.Code); err != nil {
			return err
		}
	}
	return s.maker.Starter.Trail.Locked(s.cfg.Name, e.Process.Role, s.sigsys.Locked(e.Process.Role, e.Sig, time.Now()))
}

// endGeneration is what follows the death of a helper or a worker. Another of
// the three may have died first, and have been the reason.
func (s *Session) endGeneration(g *generation.Generation) error {
	if err := s.stopGeneration(); err != nil {
		return err
	}
	if err := g.Others(s.exits, s.verdict); err != nil {
		return err
	}
	return s.startLater(g.Ready)
}

// onSignal obeys a person.
func (s *Session) onSignal(sig os.Signal) error {
	switch sig {
	case reload.Changed, reload.Removed:
		s.leave.GoesOn = sig == reload.Changed
		s.shutDown("stopping: " + sig.String())
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		if s.phase == phaseStopping && time.Since(s.asked) < twice {
			return nil // one key press can come by two ways
		}
		if s.phase == phaseStopping && (sig == syscall.SIGINT && !s.asked.IsZero() || s.once) {
			s.log.Warn("stopped at once: what was in hand is looked at again at the next start")
			s.ended, s.hurry = true, true
			return nil
		}
		if s.leave.Begun() && s.phase != phaseStopping {
			if time.Since(s.asked) < twice {
				return nil
			}
			s.leave.Drop()
			s.once = false
		}
		wanted := s.leave.Wanted(sig)
		if s.asked = time.Now(); wanted {
			s.leave.Begin("stopping: "+sig.String(), true)
			return nil
		}
		s.shutDown("stopping: " + sig.String())
	case syscall.SIGUSR1:
		if err := s.checkRoots(); err != nil {
			return err
		}
		if s.gen == nil || s.gen.Ready.IsZero() {
			s.log.Info("state: nothing to verify: no worker is ready")
			return nil
		}
		s.verify = true
		return s.order(status.CommandVerify, nil)
	case syscall.SIGUSR2:
		if err := s.checkRoots(); err != nil {
			return err
		}
		s.log.Info("a whole pass was asked for")
		return s.order(status.CommandResync, nil)
	}
	return nil
}

// order sends the worker a command. A worker that has gone gets none: its
// successor makes a whole pass anyway.
func (s *Session) order(c status.Command, t *target) error {
	if s.gen == nil || s.gen.Worker == nil {
		return nil
	}
	if t != nil {
		c = c.For(uint64(t.id))
	}
	if err := s.gen.Order(c); err != nil {
		s.log.Warn("the worker cannot be reached", "error", err.Error())
	}
	return nil
}

// shutDown asks the worker to finish what runs. Without one there is nothing to
// finish.
func (s *Session) shutDown(why string) {
	if s.phase == phaseStopping {
		return
	}
	s.log.Info(why)
	if s.gen == nil || s.gen.Ready.IsZero() {
		s.ended = true
		return
	}
	s.phase = phaseStopping
	s.leave.Stop()
	s.deadline.Reset(s.cfg.StopTimeout)
	for _, t := range s.targets {
		if t.runner != nil {
			t.runner.Refuse() // what has not begun shall not begin
		}
	}
	if e := s.gen.ShutDown(); e != nil {
		s.log.Warn("the helper cannot be reached", "error", e.Error())
		s.ended = true
	}
}
