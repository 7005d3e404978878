// Package trials has each installed rsync show in its real jail what it can do, once
// for all syncs that ask the same of it.
//
// Trust: linked into the supervisor. What the trial's rsync prints is not read.
//
// Invariant: what was found out is true of one program, that very file; when another
// one has taken its place, that has a trial of its own.
package trials

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lockstep/config"
	"lockstep/console"
	"lockstep/ipc/settings"
	"lockstep/rsync"
	"lockstep/supervise/brief"
	"lockstep/supervise/exit"
	"lockstep/supervise/generation"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
	"lockstep/trial"
)

// Key is what makes two trials of an rsync the same.
type Key struct {
	program  string
	dev, ino uint64
	devices  bool
	xattrs   config.Xattrs
	args     string
}

// KeyOf is the trial that a sync needs, whose rsync was found to be c.
func KeyOf(cfg config.Config, c host.Command) Key {
	return Key{cfg.RsyncPath, c.Dev, c.Ino, cfg.Devices, cfg.Xattrs, strings.Join(cfg.RsyncArgs, "\x00")}
}

// Trier makes trials, one after the other: it is for one goroutine at a time.
type Trier struct {
	Log   *slog.Logger
	Maker generation.Maker
	Dir   string // for trees that live for a moment

	count int
}

// All tries what the syncs of a set need and is not among known. commands are their
// rsyncs, by their paths. It returns what is known then.
func (t *Trier) All(ctx context.Context, set config.Set, commands map[string]host.Command, known map[Key]rsync.Options) (map[Key]rsync.Options, error) {
	all := map[Key]rsync.Options{}
	for key, options := range known {
		all[key] = options
	}
	for i := range set.Syncs {
		cfg := set.Config(i)
		if cfg.Handled() {
			continue
		}
		command := commands[cfg.RsyncPath]
		key := KeyOf(cfg, command)
		if _, known := all[key]; known {
			continue
		}
		options, err := t.try(ctx, cfg, command)
		if err != nil {
			return nil, err
		}
		all[key] = options
	}
	return all, nil
}

func (t *Trier) try(ctx context.Context, cfg config.Config, command host.Command) (rsync.Options, error) {
	t.count++
	dir := filepath.Join(t.Dir, "trial-"+strconv.Itoa(t.count))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return rsync.Options{}, fmt.Errorf("scratch directory: %w", err)
	}
	start := func(c settings.Runner, src, dst string) (*os.File, func() error, error) {
		return t.runner(c, command, src, dst, brief.Rights(cfg, false))
	}
	res, err := trial.Run(ctx, start, trial.Config{Dir: dir, Runner: brief.RunnerBase(cfg, command), Want: brief.Want(cfg)})
	if err != nil {
		return rsync.Options{}, exit.Refuse(err)
	}
	for _, text := range res.Lacks {
		t.Log.Warn("not copied: " + text)
	}
	for _, text := range res.Warnings {
		t.Log.Warn(text)
	}
	return res.Options, nil
}

// runner starts a runner for the trial.
func (t *Trier) runner(cfg settings.Runner, command host.Command, src, dst string, rights jail.Rights) (*os.File, func() error, error) {
	m := t.Maker
	exits := make(chan proc.Exit, 1)
	m.Starter.Prefix = "trial." + strconv.Itoa(t.count) + "."
	m.Starter.Exits = exits
	m.Starter.Lines = func(role, _ string) *console.Lines { return console.NewLines(t.Log, role) }
	m.Starter.Lost = func(role string, err error) {
		t.Log.Warn("messages of the "+role+" were lost", "error", err.Error())
	}
	return m.Trial(cfg, command, src, dst, rights)
}
