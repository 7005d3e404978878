package supervise

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"lockstep/ipc"
	"lockstep/rootid"
	"lockstep/supervise/generation"
	"lockstep/supervise/proc"
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

// loop is the state of session.serve, which alone uses it.
type loop struct {
	phase phase
	gen   *generation.Generation
	tried bool
	total words.Totals

	everReady   bool // a generation has been ready
	passed      bool // a whole pass has ended with success
	once        bool // the stop under way is --once's own
	ended       bool
	verify      bool // a person waits for the state
	heldWhy     string
	warned      string // mounts that were named
	early       int    // generations in a row that died before READY or soon after
	earlyRunner int    // runners in a row that died soon
	sigsys      []time.Time
	asked       time.Time // when a person asked for the end
	passBegun   time.Time // the whole pass under way, or the last one

	restart     *time.Timer // of a generation
	runnerTimer *time.Timer // of a runner
	deadline    *time.Timer // of a stop
	check       *time.Timer // of the roots
	tick        *time.Timer // of the live line
}

const (
	twice = 100 * time.Millisecond // two signals within this are one

	soon = time.Second // a death within this after READY counts as early

	// A directory that is exchanged for another without a mount shows in no
	// table: the roots are looked at now and then, and often while held.
	checkEvery     = time.Minute
	checkHeldEvery = 2 * time.Second

	tickEvery = 200 * time.Millisecond

	maxSigsys    = 5 // deaths by SIGSYS within sigsysWindow: no bug that a restart mends
	sigsysWindow = time.Minute

	maxOnceDeaths = 5 // early deaths in a row that --once bears
)

// serve runs until a signal, --once or a failure ends it; nothing that it
// started is alive when it returns.
func (s *session) serve() (err error) {
	for _, t := range []**time.Timer{&s.restart, &s.runnerTimer, &s.deadline, &s.check, &s.tick} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
	}
	defer func() { err = errors.Join(err, s.stopGeneration()) }()
	watchdog := s.watchdog()
	defer watchdog.Stop()

	s.phase = phaseHeld
	s.check.Reset(checkEvery)
	now, err := s.look()
	if why := s.judge(now, err); why != "" {
		err = s.hold(why)
	} else {
		err = s.startGeneration(now)
	}
	for err == nil && !s.ended {
		err = s.step(watchdog.C)
	}
	if err != nil {
		return err
	}
	var last ipc.Report
	if s.gen != nil {
		last = s.gen.Last
	}
	if err := s.stopGeneration(); err != nil {
		return err
	}
	return s.result(last)
}

// watchdog ticks as often as the service manager wants to hear from us.
func (s *session) watchdog() *time.Ticker {
	interval := s.notify.Interval()
	t := time.NewTicker(max(interval, time.Millisecond))
	if interval <= 0 {
		t.Stop()
	}
	return t
}

// step takes one event.
func (s *session) step(watchdog <-chan time.Time) error {
	select {
	case sig := <-s.signals:
		return s.onSignal(sig)
	case e := <-s.exits:
		return s.onExit(e)
	case r := <-s.maker.Reports:
		return s.onReport(r)
	case _, ok := <-s.mounts.Changed:
		if !ok {
			return exitError{ExitInternal, fmt.Errorf("the mount table is not watched any more: %w", s.mounts.Err())}
		}
		return s.checkRoots()
	case <-s.check.C:
		s.resetCheck()
		return s.checkRoots()
	case <-s.restart.C:
		return s.startAgain()
	case <-s.runnerTimer.C:
		return s.runnerAgain()
	case <-s.deadline.C:
		s.log.Warn("commands were still running after --stop-timeout: they are killed, and what they had in hand is looked at again at the next start")
		s.ended = true
		return nil
	case <-s.tick.C:
		return s.redraw(time.Now())
	case <-watchdog:
		return s.notify.Watchdog()
	}
}

func (s *session) resetCheck() {
	if s.phase == phaseHeld {
		s.check.Reset(checkHeldEvery)
		return
	}
	s.check.Reset(checkEvery)
}

