// Package brief turns the configuration into what each confined process is
// told.
//
// Trust: linked into the supervisor; reads nothing but a few numbers of
// the kernel's.
//
// Invariant: least knowledge. The worker learns no path of the host and no
// command line, the helper no path; a command line is fixed here, before
// distrust begins, and no process can change it.
package brief

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/cgroup"
	"lockstep/config"
	"lockstep/config/choose"
	"lockstep/internal/buildinfo"
	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
)

const (
	theRoot ipc.RootID = 1 // each sync has a helper of its own

	// verbDeadline bounds one file-system call of the helper, so that a dead
	// mount degrades its own root only.
	verbDeadline = 10 * time.Second
	// grace is between SIGTERM and SIGKILL to a command.
	grace = 5 * time.Second
)

// Limits of a role's control group are generous: they are there for the host's
// sake, when something has gone wrong. The helper is charged for the kernel's
// watches and the inodes that they pin, and has threads that wait for the
// runner of each of its targets; the other roles are one target's, or know of
// targets by number alone.
func Limits(role string, targets int, mknod bool) cgroup.Limits {
	var info unix.Sysinfo_t
	var ram int64 // 0: no limit
	if unix.Sysinfo(&info) == nil {
		ram = int64(info.Totalram) * int64(info.Unit)
	}
	switch role {
	case "runner", "handler", "handler-network":
		return cgroup.Limits{Devices: cgroup.DevicesBasic, Mknod: mknod, Memory: ram / 4 * 3, Pids: 128}
	case "helper":
		return cgroup.Limits{Devices: cgroup.DevicesNone, Memory: ram / 2, Pids: 64 + 2*int64(targets)}
	}
	return cgroup.Limits{Devices: cgroup.DevicesNone, Memory: ram / 2, Pids: 64}
}

// monitor is a configuration's word for a way to hear of changes. What it does not
// know was refused when the configuration was read.
func monitor(word string) settings.Monitor {
	for m := settings.MonitorInotify; m <= settings.MonitorDnotify; m++ {
		if m.String() == word {
			return m
		}
	}
	return settings.MonitorInotify
}

// Worker is the engine's view; c is how changes are heard of, unsure since when
// content may differ (settings.Sync).
func Worker(cfg config.Config, o rsync.Options, roots rootid.Roots, c choose.Choice, unsure uint64) settings.Worker {
	sync := settings.Sync{
		Root:    theRoot,
		Exclude: cfg.LeftOut(), Devices: o.Devices,
		Delay: cfg.Delay, MaxDelay: cfg.MaxDelay,
		BigSize: cfg.BigSize, BigDelay: cfg.BigDelay,
		RetryMin: cfg.RetryInitial, RetryMax: cfg.RetryMax,
		Once:   cfg.Once || cfg.DryRun,
		Delete: settings.Delete(cfg.Delete), FullSyncEvery: cfg.FullSyncEvery, SkipFirst: cfg.FirstPass == config.FirstSkip,
		VerifyEvery: cfg.VerifyEvery, UnwatchedEvery: cfg.UnwatchedEvery, WatchLimit: host.WatchLimit(), BusyRate: cfg.BusyRate,
		Monitor: monitor(c.Monitor), PollEvery: c.Every, Inodes: c.Inodes, Unsure: unsure,
		Tell: tell(cfg), MaxBatches: cfg.End.MaxIterations,
	}
	if sync.Tell == settings.TellPaths || sync.Tell == settings.TellLines {
		sync.BusyRate = 0 // of a directory that is only compared, nobody knows which names are gone
	}
	for i := range cfg.Targets {
		sync.Targets = append(sync.Targets, TargetID(i))
	}
	if sync.SkipFirst {
		sync.Unsure = 0 // what changed before is not copied, however it is found
	}
	if !cfg.CrossMounts {
		sync.Mounts = roots.SourceRels()
		// A dry run prints: it is made once. Where deletions are not made at any
		// time, those that happened beside the walk could not be. Of a handler
		// it is not known that it bears being told again.
		sync.Beside = roots.Source.KeepsCtime() && !cfg.DryRun && sync.Delete == settings.DeleteAlways && !cfg.Handled()
		sync.BesideAfter = besideAfter(runtime.NumCPU())
	}
	return settings.Worker{Syncs: []settings.Sync{sync}}
}

