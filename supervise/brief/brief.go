// Package brief turns the configuration into what each confined process is
// told.
//
// Trust: linked into the supervisor; reads nothing but two numbers of the
// kernel's.
//
// Invariant: least knowledge. The worker learns no path of the host and no
// command line, the helper no path; a command line is fixed here, before
// distrust begins, and no process can change it.
package brief

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/cgroup"
	"lockstep/config"
	"lockstep/internal/buildinfo"
	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/rsync"
	"lockstep/supervise/host"
)

const (
	theRoot ipc.RootID = 1
	// Target is the one target that there is in this version.
	Target ipc.TargetID = 1

	// verbDeadline bounds one file-system call of the helper, so that a dead
	// mount degrades its own root only.
	verbDeadline = 10 * time.Second
	// grace is between SIGTERM and SIGKILL to a command.
	grace = 5 * time.Second
)

// Limits of a role's control group are generous: they are there for the host's
// sake, when something has gone wrong. The helper is charged for the kernel's
// watches and the inodes that they pin.
func Limits(role string, mknod bool) cgroup.Limits {
	var info unix.Sysinfo_t
	var ram int64 // 0: no limit
	if unix.Sysinfo(&info) == nil {
		ram = int64(info.Totalram) * int64(info.Unit)
	}
	if role == "runner" {
		return cgroup.Limits{Devices: cgroup.DevicesBasic, Mknod: mknod, Memory: ram / 4 * 3, Pids: 128}
	}
	return cgroup.Limits{Devices: cgroup.DevicesNone, Memory: ram / 2, Pids: 64}
}

// Worker is the engine's view. Mounts are the Rels of what is mounted inside
// the source.
func Worker(cfg config.Config, o rsync.Options, mounts []string) settings.Worker {
	sync := settings.Sync{
		Root: theRoot, Targets: []ipc.TargetID{Target},
		Exclude: cfg.Exclude, Devices: o.Devices,
		Delay: cfg.Delay, MaxDelay: cfg.MaxDelay,
		BigSize: cfg.BigSize, BigDelay: cfg.BigDelay,
		RetryMin: cfg.RetryInitial, RetryMax: cfg.RetryMax,
		Once: cfg.Once || cfg.DryRun,
	}
	if !cfg.CrossMounts {
		sync.Mounts = mounts
	}
	return settings.Worker{Syncs: []settings.Sync{sync}}
}

// Helper is the helper's configuration, encoded. rootFD is the number at which
// it finds the root's descriptor.
func Helper(cfg config.Config, o rsync.Options, mounts []string, rootFD int) ([]byte, error) {
	worker := Worker(cfg, o, mounts)
	data, err := wire.Append(nil, &worker)
	if err != nil {
		return nil, fmt.Errorf("configuration of the worker: %w", err)
	}
	helper := ipc.HelperConfig{
		Build: buildinfo.ID,
		Roots: []ipc.HelperRoot{{
			Root: ipc.Root{ID: theRoot, Name: shortName(cfg.Source)}, FD: rootFD,
			CrossMounts: cfg.CrossMounts,
		}},
		Targets:  []ipc.Target{{ID: Target, Root: theRoot, Name: shortName(cfg.Target)}},
		Deadline: verbDeadline,
		Worker:   data,
	}
	if data, err = wire.Append(nil, &helper); err != nil {
		return nil, fmt.Errorf("configuration of the helper: %w", err)
	}
	return data, nil
}

// shortName is the last component of a path, as messages show it.
func shortName(path string) string {
	const longest = 255
	name := escape.Name(filepath.Base(path))
	return strings.ToValidUTF8(name[:min(len(name), longest)], "")
}

// Want is what the configuration asks of rsync.
func Want(cfg config.Config) rsync.Options {
	o := rsync.Options{Devices: cfg.Devices, ACLs: true, Xattrs: rsync.XattrsUser}
	switch cfg.Xattrs {
	case config.XattrsAll:
		o.Xattrs = rsync.XattrsAll
	case config.XattrsNone:
		o.Xattrs, o.ACLs = rsync.XattrsNone, false
	}
	return o
}

// Runner is a runner's configuration: o is what the trial found rsync able to
// do, accept a person's consent to the next whole pass.
func Runner(cfg config.Config, o rsync.Options, c host.Command, accept bool) settings.Runner {
	r := RunnerBase(cfg, c)
	o.Source, o.Target = cfg.Source, cfg.Target
	o.Excludes = rsync.Exact(cfg.Exclude)
	o.DryRun = cfg.DryRun
	if cfg.BWLimit > 0 {
		o.BWLimit = strconv.FormatUint(cfg.BWLimit, 10) + "b" // bytes; rsync's own default is KiB
	}
	r.Source, r.Target = o.Source, o.Target
	for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
		r.Argv[kind] = rsync.Argv(kind, o)
	}
	r.Probe = rsync.Probe(o)
	r.MaxDeletePercent, r.MaxDeleteEntries = cfg.MaxDeletePercent, cfg.MaxDeleteEntries
	r.Accept = accept || cfg.DryRun // a dry run deletes nothing
	r.ShowOutput = cfg.DryRun
	return r
}

// RunnerBase is what the runner of the trial has as well.
func RunnerBase(cfg config.Config, c host.Command) settings.Runner {
	return settings.Runner{
		Build: buildinfo.ID, Program: c.Program, ProgDev: c.Dev, ProgIno: c.Ino,
		Env:     []string{"PATH=/usr/bin", "LANG=C"},
		Timeout: cfg.Timeout, Grace: grace,
	}
}
