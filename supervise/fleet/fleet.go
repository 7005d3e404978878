// Package fleet is the syncs of a service: it begins them, shows where they stand,
// passes on what concerns them all, and puts others in their place when the
// configuration is read anew.
//
// Trust: linked into the supervisor, which is root and not confined. Of the others it
// reads what package session does.
//
// Invariants: a session's state is its own goroutine's; here one goroutine (Serve) owns
// the screen and the service manager's ear, and waits for no file system. What was
// taken for one sync is on that sync's list, and is given back in the opposite order
// when nothing of it is left that could still write.
package fleet

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"lockstep/config"
	"lockstep/console"
	"lockstep/rootid"
	"lockstep/supervise/above"
	"lockstep/supervise/desk"
	"lockstep/supervise/exit"
	"lockstep/supervise/host"
	"lockstep/supervise/reload"
	"lockstep/supervise/session"
)

// Needs is what a fleet is made of.
type Needs struct {
	Set      config.Set              // resolved
	Commands map[string]host.Command // its rsyncs, by their paths
	Source   reload.Source           // where it came from
	Asked    *reload.Asked           // to have it read anew

	Log     *slog.Logger
	Screen  *console.Screen
	Notify  *console.Notifier
	Host    session.Host
	Mounts  *rootid.Watcher // of the host's mount table
	Above   *above.Watcher  // of the directories above the roots
	Scratch string          // a directory of this instance for trees that live for a moment

	Signals chan os.Signal
	Changed <-chan struct{} // a session's snapshot is another
	// Ends says whether a signal ends what goes on before Serve.
	Ends func(os.Signal) error
}

// Fleet is the syncs of a service.
type Fleet struct {
	Needs
	members []*member
	trials  tests
	dirs    atomic.Int64
	events  chan event
	served  chan struct{} // closed when nobody takes events any more

	renewal
	board
	counter
}

// New makes a fleet that has taken nothing yet.
func New(n Needs) *Fleet {
	s := &Fleet{Needs: n, events: make(chan event, 16), served: make(chan struct{})}
	s.desk = &desk.Desk{Trail: n.Host.Maker.Starter.Trail, Log: n.Log, Service: s, Later: func(d time.Duration, f func()) { time.AfterFunc(d, f) }}
	return s
}

// Prepare makes the members, and has each take what it needs; Close gives it back, also
// after an error.
func (s *Fleet) Prepare() error {
	for i := range s.Set.Syncs {
		cfg := s.Set.Config(i)
		m := s.newMember(cfg, s.Commands[cfg.RsyncPath])
		m.host, m.stage, m.shown = s.Host, preparing, console.Part{Name: cfg.Name}
		s.members = append(s.members, m)
		made := func() error { return nil }
		if !cfg.DryRun && slices.ContainsFunc(cfg.Targets, func(t config.Target) bool { return t.Missing }) {
			made = s.awaitTrials // it is about to be made
		}
		if err := s.prepare(m, made); err != nil {
			m.stage = over
			return err
		}
		m.stage = over // and nothing of it runs
	}
	return nil
}

// Close gives back what members took, when nothing of the trials is left. Of a member
// whose preparation was not waited for, the kernel does.
func (s *Fleet) Close() error {
	err := s.desk.Close()
	for _, m := range slices.Backward(s.members) {
		if m.stage != abandoned {
			err = errors.Join(err, m.close())
		}
	}
	return err
}

// Inspect finds what the programs of a resolved set need.
func Inspect(set config.Set) (map[string]host.Command, error) {
	commands := map[string]host.Command{}
	for _, one := range set.Syncs {
		for _, hook := range one.Hooks() {
			if *hook == "" {
				continue
			}
			if _, err := host.InspectHook(*hook, one.HandlerIDs); err != nil {
				return nil, err
			}
		}
		if one.Handled() {
			if _, err := host.InspectHandler(one); err != nil {
				return nil, err
			}
			continue
		}
		if _, known := commands[one.RsyncPath]; known {
			continue
		}
		command, err := host.Inspect(one.RsyncPath)
		if err != nil {
			return nil, err
		}
		commands[one.RsyncPath] = command
	}
	return commands, nil
}

// ResolveLimit bounds a look at all sources, targets and files.
const ResolveLimit = 30 * time.Second

// Silent is the error of one that took longer.
func Silent() error {
	return fmt.Errorf("a source, a target or a file of the configuration does not answer within %v: its disk or server is gone; bring it back, unmount it, or take it out", ResolveLimit)
}

// Tell logs an error line by line: each is one problem.
func Tell(log *slog.Logger, err error, code int) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if code == exit.Done {
			log.Info(line)
		} else {
			log.Error(line)
		}
	}
}