// startGeneration starts all three in roots that were just looked at.
func (s *session) startGeneration(now rootid.Roots) error {
	s.heldWhy = ""
	s.warnMounts(now)
	s.live.Update(ipc.Report{}, time.Now())
	var err error
	s.gen, err = s.maker.Start(s.plan(now))
	s.phase = phaseUp
	if err == nil {
		// What was mounted in between is in no jail and in no list.
		var again rootid.Roots
		if again, err = s.look(); err == nil && !again.Same(now) {
			s.log.Info("source or target changed while they were opened")
			if err = s.stopGeneration(); err == nil {
				return s.startLater()
			}
		}
	}
	if err == nil {
		return s.redraw(time.Now())
	}
	err = errors.Join(err, s.stopGeneration())
	if !s.everReady {
		return err
	}
	s.log.Error("the start failed", "error", err.Error())
	return s.startLater()
}

// stopGeneration ends what runs.
func (s *session) stopGeneration() error {
	g := s.gen
	if g == nil {
		return nil
	}
	s.gen = nil
	s.phase = phaseDown
	s.runnerTimer.Stop()
	s.total.Add(g.Last)
	return g.End()
}

// startLater sets the timer of the next start. The first is immediate.
func (s *session) startLater() error {
	wait := backoff(s.early)
	s.early++
	if wait > 0 {
		s.log.Info("starting again", "in", wait)
	}
	s.restart.Reset(wait)
	return nil
}

// backoff is the wait after n early deaths in a row.
func backoff(n int) time.Duration {
	const first, longest = 50 * time.Millisecond, 30 * time.Second
	if n == 0 {
		return 0
	}
	return min(first<<min(n-1, 16), longest)
}

func (s *session) startAgain() error {
	if s.phase != phaseDown {
		return nil
	}
	now, err := s.look()
	if why := s.judge(now, err); why != "" {
		return s.hold(why)
	}
	return s.startGeneration(now)
}

// onExit takes the end of a process. What a generation that is stopped already
// leaves is no news.
func (s *session) onExit(e proc.Exit) error {
	g := s.gen
	if g == nil || !g.Has(e.Process) {
		return nil
	}
	if s.phase == phaseStopping {
		if e.Process != g.Runner {
			s.ended = true
		}
		return nil
	}
	if err := s.verdict(e); err != nil {
		return err
	}
	if e.Code == words.CodeRootGone {
		// Most likely something was exchanged under us.
		if now, err := s.look(); s.judge(now, err) != "" {
			return s.checkRoots()
		}
	}
	if e.Process == g.Runner {
		return s.endRunner(g)
	}
	return s.endGeneration(g)
}

// verdict says that a process ended, and whether a restart has any sense.
func (s *session) verdict(e proc.Exit) error {
	s.log.Warn(words.Death(e.Process.Role, e.Process.PID, e.Code, e.Sig, e.Err))
	if e.Code == words.CodeConfine && !s.everReady {
		return exitError{ExitFailed, fmt.Errorf("the %s could not be confined, and does not run unconfined; the line above says why", e.Process.Role)}
	}
	return s.countSigsys(e)
}

// endGeneration is what follows the death of a helper or a worker. Another of
// the three may have died first, and have been the reason.
func (s *session) endGeneration(g *generation.Generation) error {
	if !g.Ready.IsZero() && time.Since(g.Ready) > soon {
		s.early = 0
	}
	if err := s.stopGeneration(); err != nil {
		return err
	}
	for more := true; more; {
		select {
		case e := <-s.exits:
			// What saw the others go, or was killed here, is no news.
			if g.Has(e.Process) && e.Sig != syscall.SIGKILL && e.Code != 0 && e.Code != words.CodeInternal {
				if err := s.verdict(e); err != nil {
					return err
				}
			}
		default:
			more = false
		}
	}
	if s.early >= maxOnceDeaths && (s.cfg.Once || s.cfg.DryRun) {
		return exitError{ExitInternal, errors.New("ended without being in step: the processes keep dying; the lines above say how")}
	}
	return s.startLater()
}