// Helper is the helper's configuration, encoded. rootFD is the number at which
// it finds the root's descriptor.
func Helper(cfg config.Config, o rsync.Options, roots rootid.Roots, c choose.Choice, unsure uint64, rootFD int) ([]byte, error) {
	worker := Worker(cfg, o, roots, c, unsure)
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
		Deadline: verbDeadline,
		Worker:   data,
	}
	seen := map[string]bool{}
	for i, t := range cfg.Targets {
		name := targetName(t)
		if seen[name] {
			name = fmt.Sprintf("%s (target %d)", name[:min(len(name), 200)], i+1)
		}
		seen[name] = true
		helper.Targets = append(helper.Targets, ipc.Target{ID: TargetID(i), Root: theRoot, Name: name})
	}
	if data, err = wire.Append(nil, &helper); err != nil {
		return nil, fmt.Errorf("configuration of the helper: %w", err)
	}
	return data, nil
}

// Watched is the configuration of a helper whose worker tells what happens in a
// root; path is where the root is, of which both learn the last name alone.
func Watched(w settings.Watch, path string, c choose.Choice, rootFD int) ([]byte, error) {
	w.Root = theRoot
	w.Monitor, w.PollEvery, w.Inodes = monitor(c.Monitor), c.Every, c.Inodes
	data, err := wire.Append(nil, &settings.Worker{Watches: []settings.Watch{w}})
	if err != nil {
		return nil, fmt.Errorf("configuration of the worker: %w", err)
	}
	data, err = wire.Append(nil, &ipc.HelperConfig{
		Build:    buildinfo.ID,
		Roots:    []ipc.HelperRoot{{Root: ipc.Root{ID: theRoot, Name: shortName(path)}, FD: rootFD}},
		Deadline: verbDeadline, Worker: data,
	})
	if err != nil {
		return nil, fmt.Errorf("configuration of the helper: %w", err)
	}
	return data, nil
}

// TargetID is the handle of target number i (from 0) of a sync.
func TargetID(i int) ipc.TargetID { return ipc.TargetID(i + 1) }

// targetName is how messages name a target.
func targetName(t config.Target) string {
	switch t.Kind {
	case config.Local:
		return shortName(t.Path)
	case config.None:
		return t.String()
	}
	return shortName(t.Host)
}

// shortName is the last component of a path, as messages show it.
func shortName(path string) string {
	const longest = 255
	name := escape.Name(filepath.Base(path))
	return strings.ToValidUTF8(name[:min(len(name), longest)], "")
}

// Rights are what the runners of a configuration may do; the trial writes to
// its scratch tree also before a dry run.
func Rights(cfg config.Config, dry bool) jail.Rights {
	return jail.Rights{Devices: cfg.Devices, FileCaps: cfg.Xattrs == config.XattrsAll, DryRun: dry}
}

// Want is what the configuration asks of rsync.
func Want(cfg config.Config) rsync.Options {
	o := rsync.Options{Devices: cfg.Devices, ACLs: true, Xattrs: rsync.XattrsUser, Args: cfg.RsyncArgs}
	switch cfg.Xattrs {
	case config.XattrsAll:
		o.Xattrs = rsync.XattrsAll
	case config.XattrsNone:
		o.Xattrs, o.ACLs = rsync.XattrsNone, false
	}
	return o
}

// Options are what the commands to one target are made of: o is what rsync is
// able to do.
func Options(cfg config.Config, t config.Target, o rsync.Options) rsync.Options {
	o.Source, o.Target, o.Delete = cfg.Source, t.Path, deletes(cfg.Delete)
	if t.Remote() {
		o.Source, o.Remote = jail.Source, Remote(t)
	}
	o.Excludes = rsync.Exact(cfg.Exclude)
	o.DryRun, o.SkipEqual, o.BackupDir = cfg.DryRun, cfg.SkipEqual, cfg.BackupDir
	if cfg.BWLimit > 0 {
		o.BWLimit = strconv.FormatUint(cfg.BWLimit, 10) + "b" // bytes; rsync's own default is KiB
	}
	return o
}

