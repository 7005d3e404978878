package supervise

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"lockstep/console"
	"lockstep/supervise/control"
	"lockstep/supervise/desk"
	"lockstep/supervise/exit"
)

// board is what service.serve, which alone uses it, shows of the sessions.
type board struct {
	lives []console.Live // one a session
	shown []console.Part
	fit   bool // the trials of rsync are over, and went well
	told  bool // the service manager knows that we are ready
	asked bool // a person asked for the end
	tick  *time.Timer

	unfit error // what the trials ended with

	desk     *desk.Desk
	requests <-chan control.Request // nil without a control socket
	gateLost <-chan error           // the gate is locked out
}

const tickEvery = 200 * time.Millisecond

// serve runs all sessions until the last has ended.
func (s *service) serve() error {
	s.notify.Log = s.log
	s.tick = time.NewTimer(time.Hour)
	s.tick.Stop()
	s.lives = make([]console.Live, len(s.sessions))
	s.shown = make([]console.Part, len(s.sessions))
	watchdog := s.watchdog()
	defer watchdog.Stop()
	for _, one := range s.sessions {
		go func() { s.ended <- ending{one, one.Run()} }()
	}
	var worst error
	tried := s.trials.done // nil, once that is known
	for left := len(s.sessions); left > 0 || tried != nil && !s.asked; {
		select {
		case <-tried:
			tried, s.unfit, s.fit = nil, s.trials.err, s.trials.err == nil
			s.tried()
			s.look(time.Now())
			if left == 0 { // nobody else will tell it
				worst = both(worst, s.unfit)
			}
		case sig := <-s.signals:
			s.pass(sig)
		case _, ok := <-s.mounts.Changed:
			if !ok {
				return s.blind(left)
			}
			for _, one := range s.sessions {
				poke(one.Mounts)
			}
		case q := <-s.requests:
			s.desk.Answer(q)
		case err := <-s.gateLost:
			s.log.Error(err.Error() + "; there is no control socket any more, and all else goes on")
			worst = graver(worst, err)
		case <-s.changed:
			s.look(time.Now())
		case <-s.tick.C:
		case <-watchdog.C:
			s.beat()
		case e := <-s.ended:
			left--
			worst = s.over(e, worst, left)
		}
		if err := s.redraw(time.Now()); err != nil {
			worst = graver(worst, err)
			s.pass(syscall.SIGTERM)
		}
	}
	return worst
}

// poke tells a session something that it need not be told twice.
func poke(c chan<- struct{}) (heard bool) {
	select {
	case c <- struct{}{}:
		return true
	default:
		return false
	}
}

// pass hands a signal to all sessions.
func (s *service) pass(sig os.Signal) {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		if !s.asked {
			s.asked = true
			s.notify.Stopping()
		}
	case syscall.SIGHUP:
		s.log.Warn("SIGHUP is refused: the configuration is read at start only; restart lockstep")
		return
	case syscall.SIGIO:
		s.desk.Dump()
		return
	}
	for _, one := range s.sessions {
		select {
		case one.Signals <- sig:
		default: // it has several that it did not take yet
		}
	}
}

// blind is the end when the mount table cannot be watched: nobody would see
// that a disk has gone.
func (s *service) blind(left int) error {
	err := exit.Error{Code: exit.Internal, Err: fmt.Errorf("the mount table is not watched any more: %w", s.mounts.Err())}
	s.pass(syscall.SIGTERM)
	for ; left > 0; left-- {
		e := <-s.ended
		tell(s.log, e.err, exit.Code(e.err))
	}
	return err
}

// watchdog ticks as often as the service manager wants to hear from us.
func (s *service) watchdog() *time.Ticker {
	interval := s.notify.Interval()
	t := time.NewTicker(max(interval, time.Millisecond))
	if interval <= 0 {
		t.Stop()
	}
	return t
}

// beat tells the service manager that all sessions are alive: each has taken
// the last beat.
func (s *service) beat() {
	alive := true
	for i, one := range s.sessions {
		if !s.shown[i].Ended && !poke(one.Beat) {
			alive = false
		}
	}
	if alive {
		s.notify.Watchdog()
	}
}

// over takes note of a session's end. Of several, the others go on.
func (s *service) over(e ending, worst error, left int) error {
	if s.unfit != nil && errors.Is(e.err, s.unfit) {
		return both(worst, e.err) // which all of them end with
	}
	if left > 0 && e.err != nil && !s.asked {
		log := s.log.With("sync", e.session.Name())
		tell(log, e.err, exit.Code(e.err))
		log.Error("the sync has ended; the others go on")
		return graver(worst, exit.Error{Code: exit.Code(e.err), Err: fmt.Errorf("sync %s had ended before: its lines above say why", e.session.Name())})
	}
	return both(worst, e.err)
}

// both are two ends, with the graver one's exit code.
func both(a, b error) error {
	if a == nil || b == nil || a.Error() == b.Error() {
		return graver(a, b)
	}
	return exit.Error{Code: exit.Code(graver(a, b)), Err: errors.Join(a, b)}
}

// graver is the error with the higher exit code.
func graver(a, b error) error {
	if a == nil || exit.Code(b) > exit.Code(a) {
		return b
	}
	return a
}

// look takes the sessions' snapshots.
func (s *service) look(now time.Time) {
	for i, one := range s.sessions {
		n := s.marks[i].Show(one.Snapshot(), s.asked)
		s.lives[i].Expected = n.Expected
		if n.Report != s.shown[i].Report {
			s.lives[i].Update(n.Report, now)
		}
		s.shown[i] = n
	}
	if s.told || s.asked || !s.fit {
		return
	}
	alive := false
	for _, n := range s.shown {
		if !n.Ready {
			return
		}
		alive = alive || !n.Ended
	}
	if !alive {
		return
	}
	s.told = true
	s.notify.Ready(now)
}

// redraw shows the live line, and again soon while it moves by itself or the
// service manager has not heard all.
func (s *service) redraw(now time.Time) (err error) {
	text, line, moving := s.words(now)
	s.notify.Status(text, now)
	if !s.set.DryRun {
		err = s.screen.SetLine(line)
	}
	var again time.Duration
	if moving && s.screen.Terminal() {
		again = tickEvery
	}
	if owed := s.notify.Flush(now); again == 0 {
		again = owed
	}
	if again > 0 {
		s.tick.Reset(again)
	}
	return err
}

// words are the status text, the live line, and whether that moves by itself.
func (s *service) words(now time.Time) (text, line string, moving bool) {
	if len(s.sessions) == 1 {
		live, n := &s.lives[0], s.shown[0]
		if n.Why != "" {
			return n.Why, n.Why, false
		}
		return live.Status(), live.Line(now), live.Moving()
	}
	text = console.Several(s.shown)
	return text, text, false
}
