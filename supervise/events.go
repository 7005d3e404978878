package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"lockstep/console"
	"lockstep/ipc"
	"lockstep/supervise/generation"
	"lockstep/supervise/words"
)

// lines is where a role's messages go: the log; the output of a dry run goes to
// standard output as it is, since a person asked for it.
func (s *session) lines(role string) *console.Lines {
	if role != "runner" || !s.cfg.DryRun || !s.tried {
		return console.NewLines(s.log, role)
	}
	log := s.log.With(console.RoleKey, role)
	return console.NewLinesTo(func(level slog.Level, text string) {
		if level != slog.LevelInfo {
			log.Log(context.Background(), level, text)
			return
		}
		_, _ = fmt.Println(text) // a reader that has gone is no reason to fail
	})
}

// onReport takes the worker's newest numbers: a line for each event of note.
func (s *session) onReport(r generation.Report) error {
	g := s.gen
	if g == nil || g != r.From {
		return nil
	}
	if r.Err != nil {
		s.log.Error("violation: the worker sent a report that is none; it is killed", "error", r.Err.Error())
		return s.endGeneration(g)
	}
	now := time.Now()
	old := g.Last
	g.Last = r.Report
	s.live.Update(r.Report, now)
	if begins(r.State) && !begins(old.State) || s.passBegun.IsZero() {
		s.passBegun = now
	}
	var err error
	if old.Ready == 0 && r.Ready == 1 {
		err = s.becameReady(g, now)
	}
	if r.Initials > old.Initials {
		err = errors.Join(err, s.passDone(g, now.Sub(s.passBegun)))
	}
	for _, line := range words.Troubles(old, r.Report, s.guard()) {
		s.log.Log(context.Background(), line.Level, line.Text)
	}
	if s.verify && r.Verified > old.Verified {
		s.verify = false
		s.log.Info("state: "+console.StateName(r.State), words.Numbers(r.Report)...)
	}
	return errors.Join(err, s.redraw(now), s.maybeDone(r.Report))
}

// begins says that a whole pass is under way.
func begins(state ipc.State) bool { return state == ipc.StateWalking || state == ipc.StateInitial }

func (s *session) guard() words.Limits {
	return words.Limits{Percent: s.cfg.MaxDeletePercent, Entries: s.cfg.MaxDeleteEntries}
}

func (s *session) becameReady(g *generation.Generation, now time.Time) error {
	g.Ready = now
	text := "ready: every directory is watched"
	if g.Last.Unwatched > 0 {
		text = fmt.Sprintf("ready, but %d directories are not watched", g.Last.Unwatched)
	}
	s.log.Info(text, "dirs", g.Last.Dirs, "ms", now.Sub(g.Begun).Milliseconds())
	if s.everReady {
		return nil
	}
	s.everReady = true
	return s.notify.Ready()
}

// passDone takes note of a whole pass: consent has been used up, and the next
// walk has a measure.
func (s *session) passDone(g *generation.Generation, took time.Duration) error {
	s.passed = true
	if s.cfg.DryRun {
		return nil
	}
	s.log.Info("whole pass done: the target is what the source was", "dirs", g.Last.Dirs, "ms", took.Milliseconds())
	entries := g.Last.Walked
	if s.state.Entries == entries {
		return nil
	}
	s.state.Entries = entries
	s.live.Expected = entries
	return s.store.Save(s.state)
}

// maxOnce is how many failures in a row --once bears.
const maxOnce = 3

// maybeDone ends --once and --dry-run when there is nothing more to wait for.
func (s *session) maybeDone(r ipc.Report) error {
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
	case r.State == ipc.StateInStep && r.Initials > 0:
		s.once = true
		return s.shutDown("in step")
	}
	return nil
}

// result is said at the end of a session without an error; --once fails when
// anything is not in step.
func (s *session) result(last ipc.Report) error {
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