// Runner is the configuration of a target's runner: o is what the trial found
// rsync able to do, accept a person's consent to the next whole pass, passed
// that one has ended in this service's life.
func Runner(cfg config.Config, t config.Target, o rsync.Options, c host.Command, accept, passed bool) settings.Runner {
	r := RunnerBase(cfg, c)
	o = Options(cfg, t, o)
	r.Source, r.Target = o.Source, t.Path
	if t.Remote() {
		r.Target, r.Env = "", jail.RemoteEnv()
	}
	for kind := ipc.JobInitial; kind < ipc.NumJobKinds; kind++ {
		r.Argv[kind] = rsync.Argv(kind, o)
	}
	r.Probe = rsync.Probe(o)
	if cfg.Delete == config.DeleteStart {
		none := o
		none.Delete = rsync.DeleteNever
		r.Later = rsync.Argv(ipc.JobInitial, none)
		if passed {
			r.Argv[ipc.JobInitial], r.Probe = r.Later, nil
		}
	}
	r.MaxDeletePercent, r.MaxDeleteEntries = cfg.MaxDeletePercent, cfg.MaxDeleteEntries
	r.Split, r.Compare = split(cfg, t), compare(cfg, t, o)
	r.Fold = len(cfg.LeftOut()) == 0 && len(cfg.Rules) == 0 && !cfg.DryRun
	r.Accept = accept || cfg.DryRun // a dry run deletes nothing
	r.ShowOutput = cfg.DryRun
	return r
}

// besideAfter is how long the first walk goes alone. Walk and pass take three
// processors; where there are fewer, what is not watched yet is more urgent than
// what is not compared yet, for a while.
func besideAfter(processors int) time.Duration {
	if processors > 2 {
		return 0
	}
	return 2 * time.Second
}

// split is how many commands a large list may be divided among: of a local
// target one a processor, but no more than two, which share the target's disk.
// Not where what bounds a command would bound each of them: a rate, or so few
// commands at a time that another one would be missed.
func split(cfg config.Config, t config.Target) uint32 {
	const most, fewJobs = 2, 4
	if t.Remote() || cfg.BWLimit > 0 || cfg.MaxJobs < fewJobs || cfg.DryRun {
		return 1
	}
	return uint32(min(most, runtime.NumCPU()))
}

// compare is what the trees of a local target are compared in. Not where a
// person's words to rsync may have it compare something else, or have it show
// what it would do.
func compare(cfg config.Config, t config.Target, o rsync.Options) settings.Compare {
	switch {
	case t.Remote() || cfg.DryRun || len(o.Args) > 0:
		return settings.CompareNone
	case o.Xattrs == rsync.XattrsAll:
		return settings.CompareAll
	case o.Xattrs == rsync.XattrsUser || o.ACLs:
		return settings.CompareUser
	}
	return settings.CompareStat
}

// Remote is where a target on another host is.
func Remote(t config.Target) rsync.Remote {
	kind := rsync.SSH
	if t.Kind == config.Daemon {
		kind = rsync.Daemon
	}
	return rsync.Remote{Kind: kind, User: t.User, Host: t.Host, Port: t.Port}
}

func deletes(d config.Delete) rsync.Delete {
	switch d {
	case config.DeleteStart:
		return rsync.DeleteWhole
	case config.DeleteNever:
		return rsync.DeleteNever
	}
	return rsync.DeleteAlways
}

// RunnerBase is what the runner of the trial has as well.
func RunnerBase(cfg config.Config, c host.Command) settings.Runner {
	return settings.Runner{
		Build: buildinfo.ID, Program: c.Program, ProgDev: c.Dev, ProgIno: c.Ino,
		Env:     []string{"PATH=/usr/bin", "LANG=C"},
		Timeout: cfg.Timeout, Grace: grace,
	}
}
