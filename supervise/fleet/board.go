package fleet

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"lockstep/console"
	"lockstep/supervise/exit"
)

// board is what Fleet.Serve, which alone uses it, shows of the members.
type board struct {
	fit     bool // the trials of rsync are over, and went well
	told    bool // the service manager knows that we are ready
	stopped bool // a person asked for the end
	worst   error
	tick    *time.Timer

	unfit error // what the trials ended with
}

const (
	tickEvery = 200 * time.Millisecond
	// patience is how long the end waits for those that are preparing: of what they
	// ask a file system, they may get no answer.
	patience = 5 * time.Second
)

// Serve runs all members until the last has ended.
func (s *Fleet) Serve() error {
	defer close(s.served)
	s.Notify.Log = s.Log
	s.tick = time.NewTimer(time.Hour)
	s.tick.Stop()
	watchdog := s.watchdog()
	defer watchdog.Stop()
	defer s.stopReload()
	for _, m := range s.members {
		s.run(m)
	}
	mounts, tried := s.Mounts.Changed, s.trials.done // nil, once there is nothing more to be heard
	var limit <-chan time.Time                       // of our patience
	for s.left() > 0 || tried != nil && !s.stopped {
		if s.stopped && limit == nil {
			limit = time.After(patience)
		}
		select {
		case <-tried:
			tried = nil
			s.onTried()
		case sig := <-s.Signals:
			s.pass(sig)
		case _, ok := <-mounts:
			if !ok {
				mounts = nil
				s.blind()
				continue
			}
			s.each(func(m *member) { poke(m.session.Mounts) })
		case q := <-s.requests:
			s.desk.Answer(q)
		case err := <-s.gateLost:
			s.Log.Error(err.Error() + "; there is no control socket any more, and all else goes on")
			s.worst = graver(s.worst, err)
		case <-s.Changed:
			s.look(time.Now())
		case <-s.tick.C:
		case <-watchdog.C:
			s.beat()
		case e := <-s.events:
			e.then(e.err)
			s.look(time.Now())
		case <-s.Asked.Wake:
			s.renew()
		case <-s.limit:
			s.failed(Silent())
		case <-limit:
			s.abandon()
		}
		if err := s.redraw(time.Now()); err != nil {
			s.worst = graver(s.worst, err)
			s.pass(syscall.SIGTERM)
		}
	}
	return s.worst
}

// onTried takes the end of the trials.
func (s *Fleet) onTried() {
	s.unfit, s.fit = s.trials.err, s.trials.err == nil
	s.tried()
	s.look(time.Now())
	if s.left() == 0 { // nobody else will tell it
		s.worst = both(s.worst, s.unfit)
	}
	s.renew()
}

