// Package supervise starts the confined processes, watches over them and the
// roots, restarts what dies, and ends it all.
//
// Trust: the supervisor is root and not confined. After set-up it reads, of the
// others, only fixed-size packets of numbers, and log lines as opaque bytes.
//
// Invariants: one goroutine (session.serve) owns all state; the others only
// wait and pass values on. The supervisor holds no descriptor inside a root.
// What it took (uid, cgroup, lock, files) is on one list, and is given back in
// the opposite order whatever happens.
package supervise

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"lockstep/cgroup"
	"lockstep/config"
	"lockstep/console"
	"lockstep/internal/buildinfo"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/generation"
	"lockstep/supervise/host"
	"lockstep/supervise/proc"
	"lockstep/supervise/words"
	"lockstep/uidpool"
)

// Exit codes, the contract with users.
const (
	ExitDone     = 0
	ExitFailed   = 1
	ExitUsage    = 2
	ExitInternal = 70
	ExitLocked   = 78
)

// exitError is an error that knows the exit code it asks for.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

// refuse is an error of the configuration or the machine: exit code 2.
func refuse(err error) error { return exitError{ExitUsage, err} }

// session is one run of the supervisor.
type session struct {
	cfg  config.Config
	args []string // what lockstep was called with

	log    *slog.Logger
	screen *console.Screen
	live   console.Live
	notify *console.Notifier

	kernel  host.Kernel
	command host.Command
	cgroups *cgroup.Host
	group   *cgroup.Group
	maker   generation.Maker
	options rsync.Options
	store   *rootid.Store
	state   rootid.State    // what the roots must be
	mounts  *rootid.Watcher // of the host's mount table
	looker  rootid.Looker

	signals chan os.Signal
	exits   chan proc.Exit // processes that ended

	undo []func() error // what was taken, to be given back

	loop
}

// Run is `lockstep mirror`: it returns the exit code when all has ended.
func Run(cfg config.Config, args []string) int {
	screen := console.NewScreen(os.Stderr)
	s := &session{
		cfg: cfg, args: args, screen: screen,
		log:     console.NewLogger(screen, cfg.JSON, screen.Terminal()),
		notify:  console.NewNotifier(),
		signals: make(chan os.Signal, 8),
		exits:   make(chan proc.Exit, 64),
		maker:   generation.Maker{Reports: make(chan generation.Report, 64)},
	}
	// A reader of our output that has gone must not kill us before the others
	// are stopped. (Ignored, the signal would be ignored in all children too.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)

	err := s.setUp()
	if err == nil {
		err = s.serve()
	}
	return s.finish(err)
}

// setUp is everything before the first confined process, in order.
func (s *session) setUp() error {
	for _, step := range []func() error{
		s.needRoot,      // nothing below works without
		s.resolve,       // paths, owners: all that is wrong with the configuration at once
		s.lockRuntime,   // from here on we are the only one here
		s.checkKernel,   // what confinement stands on
		s.openState,     // is it root's alone? and no other mirror has the target
		s.sweep,         // what a killed supervisor left
		s.sealPrograms,  // from here on no upgrade can mix versions
		s.takeUID,       // the worker's own
		s.compile,       // filters, once for all restarts
		s.rememberRoots, // are they what they were?
		s.tryRsync,      // in the real jail
	} {
		if err := step(); err != nil {
			return err
		}
		if err := s.interrupted(); err != nil {
			return err
		}
	}
	return nil
}

// interrupted lets a signal end the set-up between two steps.
func (s *session) interrupted() error {
	select {
	case sig := <-s.signals:
		if sig == syscall.SIGTERM || sig == syscall.SIGINT {
			return exitError{ExitDone, fmt.Errorf("stopped by %v before anything was copied", sig)}
		}
	default:
	}
	return nil
}

// later puts something on the list of what is to be given back at the end.
func (s *session) later(f func() error) { s.undo = append(s.undo, f) }

// finish gives everything back, in the opposite order, and tells the exit code.
func (s *session) finish(err error) int {
	code := ExitDone
	if err != nil {
		code = ExitFailed
		var ee exitError
		if errors.As(err, &ee) {
			code = ee.code
		}
	}
	var left error
	for i := len(s.undo) - 1; i >= 0; i-- {
		left = errors.Join(left, s.undo[i]())
	}
	s.undo = nil
	left = errors.Join(left, s.screen.SetLine(""))
	s.tell(err, code)
	if left != nil {
		s.log.Error("not all could be cleaned up; the next start does it", "error", left.Error())
		code = max(code, ExitFailed)
	}
	return code
}

