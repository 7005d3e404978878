package supervise

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"lockstep/console"
	"lockstep/ipc/status"
	"lockstep/rootid"
	"lockstep/supervise/deaths"
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
	warned      string     // mounts that were named
	early       deaths.Row // generations that died before READY or soon after
	earlyRunner deaths.Row // runners that died soon
	sigsys      deaths.Sigsys
	hung        []*proc.Process // what could not be ended
	asked       time.Time       // when a person asked for the end
	hurry       bool            // and again
	passBegun   time.Time       // the whole pass under way, or the last one

	restart     *time.Timer // of a generation
	runnerTimer *time.Timer // of a runner
	deadline    *time.Timer // of a stop
	check       *time.Timer // of the roots
	tick        *time.Timer // of the live line and the service manager

	news    *slog.Logger // for lines that the worker's numbers cause
	unsaved bool         // a number of the state
	saved   time.Time
}

const (
	twice = 100 * time.Millisecond // two signals within this are one

	// A directory that is exchanged for another without a mount shows in no
	// table: the roots are looked at now and then, and often while held.
	checkEvery     = time.Minute
	checkHeldEvery = 2 * time.Second

	tickEvery = 200 * time.Millisecond

	saveEvery = time.Minute

	maxOnceDeaths = 5 // early deaths in a row that --once bears
)

// serve runs until a signal, --once or a failure ends it; nothing that it
// started is alive when it returns.
func (s *session) serve() (err error) {
	for _, t := range []**time.Timer{&s.restart, &s.runnerTimer, &s.deadline, &s.check, &s.tick} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
	}
	defer func() {
		err = errors.Join(err, s.stopGeneration())
		s.save(time.Now(), 0)
	}()
	s.notify.Log, s.news = s.log, console.Limited(s.log)
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
	var last status.Report
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
		s.notify.Watchdog()
		return nil
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
	s.live.Update(status.Report{}, time.Now())
	s.phase = phaseDown
	err := s.rememberMounts(now)
	if err == nil {
		s.gen, err = s.maker.Start(s.plan(now))
		s.phase = phaseUp
	}
	if err == nil {
		// What was mounted in between is in no jail and in no list.
		var again rootid.Roots
		if again, err = s.look(); err == nil && !again.Same(now) {
			s.log.Info("source or target changed while they were opened")
			if err = s.stopGeneration(); err == nil {
				return s.startLater(time.Time{})
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
	return s.startLater(time.Time{})
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
	err := g.EndOr(s.signals, s.heard)
	s.ended = s.ended || errors.Is(err, generation.ErrLeft)
	return s.bury(err, g.Helper, g.Worker, g.Runner)
}

// heard takes note of a signal that comes while a generation is ended (nil: no
// signal), and says whether the end is waited for no longer.
func (s *session) heard(sig os.Signal) (hurry bool) {
	switch {
	case sig != syscall.SIGINT && sig != syscall.SIGTERM: // the next generation looks at everything anyway
	case s.asked.IsZero() && !s.once:
		s.asked = time.Now()
		s.shutDown("stopping: " + sig.String())
	default:
		s.hurry = s.hurry || time.Since(s.asked) >= twice
	}
	return s.hurry
}

// bury keeps in mind what could not be ended: nothing may be started beside it
// (judge).
func (s *session) bury(err error, all ...*proc.Process) error {
	if !errors.Is(err, proc.ErrHung) {
		return err
	}
	s.hung = append(s.hung, all...)
	s.tell(err, ExitFailed)
	return nil
}

// startLater sets the timer of the next start, after the end of a generation
// that was ready since then, or never.
func (s *session) startLater(ready time.Time) error {
	wait := s.early.Wait(ready, time.Now())
	if s.early.N > maxOnceDeaths && (s.cfg.Once || s.cfg.DryRun) {
		return exitError{ExitInternal, errors.New("ended without being in step: the processes keep dying; the lines above say how")}
	}
	if wait > 0 {
		s.log.Info("starting again", "in", wait)
	}
	s.restart.Reset(wait)
	return nil
}

func (s *session) startAgain() error {
	if s.phase != phaseDown || s.ended {
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
		s.ended = s.ended || e.Process != g.Runner
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
	return s.startLater(g.Ready)
}

// endRunner is what follows the death of a runner: its jobs have failed and
// are requeued by the worker, the rest goes on.
func (s *session) endRunner(g *generation.Generation) error {
	p := g.Runner
	g.Runner = nil
	if err := s.bury(p.End(), p); err != nil {
		return err
	}
	s.runnerTimer.Reset(s.earlyRunner.Wait(p.Begun, time.Now()))
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
	if !s.sigsys.Count(time.Now()) {
		return nil
	}
	return exitError{ExitLocked, fmt.Errorf("locked out: %d deaths by a forbidden system call within %v, the last of the %s; "+
		"it is an attack or a bug: look at the audit log and report it, and start lockstep again only then", deaths.MaxSigsys, deaths.SigsysWindow, e.Process.Role)}
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
			s.ended, s.hurry = true, true
			return nil
		}
		s.asked = time.Now()
		s.shutDown("stopping: " + sig.String())
	case syscall.SIGHUP:
		s.log.Warn("SIGHUP is refused: the configuration is read at start only; restart lockstep")
	case syscall.SIGUSR1:
		if s.gen == nil || s.gen.Ready.IsZero() {
			s.log.Info("state: nothing to verify: no worker is ready")
			return nil
		}
		s.verify = true
		return s.order(status.CommandVerify)
	case syscall.SIGUSR2:
		s.log.Info("a whole pass was asked for")
		return s.order(status.CommandResync)
	}
	return nil
}

// order sends the worker a command. A worker that has gone gets none: its
// successor makes a whole pass anyway.
func (s *session) order(c status.Command) error {
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
func (s *session) shutDown(why string) {
	if s.phase == phaseStopping {
		return
	}
	s.log.Info(why)
	s.notify.Stopping()
	if s.gen == nil || s.gen.Ready.IsZero() {
		s.ended = true
		return
	}
	s.phase = phaseStopping
	s.deadline.Reset(s.cfg.StopTimeout)
	if e := s.gen.ShutDown(); e != nil {
		s.log.Warn("the helper cannot be reached", "error", e.Error())
		s.ended = true
	}
}

// redraw shows the live line, and again soon while it moves by itself or the
// service manager has not heard all.
func (s *session) redraw(now time.Time) (err error) {
	var again time.Duration
	if s.gen != nil {
		s.notify.Status(s.live.Status(), now)
		err = s.showLine(s.live.Line(now))
		if s.screen.Terminal() && s.live.Moving() {
			again = tickEvery
		}
	}
	if owed := s.notify.Flush(now); again == 0 {
		again = owed
	}
	if again > 0 {
		s.tick.Reset(again)
	}
	return err
}

// showLine draws the live line, unless standard output is a person's listing.
func (s *session) showLine(line string) error {
	if s.cfg.DryRun {
		return nil
	}
	return s.screen.SetLine(line)
}
