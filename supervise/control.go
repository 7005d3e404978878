package supervise

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"lockstep/config"
	"lockstep/config/resolve"
	"lockstep/console"
	"lockstep/seccomp"
	"lockstep/supervise/control"
	"lockstep/supervise/desk"
	"lockstep/supervise/exit"
	"lockstep/uidpool"
)

// openControl makes the control socket, if there is to be one, and what answers
// there. A dry run changes nothing, and is asked for nothing.
func (s *service) openControl() error {
	s.desk = &desk.Desk{Log: s.log, Service: s, Later: func(d time.Duration, f func()) { time.AfterFunc(d, f) }}
	s.later(s.desk.Close)
	if !s.controlled() {
		return nil
	}
	lease, err := uidpool.Take(uidDir, "")
	if err != nil {
		return fmt.Errorf("the gate's uid: %w", err)
	}
	s.later(lease.Release)
	uid, gid, err := resolve.Owner(s.set.Control.Owner)
	if err != nil {
		return exit.Refuse(err)
	}
	var names []string
	for _, one := range s.set.Syncs {
		names = append(names, one.Name)
	}
	m := s.host.Maker
	c, err := control.Open(control.Options{
		Log: s.log, Place: control.Place{Path: s.set.Control.Socket, Mode: s.set.Control.Mode, UID: uid, GID: gid}, Starter: m.Starter, Image: m.Programs.Gate, Filter: m.Filters[seccomp.Gate], Machine: m.Machine,
		UID: lease.UID, GID: lease.GID, Syncs: names,
	})
	if err != nil {
		return exit.Refuse(err)
	}
	s.requests, s.gateLost = c.Requests, c.Locked
	s.later(c.Close)
	return nil
}

// controlled says that there is a control socket.
func (s *service) controlled() bool { return s.set.Control.On() && !s.set.DryRun }

// Parts are where the sessions stand.
func (s *service) Parts() []console.Part {
	parts := make([]console.Part, len(s.sessions))
	for i, one := range s.sessions {
		parts[i] = s.marks[i].Of(one.Snapshot())
	}
	return parts
}

// Told is what the service was told.
func (s *service) Told() config.Set { return s.set }

// Signal has a signal's work done for one sync, or as if it had come.
func (s *service) Signal(sig os.Signal, sync string) {
	send := func(to chan<- os.Signal) {
		select {
		case to <- sig:
		default: // several wait there already
		}
	}
	if sync == "" {
		send(s.signals)
		return
	}
	for _, one := range s.sessions {
		if one.Name() == sync {
			send(one.Signals)
		}
	}
}

// Pause begins or ends a pause of one sync, or of all.
func (s *service) Pause(on bool, sync string) {
	for i, m := range s.marks {
		if sync == "" || sync == s.sessions[i].Name() {
			m.Pause(on)
		}
	}
	s.host.Changed()
}

// signalsOf are what a running service obeys.
func signalsOf() []os.Signal {
	return []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGIO}
}