// tell logs an error line by line: each is one problem.
func (s *session) tell(err error, code int) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if code == ExitDone {
			s.log.Info(line)
		} else {
			s.log.Error(line)
		}
	}
}

func (s *session) needRoot() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return refuse(fmt.Errorf("lockstep must be started as root, to confine what it starts; run: sudo lockstep%s", words.Shell(s.args)))
}

func (s *session) resolve() error {
	cfg, err := s.cfg.Resolve()
	if err != nil {
		return refuse(err)
	}
	if s.command, err = host.Inspect(cfg.RsyncPath); err != nil {
		return refuse(err)
	}
	s.cfg = cfg
	return nil
}

func (s *session) lockRuntime() error {
	lock, err := host.LockRuntime(s.cfg.RuntimeDir)
	if err != nil {
		return refuse(err)
	}
	s.later(lock.Release)
	return nil
}

func (s *session) checkKernel() error {
	s.kernel = host.CheckKernel()
	cgroups, err := cgroup.Detect()
	if err != nil {
		return refuse(fmt.Errorf("control groups: %w", err))
	}
	s.cgroups = cgroups
	for _, f := range cgroups.Missing() {
		s.kernel.Add(f.Name, f.What)
	}
	if err := s.kernel.Refuse(s.cfg.Allows, func(text string) { s.log.Warn(text) }); err != nil {
		return refuse(err)
	}
	s.log.Info("starting lockstep "+buildinfo.Version, "build", buildinfo.ID, "mirror", s.cfg.Describe(),
		"kernel", s.kernel.Release, "landlock", s.kernel.Landlock)
	if len(s.kernel.Lacks) > 0 {
		s.log.Info("this kernel is too old for: " + strings.Join(s.kernel.Lacks, "; "))
	}
	return nil
}

// instance names what belongs to this runtime directory on the whole host.
func (s *session) instance() string { return "mirror-" + rootid.Key(s.cfg.RuntimeDir, "") }

// sweep removes what a killed supervisor left: its processes died with it
// (pdeathsig), or die here with their groups; mounts were their own.
func (s *session) sweep() error {
	if err := s.cgroups.Sweep(s.instance()); err != nil {
		return fmt.Errorf("what an earlier lockstep left cannot be removed: %w", err)
	}
	if err := os.RemoveAll(s.scratch()); err != nil {
		return fmt.Errorf("what an earlier lockstep left cannot be removed: %w", err)
	}
	group, err := s.cgroups.Create(s.instance())
	if err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	s.group = group
	s.later(group.Remove)
	return nil
}

func (s *session) sealPrograms() error {
	programs, err := host.SealPrograms()
	if err != nil {
		return refuse(err)
	}
	s.later(programs.Close)
	launcher, err := sandbox.NewLauncher(programs.Self)
	if err != nil {
		return fmt.Errorf("the launcher cannot be prepared: %w", err)
	}
	s.later(launcher.Close)
	s.maker.Programs, s.maker.Command, s.maker.Machine = programs, s.command, s.machine()
	s.maker.Starter = proc.Starter{Launcher: launcher, Group: s.group, Exits: s.exits, Lines: s.lines, Lost: func(role string, err error) {
		s.log.Warn("messages of the "+role+" were lost", "error", err.Error())
	}}
	return nil
}

// uidDir is shared by all instances on the host, so that no two of them use
// one uid.
const uidDir = "/run/lockstep/uids"

func (s *session) takeUID() error {
	lease, err := uidpool.Take(uidDir, s.cfg.User)
	if err != nil {
		return fmt.Errorf("the worker's uid: %w", err)
	}
	s.maker.UID, s.maker.GID = lease.UID, lease.GID
	s.later(lease.Release)
	return nil
}

func (s *session) compile() error {
	s.maker.Filters = map[seccomp.Role]*os.File{}
	for _, role := range []seccomp.Role{seccomp.Helper, seccomp.Worker, seccomp.Runner} {
		filter, err := seccomp.Compile(seccomp.Table(role, runtime.GOARCH))
		if err != nil {
			return fmt.Errorf("the filter of the %s: %w", role, err)
		}
		s.maker.Filters[role] = filter
		s.later(filter.Close)
	}
	var err error
	if s.mounts, err = rootid.Watch(); err != nil {
		return err
	}
	s.later(s.mounts.Close)
	return nil
}
