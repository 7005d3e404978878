package supervise

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"lockstep/console"
	"lockstep/ipc/status"
	"lockstep/supervise/generation"
	"lockstep/supervise/words"
)

// lines is where a role's messages go: the log; the output of a dry run goes to
// standard output as it is, since a person asked for it.
func (s *session) lines(role string) *console.Lines {
	if role != "runner" || !s.cfg.DryRun || !s.tried {
		return console.NewLines(s.log, role)
	}
	return console.NewListing(s.log, role, os.Stdout)
}

// onReport takes the worker's newest numbers: a line for each event of note.
func (s *session) onReport(r generation.Report) error {
	g := s.gen
	if g == nil || g != r.From {
		return nil
	}
	now := time.Now()
	old := g.Last
	if r.Err == nil {
		r.Err = words.Falls(old, r.Report)
	}
	if r.Err != nil {
		s.log.Error("violation: the worker sent a report that is none; it is killed", "error", r.Err.Error())
		return s.endGeneration(g)
	}
	g.Last = r.Report
	s.live.Update(r.Report, now)
	if begins(r.State) && !begins(old.State) || s.passBegun.IsZero() {
		s.passBegun = now
	}
	if old.Ready == 0 && r.Ready == 1 {
		s.becameReady(g, now)
	}
	if r.Initials > old.Initials {
		s.passDone(old, r.Report, now)
	}
	s.save(now, saveEvery)
	for _, line := range words.Troubles(old, r.Report, s.guard()) {
		s.news.Log(context.Background(), line.Level, line.Text)
	}
	if s.verify && r.Verified > old.Verified {
		s.verify = false
		s.log.Info("state: "+console.StateName(r.State), words.Numbers(r.Report)...)
	}
	return errors.Join(s.redraw(now), s.maybeDone(r.Report))
}

// begins says that a whole pass is under way.
func begins(s status.State) bool { return s == status.StateWalking || s == status.StateInitial }

func (s *session) guard() words.Limits {
	return words.Limits{Percent: s.cfg.MaxDeletePercent, Entries: s.cfg.MaxDeleteEntries}
}

func (s *session) becameReady(g *generation.Generation, now time.Time) {
	g.Ready = now
	s.news.Info(words.Ready(g.Last), "dirs", g.Last.Dirs, "ms", now.Sub(g.Begun).Milliseconds())
	if !s.everReady {
		s.everReady = true
		s.notify.Ready(now)
	}
}

// passDone takes note of a whole pass: consent has been used up, whether or not
// all paths could be done, and the next walk has a measure.
func (s *session) passDone(old, r status.Report, now time.Time) {
	s.passed = true
	if s.cfg.DryRun {
		return
	}
	s.news.Info(words.PassEnded(old, r), "dirs", r.Dirs, "ms", now.Sub(s.passBegun).Milliseconds())
	if s.state.Entries != r.Walked {
		s.state.Entries, s.live.Expected, s.unsaved = r.Walked, r.Walked, true
	}
}

// save writes the measure down, but not more often than every so long: the
// worker decides how often it changes. It is no more than a measure, so that a
// full disk is no reason to end.
func (s *session) save(now time.Time, every time.Duration) {
	if !s.unsaved || now.Sub(s.saved) < every {
		return
	}
	s.unsaved, s.saved = false, now
	if err := s.store.Save(s.state); err != nil {
		s.log.Warn("the state could not be saved", "error", err.Error())
	}
}

// maxOnce is how many failures in a row --once bears.
const maxOnce = 3

// maybeDone ends --once and --dry-run when there is nothing more to wait for.
func (s *session) maybeDone(r status.Report) error {
	if !s.cfg.Once && !s.cfg.DryRun || s.phase != phaseUp {
		return nil
	}
	switch {
	case r.Held != 0:
		return exitError{ExitFailed, errors.New("ended without being in step: a pass is held")}
	case s.cfg.DryRun && r.Initials > 0:
		s.ended = true
		return nil
	case r.Attempts >= maxOnce, s.cfg.DryRun && r.Attempts > 0:
		return exitError{ExitFailed, errors.New("ended without being in step: " + words.Failure(r))}
	case r.State == status.StateInStep && r.Initials > 0:
		s.once = true
		s.shutDown("in step")
	}
	return nil
}

// result is said at the end of a session without an error; --once fails when
// anything is not in step.
func (s *session) result(last status.Report) error {
	if !s.cfg.DryRun {
		s.log.Info("stopped: " + s.total.String())
	}
	if !s.cfg.Once {
		return nil
	}
	bad := words.NotInStep(last)
	if !s.once {
		bad = append(bad, "it was stopped before the end")
	}
	if len(bad) == 0 {
		return nil
	}
	return exitError{ExitFailed, errors.New("not all is in step: " + strings.Join(bad, ", "))}
}
