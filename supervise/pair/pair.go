// Package pair is a source and one of its targets: what is remembered of the
// two across restarts, and the lock that makes the target one sync's.
//
// Trust: linked into the supervisor.
//
// Invariants: what a target must be is written down before anything is copied
// to it; a dry run writes nothing.
package pair

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lockstep/config"
	"lockstep/internal/escape"
	"lockstep/ipc/status"
	"lockstep/rootid"
	"lockstep/supervise/exit"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
)

// Pair is a source and a target.
type Pair struct {
	State rootid.State // what the roots must be

	cfg    config.Config
	target config.Target
	empty  string // stands in for a missing target in a dry run
	store  *rootid.Store
	lock   *host.TargetLock

	unsaved   bool // State has what Measure or InStep have learnt
	saved     time.Time
	unwritten bool // State is to be written down before anything is copied
}

// Open opens the state, which nothing is removed from before it is known to be
// root's alone, and takes the target for this sync. A dry run changes nothing
// that another could be in the way of. empty is where a dry run makes a
// directory in place of a missing target.
func Open(cfg config.Config, t config.Target, empty string) (*Pair, error) {
	p := &Pair{cfg: cfg, target: t, empty: empty}
	var err error
	if p.store, err = rootid.OpenStore(cfg.StateDir, cfg.Source, p.Place()); err != nil {
		return nil, exit.Refuse(err)
	}
	if cfg.DryRun {
		return p, nil
	}
	claim := p.Place()
	if t.Kind == config.None {
		claim += "\x00" + cfg.Source // not the handler is taken, but what is remembered of the two
	}
	if p.lock, err = host.LockTarget(p.store.LockPath(claim), p.Place()); err != nil {
		return nil, errors.Join(exit.Refuse(err), p.store.Close())
	}
	return p, nil
}

// Close gives both back.
func (p *Pair) Close() error {
	var err error
	if p.lock != nil {
		err = p.lock.Release()
	}
	return errors.Join(err, p.store.Close())
}

// Place names the target wherever two of them are compared.
func (p *Pair) Place() string {
	switch {
	case p.target.Kind == config.None:
		return p.cfg.Told()
	case p.target.Remote():
		return p.target.String()
	}
	return p.target.Path
}

// Host is where a local target is on this host; "" for any other.
func (p *Pair) Host() string {
	switch {
	case p.target.Kind != config.Local:
		return ""
	case p.cfg.DryRun && p.target.Missing:
		return p.empty
	}
	return p.target.Path
}

// Source is the source as a jail shows it.
func (p *Pair) Source(r rootid.Roots) jail.Tree {
	return jail.Tree{Host: p.cfg.Source, Path: p.cfg.Source, Dev: r.Source.Dev, Ino: r.Source.Ino, Recursive: p.cfg.CrossMounts}
}

// Target is a local target as its runner's jail shows it; mounts inside too, as
// rsync alone would see them.
func (p *Pair) Target(r rootid.Roots) jail.Tree {
	return jail.Tree{Host: p.Host(), Path: p.target.Path, Dev: r.Target.Dev, Ino: r.Target.Ino, Recursive: true}
}

// Look reads what the roots are now.
func (p *Pair) Look(l *rootid.Looker) (rootid.Roots, error) {
	return l.Look(p.cfg.Source, p.Host(), p.cfg.CrossMounts)
}

// Remember compares the roots with what is remembered of them, and makes a
// missing target. Roots that have changed are no error: they are held. accepted
// says what a person's consent was needed for. Unless they must be there now,
// roots that are known and cannot be looked at are held too. Keep must follow
// before anything is copied.
func (p *Pair) Remember(l *rootid.Looker, must bool) (accepted string, err error) {
	state, known, err := p.store.Load()
	if err != nil {
		return "", exit.Refuse(err)
	}
	if p.target.Missing {
		if err := p.first(state, known); err != nil {
			return "", err
		}
	}
	now, err := p.Look(l)
	if err != nil && known && !must && !p.cfg.AcceptRoot {
		p.State = state // it is held until it is there
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if p.cfg.DryRun && p.target.Missing {
		state.TargetID = now.Target // a stand-in
	}
	p.State = state
	if known && !p.cfg.AcceptRoot {
		return "", nil
	}
	if known {
		accepted = state.Check(now)
	}
	p.State, p.unwritten = rootid.NewState(p.cfg.Source, p.Place(), state.Entries, now), true
	if p.State.Unsure = state.Unsure; p.State.Unsure == 0 {
		p.State.Unsure = uint64(time.Now().UnixNano())
	}
	return accepted, nil
}

// Keep writes down what Remember found to be new, or a person's consent to it.
func (p *Pair) Keep() error {
	if !p.unwritten {
		return nil
	}
	return p.keep(p.State)
}

// first makes the target, unless it should be on a file system that is not
// here: then a new directory would be filled in its place.
func (p *Pair) first(state rootid.State, known bool) error {
	parent, err := rootid.Read(filepath.Dir(p.target.Path))
	if err != nil {
		return err
	}
	if diff := state.TargetID.SameFS(parent); known && diff != "" && !p.cfg.AcceptRoot {
		return exit.Error{Code: exit.Failed, Err: fmt.Errorf("target %s: is missing, and so is the file system that it was on (%s); mount it, or start once with --accept-root if it is meant to be another",
			escape.Name(p.target.Path), diff)}
	}
	if p.cfg.DryRun {
		return os.Mkdir(p.Host(), 0o700)
	}
	return p.target.Make()
}

// keep writes down what the roots must be from now on.
func (p *Pair) keep(state rootid.State) error {
	if !p.cfg.DryRun {
		if err := p.store.Save(state); err != nil {
			return err
		}
	}
	p.State, p.unwritten = state, false
	return nil
}

// Grow is called before anything can be copied out of what is mounted inside
// the source: from then on it must be there, or its copy would be deleted.
func (p *Pair) Grow(now rootid.Roots) error {
	if grown := p.State; grown.Grow(now) {
		return p.keep(grown)
	}
	return nil
}

// Measure takes the size of the tree.
func (p *Pair) Measure(entries uint64) {
	p.learn(&p.State.Entries, entries)
}

// InStep takes note of a moment up to which every change has come to the target,
// if the reports on all targets and on this one say so: lag before its last command
// ended, in which a change may not have been heard of. Before a whole pass it knows of no
// such moment: what was there before the start may differ.
func (p *Pair) InStep(all, own status.Report, passed bool, lag time.Duration) {
	if passed && all.State == status.StateInStep && own.State == status.StateInStep && all.Unwatched == 0 && own.LastSync > uint64(lag) {
		p.learn(&p.State.Unsure, own.LastSync-uint64(lag)) // earlier than before, if the clock was set back
	}
}

func (p *Pair) learn(what *uint64, n uint64) {
	if !p.cfg.DryRun && *what != n {
		*what, p.unsaved = n, true
	}
}

// Unsure is since when the target, or one of which the same is known from the call
// before (0: none), may lack content that size and time do not show, in
// nanoseconds since 1970.
func (p *Pair) Unsure(others uint64) uint64 {
	if p.State.Unsure == 0 || others == 0 {
		return p.State.Unsure | others
	}
	return min(p.State.Unsure, others)
}

// Save writes down what Measure and InStep have learnt, unless the last time was
// less than every ago.
func (p *Pair) Save(now time.Time, every time.Duration) error {
	if !p.unsaved || now.Sub(p.saved) < every {
		return nil
	}
	p.unsaved, p.saved = false, now
	return p.store.Save(p.State)
}
