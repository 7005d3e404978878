package session

import (
	"context"
	"fmt"
	"time"

	"lockstep/config"
	"lockstep/console"
	"lockstep/ipc/status"
	"lockstep/supervise/generation"
	"lockstep/supervise/once"
	"lockstep/supervise/words"
)

// onReports takes the worker's newest numbers: a line for each event of note.
func (s *Session) onReports() error {
	for _, r := range s.maker.Inbox.Take() {
		if g := s.gen; g == nil || g != r.From {
			continue
		}
		s.rounds.News()
		if err := s.onReport(r); err != nil {
			return err
		}
	}
	if g := s.gen; g != nil {
		for _, t := range s.targets {
			// Later passes of a generation that began without one know nothing of
			// content that changed before it.
			t.pair.InStep(g.Last, t.last, t.passed && g.Compares, g.Watching.Lag())
		}
	}
	s.held.Save(time.Now(), saveEvery, s.log)
	return nil
}

func (s *Session) onReport(r generation.Report) error {
	g, now := s.gen, time.Now()
	t, old := s.of(r)
	if r.Err == nil && t == nil && r.Target != 0 {
		r.Err = fmt.Errorf("there is no target %d", r.Target)
	}
	if r.Err == nil {
		r.Err = words.Falls(old, r.Report)
	}
	if r.Err != nil {
		s.log.Error("violation: the worker sent a report that is none; it is killed", "error", r.Err.Error())
		s.maker.Starter.Trail.Violation(s.cfg.Name, "worker", r.Err)
		return s.endGeneration(g)
	}
	if t != nil {
		t.last = r.Report
		s.show(func(n *console.Part) { n.Target(r.Target, func(p *console.PartTarget) { p.Report = r.Report }) })
		if begins(r.State) && !begins(old.State) || t.begun.IsZero() {
			t.begun = now
		}
		if t.Remote() && r.Attempts > old.Attempts {
			t.way.Doubt(s.reach(t))
		}
		if r.Initials > old.Initials {
			s.passDone(t, old, now)
		}
		for _, line := range words.Guarded(old, r.Report, words.Limits{Percent: s.cfg.MaxDeletePercent, Entries: s.cfg.MaxDeleteEntries, Consent: s.consent}) {
			s.news.Log(context.Background(), line.Level, s.about(t)+line.Text)
		}
		return nil
	}
	g.Last = r.Report
	s.show(func(n *console.Part) { n.Report = r.Report })
	s.leave.Count()
	s.becameReady(now)
	if r.Initials > old.Initials {
		s.measure()
	}
	for _, line := range words.Troubles(old, r.Report) {
		s.news.Log(context.Background(), line.Level, line.Text)
	}
	if s.verify && r.Verified > old.Verified {
		s.verify = false
		s.log.Info("state: "+console.StateName(r.State), words.Numbers(r.Report)...)
	}
	return nil
}

// of finds whose numbers a report has, and what they were before.
func (s *Session) of(r generation.Report) (*target, status.Report) {
	if r.Target == 0 || r.Err != nil {
		return nil, s.gen.Last
	}
	for _, t := range s.targets {
		if uint64(t.id) == r.Target {
			return t, t.last
		}
	}
	return nil, status.Report{}
}

// begins says that a whole pass is under way.
func begins(s status.State) bool { return s == status.StateWalking || s == status.StateInitial }

// becameReady tells once that a generation is ready. None is while nobody knows
// what rsync can do.
func (s *Session) becameReady(now time.Time) {
	g := s.gen
	if g == nil || g.Last.Ready == 0 || !g.Ready.IsZero() || !s.tried {
		return
	}
	g.Ready = now
	s.news.Info(words.Ready(g.Last), "dirs", g.Last.Dirs, "ms", now.Sub(g.Begun).Milliseconds())
	s.everReady = true
	s.show(func(n *console.Part) { n.Ready = true })
}

// passDone takes note of a target's whole pass: consent has been used up,
// whether or not all paths could be done.
func (s *Session) passDone(t *target, old status.Report, now time.Time) {
	t.passed = true
	t.swept = t.swept || t.last.State != status.StateRetrying
	if !s.cfg.DryRun {
		s.news.Info(s.about(t)+words.PassEnded(old, t.last, s.cfg.Untargeted(), s.cfg.Delete == config.DeleteNever), "dirs", s.gen.Last.Dirs, "ms", now.Sub(t.begun).Milliseconds())
	}
}

// measure keeps what the walk of a whole pass came to: the next has a measure.
func (s *Session) measure() {
	walked := s.gen.Last.Walked
	for _, t := range s.targets {
		t.pair.Measure(walked)
	}
	s.show(func(n *console.Part) { n.Expected = walked })
}

// maybeDone ends --once and --dry-run when there is nothing more to wait for, and
// goes on with an end that has begun.
func (s *Session) maybeDone() error {
	if s.phase != phaseUp || s.gen == nil {
		return nil
	}
	fine := s.gen.Last.State == status.StateInStep
	if s.cfg.Once || s.cfg.DryRun {
		all := make([]once.Target, len(s.targets))
		for i, t := range s.targets {
			all[i] = once.Target{About: s.about(t), Held: t.why, Passed: t.passed, Tries: t.tries, Trouble: t.way.Trouble, Last: t.last}
		}
		done, err := once.Over(all, s.cfg.DryRun)
		if err != nil || !done {
			return err
		}
		if s.cfg.DryRun {
			s.ended = true
			return nil
		}
		if fine {
			s.once = s.asked.IsZero()
			s.leave.Itself()
		}
	}
	s.leave.Step(fine)
	return nil
}

// result is said at the end of a session without an error; --once fails when
// anything is not in step.
func (s *Session) result(last status.Report) error {
	if !s.cfg.DryRun {
		s.log.Info("stopped: " + s.total.String())
	}
	if !s.cfg.Once || s.cfg.DryRun || s.leave.Counted {
		return nil
	}
	return once.Result(last, s.once)
}
