package supervise

import (
	"os"
	"path/filepath"
	"slices"

	"lockstep/cgroup"
	"lockstep/config"
	"lockstep/ipc/settings"
	"lockstep/rootid"
	"lockstep/supervise/brief"
	"lockstep/supervise/generation"
	"lockstep/supervise/jail"
	"lockstep/trial"
)

// machine says which protections a person has allowed to be missing.
func (s *session) machine() jail.Machine {
	lacks := slices.ContainsFunc(s.cgroups.Missing(), func(f cgroup.Feature) bool { return f.Name == "cgroup-devices" })
	return jail.Machine{
		NoLandlock: s.kernel.Landlock == 0,
		NoMDWE:     !s.kernel.MDWE,
		NoDevices:  lacks && s.cfg.Allows("cgroup-devices"),
	}
}

// rights of the runner: the trial writes to its scratch tree also before a dry
// run.
func (s *session) rights() jail.Rights {
	return jail.Rights{Devices: s.cfg.Devices, FileCaps: s.cfg.Xattrs == config.XattrsAll, DryRun: s.cfg.DryRun && s.tried}
}

func (s *session) sourceTree(r rootid.Roots) jail.Tree {
	return jail.Tree{Host: s.cfg.Source, Path: s.cfg.Source, Dev: r.Source.Dev, Ino: r.Source.Ino, Recursive: s.cfg.CrossMounts}
}

// targetTree shows mounts inside the target too, as rsync alone would see them.
func (s *session) targetTree(r rootid.Roots) jail.Tree {
	return jail.Tree{Host: s.targetHost(), Path: s.cfg.Target, Dev: r.Target.Dev, Ino: r.Target.Ino, Recursive: true}
}

// scratch is a directory of this instance for trees that live for a moment. Not
// in the runtime directory, which is on tmpfs: that has no user attributes
// before Linux 6.6, and the trial would find too little.
func (s *session) scratch() string {
	return filepath.Join(s.cfg.StateDir, "scratch-"+rootid.Key(s.cfg.RuntimeDir, ""))
}

// targetHost is where the target is: a dry run without a target has an empty
// directory in its place.
func (s *session) targetHost() string {
	if s.cfg.DryRun && s.cfg.TargetMissing {
		return filepath.Join(s.scratch(), "empty")
	}
	return s.cfg.Target
}

// plan says what a generation in these roots is for.
func (s *session) plan(now rootid.Roots) generation.Plan {
	return generation.Plan{
		Config: s.cfg, Options: s.options, Roots: now, Rights: s.rights(),
		Source: s.sourceTree(now), Target: s.targetTree(now),
		Accept: s.cfg.AcceptRoot && !s.passed, // consent is for one whole pass
	}
}

// tryRsync has the installed rsync show in its real jail what it can do.
func (s *session) tryRsync() error {
	res, err := trial.Run(s.trialRunner, trial.Config{
		Dir: s.scratch(), Runner: brief.RunnerBase(s.cfg, s.command), Want: brief.Want(s.cfg),
	})
	if err != nil {
		return refuse(err)
	}
	for _, text := range res.Lacks {
		s.log.Warn("not copied: " + text)
	}
	for _, text := range res.Warnings {
		s.log.Warn(text)
	}
	s.options = res.Options
	s.tried = true
	return nil
}

// trialRunner starts a runner for the trial.
func (s *session) trialRunner(cfg settings.Runner, src, dst string) (*os.File, func() error, error) {
	conn, end, err := s.maker.Trial(cfg, src, dst, s.rights())
	return conn, func() error {
		err := end()
		select {
		case <-s.exits: // nobody else is there to take it
		default:
		}
		return err
	}, err
}
