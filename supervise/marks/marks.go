// Package marks says where a sync stands in files for other programs, and holds it
// back by one.
//
// Trust: linked into the supervisor. The directories of the files were found to be
// root's alone to write.
//
// Invariants: a dry run writes nothing; a file that cannot be written is told of once
// until it can be again, and stops nothing.
package marks

import (
	"errors"
	"fmt"
	"log/slog"
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

// Marks are the files of a sync by which other programs know where it stands, or
// hold it back.
type Marks struct {
	log    *slog.Logger
	status *mark.File // nil: none
	dry    bool       // and nothing is written
	failed bool       // the last word could not be written
	held   atomic.Bool
	why    string // of held
	undo   []func() error
}

// Open opens the files of a sync, and makes what holds it back (nil: nothing does).
// changed is called when Show would say something else. Close gives back what was
// opened, also after an error.
func Open(cfg config.Config, log *slog.Logger, changed func()) (m *Marks, held *standby.File, err error) {
	m = &Marks{log: log, dry: cfg.DryRun}
	if m.status, err = m.open(cfg.StatusFile); err != nil {
		return m, nil, err
	}
	f, err := m.open(cfg.StandbyFile)
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
		changed()
	}), nil
}

// open opens the place of a file; nil without one.
func (m *Marks) open(path string) (*mark.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := mark.Open(path)
	if err != nil {
		return nil, exit.Refuse(err)
	}
	m.undo = append(m.undo, f.Close)
	return f, nil
}

// Close removes what Show wrote, and lets go of the files.
func (m *Marks) Close() error {
	var err error
	for _, f := range m.undo {
		err = errors.Join(err, f())
	}
	m.undo = nil
	return err
}

// Show writes the state, and returns the snapshot with what it does not know.
func (m *Marks) Show(n console.Part, ending bool) console.Part {
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
