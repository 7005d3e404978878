package supervise

import (
	"context"
	"fmt"
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
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
	"lockstep/supervise/session"
	"lockstep/trial"
)

// trialKey is what makes two trials of an rsync the same.
type trialKey struct {
	program string
	devices bool
	xattrs  config.Xattrs
	args    string
}

func trialOf(cfg config.Config) trialKey {
	return trialKey{cfg.RsyncPath, cfg.Devices, cfg.Xattrs, strings.Join(cfg.RsyncArgs, "\x00")}
}

// trials go on beside the first walks: of each of these a trial is mostly
// waiting. Nothing is made or written on a target, and none is said to be ready,
// before all of them have shown that they can be relied on.
type trials struct {
	done    chan struct{} // closed when they have ended; then:
	options map[trialKey]rsync.Options
	err     error
}

// beginTrials has each installed rsync show in its real jail what it can do,
// once for all syncs that ask the same of it.
func (s *service) beginTrials() error {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.trials.done = done
	s.later(func() error { // what is left of them is of no use to anyone
		cancel()
		<-done
		return nil
	})
	go func() {
		defer close(done)
		s.trials.options, s.trials.err = s.tryAll(ctx)
	}()
	return nil
}

func (s *service) tryAll(ctx context.Context) (map[trialKey]rsync.Options, error) {
	all := map[trialKey]rsync.Options{}
	for i := range s.set.Syncs {
		cfg := s.set.Config(i)
		if cfg.Handled() {
			continue
		}
		key := trialOf(cfg)
		if _, known := all[key]; known {
			continue
		}
		options, err := s.try(ctx, cfg, filepath.Join(s.scratch(), "trial-"+strconv.Itoa(i)))
		if err != nil {
			return nil, err
		}
		all[key] = options
	}
	return all, nil
}

// awaitTrials waits for the end of the trials, but not past a signal.
func (s *service) awaitTrials() error {
	for {
		select {
		case <-s.trials.done:
			return s.trials.err
		case sig := <-s.signals:
			if err := stopped(sig); err != nil {
				return err
			}
		}
	}
}

// tried tells the sessions what the trials came to.
func (s *service) tried() {
	for i, one := range s.sessions {
		one.Tried <- session.Tried{Options: s.trials.options[trialOf(s.set.Config(i))], Err: s.trials.err}
	}
}

func (s *service) try(ctx context.Context, cfg config.Config, dir string) (rsync.Options, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return rsync.Options{}, fmt.Errorf("scratch directory: %w", err)
	}
	command := s.commands[cfg.RsyncPath]
	start := func(c settings.Runner, src, dst string) (*os.File, func() error, error) {
		return s.trialRunner(c, command, src, dst, brief.Rights(cfg, false))
	}
	res, err := trial.Run(ctx, start, trial.Config{Dir: dir, Runner: brief.RunnerBase(cfg, command), Want: brief.Want(cfg)})
	if err != nil {
		return rsync.Options{}, exit.Refuse(err)
	}
	for _, text := range res.Lacks {
		s.log.Warn("not copied: " + text)
	}
	for _, text := range res.Warnings {
		s.log.Warn(text)
	}
	return res.Options, nil
}

// trialRunner starts a runner for the trial.
func (s *service) trialRunner(cfg settings.Runner, command host.Command, src, dst string, rights jail.Rights) (*os.File, func() error, error) {
	m := s.host.Maker
	exits := make(chan proc.Exit, 1)
	m.Starter.Prefix = "trial."
	m.Starter.Exits = exits
	m.Starter.Lines = func(role, _ string) *console.Lines { return console.NewLines(s.log, role) }
	m.Starter.Lost = func(role string, err error) {
		s.log.Warn("messages of the "+role+" were lost", "error", err.Error())
	}
	return m.Trial(cfg, command, src, dst, rights)
}