// endRunner is what follows the death of a runner: its jobs have failed and
// are requeued by the worker, the rest goes on.
func (s *session) endRunner(g *generation.Generation) error {
	p := g.Runner
	g.Runner = nil
	if time.Since(p.Begun) > soon {
		s.earlyRunner = 0
	}
	if err := p.End(); err != nil {
		return err
	}
	s.runnerTimer.Reset(backoff(s.earlyRunner))
	s.earlyRunner++
	return nil
}

func (s *session) runnerAgain() error {
	g := s.gen
	if g == nil || g.Runner != nil || s.phase != phaseUp {
		return nil
	}
	now, err := s.look()
	if why := s.judge(now, err); why != "" || !now.Same(g.Roots) {
		return s.checkRoots()
	}
	if err := s.maker.Replace(g, s.plan(now)); err != nil {
		s.log.Error("the runner could not be started", "error", err.Error())
		return s.endGeneration(g)
	}
	return nil
}

// countSigsys locks out what keeps making forbidden calls.
func (s *session) countSigsys(e proc.Exit) error {
	if e.Sig != syscall.SIGSYS {
		return nil
	}
	now := time.Now()
	kept := s.sigsys[:0]
	for _, at := range append(s.sigsys, now) {
		if now.Sub(at) < sigsysWindow {
			kept = append(kept, at)
		}
	}
	s.sigsys = kept
	if len(kept) < maxSigsys {
		return nil
	}
	return exitError{ExitLocked, fmt.Errorf("locked out: %d deaths by a forbidden system call within %v, the last of the %s; "+
		"it is an attack or a bug: look at the audit log and report it, and start lockstep again only then", maxSigsys, sigsysWindow, e.Process.Role)}
}

// onSignal obeys a person.
func (s *session) onSignal(sig os.Signal) error {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT:
		if s.phase == phaseStopping && time.Since(s.asked) < twice {
			return nil // one key press can come by two ways
		}
		if s.phase == phaseStopping && (sig == syscall.SIGINT || s.once) {
			s.log.Warn("stopped at once: what was in hand is looked at again at the next start")
			s.ended = true
			return nil
		}
		s.asked = time.Now()
		return s.shutDown("stopping: " + sig.String())
	case syscall.SIGHUP:
		s.log.Warn("SIGHUP is refused: the configuration is read at start only; restart lockstep")
	case syscall.SIGUSR1:
		if s.gen == nil || s.gen.Ready.IsZero() {
			s.log.Info("state: nothing to verify: no worker is ready")
			return nil
		}
		s.verify = true
		return s.order(ipc.CommandVerify)
	case syscall.SIGUSR2:
		s.log.Info("a whole pass was asked for")
		return s.order(ipc.CommandResync)
	}
	return nil
}

// order sends the worker a command. A worker that has gone gets none: its
// successor makes a whole pass anyway.
func (s *session) order(c ipc.Command) error {
	if s.gen == nil {
		return nil
	}
	if err := s.gen.Order(c); err != nil {
		s.log.Warn("the worker cannot be reached", "error", err.Error())
	}
	return nil
}

// shutDown asks the worker to finish what runs. Without one there is nothing to
// finish.
func (s *session) shutDown(why string) error {
	if s.phase == phaseStopping {
		return nil
	}
	s.log.Info(why)
	err := s.notify.Stopping()
	if s.gen == nil || s.gen.Ready.IsZero() {
		s.ended = true
		return err
	}
	s.phase = phaseStopping
	s.deadline.Reset(s.cfg.StopTimeout)
	if e := s.gen.ShutDown(); e != nil {
		s.log.Warn("the helper cannot be reached", "error", e.Error())
		s.ended = true
	}
	return err
}

// redraw shows the live line, and again soon while it moves by itself.
func (s *session) redraw(now time.Time) error {
	if s.gen == nil {
		return nil
	}
	if s.screen.Terminal() && s.live.Moving() {
		s.tick.Reset(tickEvery)
	}
	return errors.Join(s.showLine(s.live.Line(now)), s.notify.Status(s.live.Status()))
}

// showLine draws the live line, unless standard output is a person's listing.
func (s *session) showLine(line string) error {
	if s.cfg.DryRun {
		return nil
	}
	return s.screen.SetLine(line)
}
