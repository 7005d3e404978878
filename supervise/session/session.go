// Package session keeps one sync in step: it starts its helper, its worker and
// a runner for each target, watches over them and the roots, restarts what
// dies, and ends it all.
//
// Trust: linked into the supervisor. Of what it starts it reads fixed-size
// packets of numbers, and log lines as opaque bytes.
//
// Invariants: one goroutine (Run) owns all state; the others only wait and pass
// values on. No descriptor inside a root is held. What cannot be done for one
// target keeps no other from being served.
package session

import (
	"log/slog"
	"os"
	"sync"

	"lockstep/config"
	"lockstep/console"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/supervise/brief"
	"lockstep/supervise/generation"
	"lockstep/supervise/holdings"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
	"lockstep/supervise/standby"
)

// Host is what all sessions of a service have in common.
type Host struct {
	Log     *slog.Logger
	Machine jail.Machine
	Maker   generation.Maker // without what is each session's own
	UIDs    string           // directory of the leases of uids
	Changed func()           // a session's Snapshot is another; must not wait
	// Alone: there is no other sync. Then what it cannot do at its start ends
	// it; else it is tried again, for the service goes on.
	Alone bool
	Named bool // the syncs are of a file, where they have names
	Heir  bool // it takes the place of another one, of which something may have waited
}

// Session is one sync.
type Session struct {
	Signals chan os.Signal // what the service was sent
	Mounts  chan struct{}  // the mount table has changed
	Beat    chan struct{}  // taken by a session that is alive
	Tried   chan Tried     // what the trial of rsync came to, once

	cfg     config.Config
	host    *Host
	log     *slog.Logger
	maker   generation.Maker
	command host.Command
	options rsync.Options // what was asked for; once tried is set, what works
	consent string        // the flag by which a person says that the roots are meant
	scratch string        // directory for trees that live for a moment
	targets []*target
	looker  rootid.Looker
	exits   chan proc.Exit
	ready   chan *target // whose runner is to be started
	reached chan reached // what reach found out
	held    holdings.Holdings

	mu    sync.Mutex
	shown console.Part

	loop
}

// New makes a session that has taken nothing yet. standby holds it back (nil: nothing
// does), scratch is a directory of its own.
func New(h *Host, cfg config.Config, command host.Command, standby *standby.File, scratch string) *Session {
	s := &Session{
		Signals: make(chan os.Signal, 8), Mounts: make(chan struct{}, 1), Beat: make(chan struct{}, 1), Tried: make(chan Tried, 1),
		cfg: cfg, host: h, log: h.Log, maker: h.Maker, command: command, options: brief.Want(cfg), consent: "--accept-root", scratch: scratch,
		exits: make(chan proc.Exit, 64), ready: make(chan *target, len(cfg.Targets)), reached: make(chan reached, len(cfg.Targets)),
	}
	if h.Named {
		s.consent += " " + cfg.Name
		s.log = h.Log.With("sync", cfg.Name)
		s.maker.Starter.Prefix, s.maker.Name = cfg.Name+".", cfg.Name
	}
	s.news, s.leave = console.Limited(s.log), s.leaving()
	s.maker.Inbox, s.maker.Log, s.maker.Standby = generation.NewInbox(), s.log, standby
	s.maker.Starter.Exits, s.maker.Starter.Sync = s.exits, cfg.Name
	s.maker.Starter.Lines = func(role, label string) *console.Lines { return console.RoleLines(s.log, role, label, cfg.DryRun) }
	s.maker.Starter.Lost = func(role string, err error) {
		s.log.Warn("messages of the "+role+" were lost", "error", err.Error())
	}
	for i, t := range cfg.Targets {
		s.targets, s.shown.Targets = append(s.targets, &target{Target: t, id: brief.TargetID(i)}), append(s.shown.Targets, console.PartTarget{Name: t.String()})
	}
	s.shown.Name = cfg.Name
	return s
}

// Name is the sync's.
func (s *Session) Name() string { return s.cfg.Name }

// Snapshot is where the session stands. Any goroutine may ask.
func (s *Session) Snapshot() console.Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown
}

// show changes what Snapshot says.
func (s *Session) show(change func(*console.Part)) {
	s.mu.Lock()
	change(&s.shown)
	s.mu.Unlock()
	s.host.Changed()
}

// Prepare takes what the session needs, and compares the roots with what they
// must be. Close gives it back, also after an error.
func (s *Session) Prepare() error {
	if err := s.held.Take(s.cfg, s.scratch, s.host.UIDs, s.log); err != nil {
		return err
	}
	s.maker.UID, s.maker.GID = s.held.Worker.UID, s.held.Worker.GID
	for i, t := range s.targets {
		t.pair, t.uid = s.held.Pairs[i], s.held.UIDs[i]
	}
	return s.rememberRoots()
}

// Close gives everything back, in the opposite order.
func (s *Session) Close() error { return s.held.Close() }

// rememberRoots compares the roots with the state, and makes missing targets.
// Roots that have changed are no error here: they are held.
func (s *Session) rememberRoots() error {
	for _, t := range s.targets {
		accepted, err := t.pair.Remember(&t.looker, s.host.Alone)
		if err != nil {
			return err
		}
		if accepted != "" {
			s.maker.Starter.Trail.Allow(s.log.Warn, s.cfg.Name, t.String(), "accept-root", "accepted by --accept-root: "+accepted)
		}
		s.show(func(n *console.Part) { n.Expected = max(n.Expected, t.pair.State.Entries) })
	}
	return nil
}
