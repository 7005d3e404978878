package supervise

import (
	"fmt"
	"os"
	"syscall"

	"lockstep/config/whom"
	"lockstep/seccomp"
	"lockstep/supervise/control"
	"lockstep/supervise/exit"
	"lockstep/uidpool"
)

// openControl makes the control socket, if there is to be one. A dry run changes nothing, and is asked for nothing.
func (s *service) openControl() error {
	if !s.controlled() {
		return nil
	}
	lease, err := uidpool.Take(uidDir, "")
	if err != nil {
		return fmt.Errorf("the gate's uid: %w", err)
	}
	s.later(lease.Release)
	uid, gid, err := whom.Owner(s.set.Control.Owner)
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
	s.later(c.Close)
	s.fleet.Heed(c)
	return nil
}

// controlled says that there is a control socket.
func (s *service) controlled() bool { return s.set.Control.On() && !s.set.DryRun }

// signalsOf are what a running service obeys.
func signalsOf() []os.Signal {
	return []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGIO}
}
