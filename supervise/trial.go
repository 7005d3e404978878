package supervise

import (
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

// tryRsync has each installed rsync show in its real jail what it can do, once
// for all syncs that ask the same of it.
func (s *service) tryRsync() error {
	for i := range s.set.Syncs {
		cfg := s.set.Config(i)
		key := trialOf(cfg)
		if _, known := s.options[key]; known {
			continue
		}
		options, err := s.try(cfg, filepath.Join(s.scratch(), "trial-"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		s.options[key] = options
	}
	return nil
}

func (s *service) try(cfg config.Config, dir string) (rsync.Options, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return rsync.Options{}, fmt.Errorf("scratch directory: %w", err)
	}
	command := s.commands[cfg.RsyncPath]
	start := func(c settings.Runner, src, dst string) (*os.File, func() error, error) {
		return s.trialRunner(c, command, src, dst, brief.Rights(cfg, false))
	}
	res, err := trial.Run(start, trial.Config{Dir: dir, Runner: brief.RunnerBase(cfg, command), Want: brief.Want(cfg)})
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
