package supervise

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"lockstep/config"
	"lockstep/console"
	"lockstep/internal/escape"
	"lockstep/ipc/status"
	"lockstep/supervise/exit"
	"lockstep/supervise/mark"
	"lockstep/supervise/standby"
)

// marks are the files of a sync by which other programs know where it stands, or
// hold it back.
type marks struct {
	log    *slog.Logger
	status *mark.File // nil: none
	dry    bool       // and nothing is written
	failed bool       // the last word could not be written
	held   atomic.Bool
	why    string // of held
}

// openMark opens the place of a file; nil without one.
func (s *service) openMark(path string) (*mark.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := mark.Open(path)
	if err != nil {
		return nil, exit.Refuse(err)
	}
	s.later(f.Close)
	return f, nil
}

// writePID writes the process id as clsync does, without a newline.
func (s *service) writePID() error {
	f, err := s.openMark(s.set.PIDFile)
	if f == nil || err != nil || s.set.DryRun {
		return err
	}
	return f.Put(strconv.Itoa(os.Getpid()))
}

// openMarks opens the files of a sync, and makes what holds it back.
func (s *service) openMarks(cfg config.Config) (m *marks, held *standby.File, err error) {
	m = &marks{log: s.log, dry: s.set.DryRun}
	if s.host.Named {
		m.log = s.log.With("sync", cfg.Name)
	}
	if m.status, err = s.openMark(cfg.StatusFile); err != nil {
		return nil, nil, err
	}
	f, err := s.openMark(cfg.StandbyFile)
	if f == nil || err != nil {
		return m, nil, err
	}
	m.why = "held back: " + escape.Name(f.Path()) + " is there"
	return m, standby.New(f.There, func(held bool, err error) {
		switch {
		case err != nil:
			m.log.Warn("held back: nobody knows whether "+escape.Name(f.Path())+" is there", "error", err.Error())
		case held:
			m.log.Info(m.why + "; what changes is gathered")
		default:
			m.log.Info("no longer held back")
		}
		m.held.Store(held)
		s.host.Changed()
	}), nil
}

// show writes the state, and returns the snapshot with what it does not know.
func (m *marks) show(n console.Part, ending bool) console.Part {
	if n.Why == "" && m.held.Load() {
		n.Why = m.why
	}
	if m.status == nil || m.dry {
		return n
	}
	err := m.status.Put(word(n, ending))
	if err != nil && !m.failed {
		m.log.Warn("the status file could not be written: it says what was so before", "error", fmt.Sprint(err))
	}
	m.failed = err != nil
	return n
}

// word is a state in the words of clsync's status file.
func word(n console.Part, ending bool) string {
	switch state := n.Report.State; {
	case n.Ended:
		return "exiting"
	case n.Leaving != "":
		return n.Leaving
	case ending || state == status.StateDraining:
		return "terminating"
	case strings.HasPrefix(n.Why, "held") || state == status.StateHeld:
		return "hold on"
	case n.Why != "" || state == status.StateStarting:
		return "starting"
	case state == status.StateRetrying:
		return "synchandler error"
	case state == status.StateWalking || state == status.StateInitial:
		return "initsync"
	}
	return "running"
}