// each does something for each member that runs.
func (s *Fleet) each(do func(*member)) {
	for _, m := range s.members {
		if m.stage == running {
			do(m)
		}
	}
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
func (s *Fleet) pass(sig os.Signal) {
	s.Host.Maker.Starter.Trail.Asked("signal", sig.String(), "", nil)
	if Asks(s.Source, s.Asked, sig) {
		return
	}
	switch sig {
	case syscall.SIGIO:
		s.desk.Dump()
		return
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		if !s.stopped {
			s.stopped = true
			s.Notify.Stopping()
			s.stopReload()
		}
		for _, m := range s.members {
			if m.stage == waiting {
				m.stage = closed
			}
		}
	}
	s.each(func(m *member) {
		select {
		case m.session.Signals <- sig:
			return
		default: // it has several that it did not take yet
		}
		if sig == syscall.SIGUSR1 || sig == syscall.SIGUSR2 {
			return
		}
		go func() { // what asks for the end is not lost among them
			select {
			case m.session.Signals <- sig:
			case <-s.served:
			}
		}()
	})
}

// abandon waits no longer for those that prepare: what they ask for is not answered.
func (s *Fleet) abandon() {
	for _, m := range s.members {
		if m.stage == preparing {
			s.Log.Error("the sync was to begin, and what it looked at does not answer: it is not waited for", "sync", m.cfg.Name)
			m.stage = abandoned
		}
	}
}

// blind is the end when the mount table cannot be watched: nobody would see
// that a disk has gone.
func (s *Fleet) blind() {
	s.worst = both(s.worst, exit.Error{Code: exit.Internal, Err: fmt.Errorf("the mount table is not watched any more: %w", s.Mounts.Err())})
	s.pass(syscall.SIGTERM)
}

// watchdog ticks as often as the service manager wants to hear from us.
func (s *Fleet) watchdog() *time.Ticker {
	interval := s.Notify.Interval()
	t := time.NewTicker(max(interval, time.Millisecond))
	if interval <= 0 {
		t.Stop()
	}
	return t
}

// beat tells the service manager that all sessions are alive: each has taken
// the last beat.
func (s *Fleet) beat() {
	alive := true
	s.each(func(m *member) {
		if !m.shown.Ended && !poke(m.session.Beat) {
			alive = false
		}
	})
	if alive {
		s.Notify.Watchdog()
	}
}

// over takes note of a session's end. Of several, the others go on.
func (s *Fleet) over(e ending, worst error, left int) error {
	if s.unfit != nil && errors.Is(e.err, s.unfit) {
		return both(worst, e.err) // which all of them end with
	}
	log := s.Log.With("sync", e.member.cfg.Name)
	if e.member.leaving != "" && !s.stopped { // as it was told to
		Tell(log, e.err, exit.Code(e.err))
		return worst
	}
	if left > 0 && e.err != nil && !s.stopped {
		Tell(log, e.err, exit.Code(e.err))
		log.Error("the sync has ended; the others go on")
		return graver(worst, exit.Error{Code: exit.Code(e.err), Err: fmt.Errorf("sync %s had ended before: its lines above say why", e.member.cfg.Name)})
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
func (s *Fleet) look(now time.Time) {
	for _, m := range s.members {
		s.show(m, now)
	}
	if s.told || s.stopped || !s.fit {
		return
	}
	alive := false
	for _, m := range s.members {
		if !m.shown.Ready {
			return
		}
		alive = alive || !m.shown.Ended
	}
	if !alive {
		return
	}
	s.told = true
	s.Notify.Ready(now)
}

// show takes a session's snapshot, and writes down where it stands.
func (s *Fleet) show(m *member, now time.Time) {
	if m.stage != running && m.stage != over {
		return
	}
	n := m.marks.Show(m.session.Snapshot(), s.stopped || m.leaving != "")
	m.live.Expected = n.Expected
	if n.Report != m.shown.Report {
		m.live.Update(n.Report, now)
	}
	m.shown = n
}

// redraw shows the live line, and again soon while it moves by itself or the
// service manager has not heard all.
func (s *Fleet) redraw(now time.Time) (err error) {
	text, line, moving := s.words(now)
	s.Notify.Status(text, now)
	if !s.Set.DryRun {
		err = s.Screen.SetLine(line)
	}
	var again time.Duration
	if moving && s.Screen.Terminal() {
		again = tickEvery
	}
	if owed := s.Notify.Flush(now); again == 0 {
		again = owed
	}
	if again > 0 {
		s.tick.Reset(again)
	}
	return err
}

// words are the status text, the live line, and whether that moves by itself.
func (s *Fleet) words(now time.Time) (text, line string, moving bool) {
	var all []*member
	for _, m := range s.members {
		if m.leaving == "" || m.stage < over {
			all = append(all, m)
		}
	}
	if len(all) == 1 {
		live, n := &all[0].live, all[0].shown
		if n.Why != "" {
			return n.Why, n.Why, false
		}
		return live.Status(), live.Line(now), live.Moving()
	}
	parts := make([]console.Part, len(all))
	for i, m := range all {
		parts[i] = m.shown
	}
	text = console.Several(parts)
	return text, text, false
}
