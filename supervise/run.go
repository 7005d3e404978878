// Package supervise is the service: it checks the machine, takes what all syncs
// share, and has the syncs run (package fleet).
//
// Trust: the supervisor is root and not confined. After set-up it reads, of the
// others, only fixed-size packets of numbers, and log lines as opaque bytes.
//
// Invariant: what was taken for all (cgroup, lock, files) is on one list, and is given
// back in the opposite order whatever happens.
package supervise

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockstep/cgroup"
	"lockstep/config"
	"lockstep/config/resolve"
	"lockstep/console"
	"lockstep/console/logd"
	"lockstep/internal/buildinfo"
	"lockstep/internal/calm"
	"lockstep/rootid"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/above"
	"lockstep/supervise/exit"
	"lockstep/supervise/fleet"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/kept"
	"lockstep/supervise/mark"
	"lockstep/supervise/proc"
	"lockstep/supervise/reload"
	"lockstep/supervise/rounds"
	"lockstep/supervise/scribe"
	"lockstep/supervise/session"
	"lockstep/supervise/slots"
	"lockstep/supervise/words"
)

// service is one run of the supervisor.
type service struct {
	set  config.Set
	args []string // what lockstep was called with

	log    *slog.Logger
	daemon *logd.Sink // which the log goes to; nil: none
	screen *console.Screen
	notify *console.Notifier

	caller  host.Caller
	profile jail.Profile // which jails are built

	kernel   host.Kernel
	cgroups  *cgroup.Host
	group    *cgroup.Group
	mounts   *rootid.Watcher         // of the host's mount table
	above    *above.Watcher          // of the directories above the roots
	commands map[string]host.Command // by the path of rsync
	host     session.Host
	scratch  string // a directory of this instance for trees that live for a moment
	fleet    *fleet.Fleet
	trail    *scribe.Scribe // nil: there is none
	source   reload.Source
	asked    *reload.Asked

	signals chan os.Signal
	changed chan struct{} // a session's snapshot is another

	undo []func() error // what was taken, to be given back
}

// Run is `lockstep mirror`, `lockstep run` and `lockstep clsync`: it returns the exit
// code when all has ended. source is where the set came from.
func Run(set config.Set, source reload.Source, args []string) int {
	screen := console.NewScreen(os.Stderr)
	s := newService(set, args, nil)
	s.screen, s.profile, s.notify, s.source = screen, jail.AsRoot(), console.NewNotifier(), source
	// A reader of our output that has gone must not kill us before the others
	// are stopped. (Ignored, the signal would be ignored in all children too.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signal.Notify(s.signals, signalsOf()...)
	for number := range source.Signals {
		signal.Notify(s.signals, syscall.Signal(number))
	}

	err := s.openLog()
	if err == nil {
		err = s.setUp()
	}
	if err == nil {
		err = s.fleet.Serve()
	}
	return s.finish(err)
}

// Reload asks for the configuration to be read anew; any goroutine may. What comes of
// it is logged, and sent once: nil when what was read is in force.
func (s *service) Reload() <-chan error { return s.asked.Add("") }

func newService(set config.Set, args []string, log *slog.Logger) *service {
	return &service{
		set: set, args: args, log: log,
		commands: map[string]host.Command{},
		signals:  make(chan os.Signal, 8),
		changed:  make(chan struct{}, 1),
		asked:    reload.NewAsked(),
	}
}

// openLog opens the log, which is to be there before there is anything to say.
func (s *service) openLog() error {
	stderr := console.NewLogger(s.screen, s.set.JSON, s.screen.Terminal())
	log, daemon, err := logd.Open(s.set.LogTo, stderr, s.set.JSON)
	s.log, s.daemon = console.AtLeast(log, s.set.LogLevel), daemon
	if err != nil {
		return exit.Refuse(err)
	}
	return nil
}

// setUp is everything before the first confined process, in order.
func (s *service) setUp() error {
	return s.steps(
		s.needRoot,     // nothing below works without
		s.resolve,      // paths, owners: all that is wrong with the configuration at once
		s.lockRuntime,  // from here on we are the only one here
		s.checkKernel,  // what confinement stands on
		s.sweep,        // what a killed supervisor left
		s.makeScratch,  // the same
		s.writePID,     // whoever reads it finds a process that has the lock
		s.sealPrograms, // from here on no upgrade can mix versions
		s.openTrail,    // from here on nothing is done that is not recorded
		s.compile,      // filters, once for all restarts
		s.beginTrials,  // of rsync, in the real jail, beside all that follows but copying
		s.prepare,      // each sync: state, locks, uids; are the roots what they were?
		s.openControl,  // from here on clients can be heard
	)
}

// steps does one after the other until one fails.
func (s *service) steps(steps ...func() error) error {
	for _, step := range steps {
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
func (s *service) interrupted() error {
	select {
	case sig := <-s.signals:
		return s.ends(sig)
	default:
		return nil
	}
}

// ends is the end of the set-up, if the signal asks for one. A reload that it asks
// for comes after the set-up: what was read may be the configuration before.
func (s *service) ends(sig os.Signal) error {
	fleet.Asks(s.source, s.asked, sig)
	if sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGQUIT {
		return exit.Error{Code: exit.Done, Err: fmt.Errorf("stopped by %v before anything was copied", sig)}
	}
	return nil
}

// later puts something on the list of what is to be given back at the end.
func (s *service) later(f func() error) { s.undo = append(s.undo, f) }

// finish gives everything back, in the opposite order, and tells the exit code.
func (s *service) finish(err error) int {
	code := exit.Code(err)
	var left error
	for i := len(s.undo) - 1; i >= 0; i-- {
		left = errors.Join(left, s.undo[i]())
	}
	s.undo = nil
	left = errors.Join(left, s.screen.SetLine(""))
	if e := s.trail.Close(scribe.Stopped(code, err)); e != nil {
		s.log.Error("the audit trail could not be closed as it should be", "error", e.Error())
		if s.set.Audit.Mode == config.AuditStrict {
			code = max(code, exit.Failed)
		}
	}
	fleet.Tell(s.log, err, code)
	if left != nil {
		s.log.Error("not all could be cleaned up; the next start does it", "error", left.Error())
		code = max(code, exit.Failed)
	}
	if s.daemon != nil && err != nil && code != exit.Done { // who started it by hand looks at the standard error
		fleet.Tell(console.NewLogger(s.screen, s.set.JSON, s.screen.Terminal()), err, code)
	}
	if err := s.daemon.Close(); err != nil {
		return max(code, exit.Failed)
	}
	return code
}

func (s *service) needRoot() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return exit.Refuse(fmt.Errorf("lockstep must be started as root, to confine what it starts; run: sudo lockstep%s", words.Shell(s.args)))
}

func (s *service) resolve() error {
	set, err := s.answered(func() (config.Set, error) { return resolve.Set(s.set) })
	if err != nil {
		return err
	}
	commands, err := fleet.Inspect(set)
	if err != nil {
		return exit.Refuse(err)
	}
	s.set, s.commands = set, commands
	return nil
}

// answered waits for a look at file systems, of which one may be dead: not for
// ever, and not past a signal.
func (s *service) answered(resolve func() (config.Set, error)) (config.Set, error) {
	type answer struct {
		set config.Set
		err error
	}
	done := make(chan answer, 1)
	go func() {
		set, err := resolve()
		done <- answer{set, err}
	}()
	limit := time.After(fleet.ResolveLimit)
	for {
		select {
		case a := <-done:
			if a.err != nil {
				return a.set, exit.Refuse(a.err)
			}
			return a.set, nil
		case sig := <-s.signals:
			if err := s.ends(sig); err != nil {
				return s.set, err
			}
		case <-limit:
			return s.set, exit.Error{Code: exit.Failed, Err: fleet.Silent()}
		}
	}
}

func (s *service) lockRuntime() error {
	lock, err := host.LockRuntime(s.set.RuntimeDir)
	if err != nil {
		return exit.Refuse(err)
	}
	s.later(lock.Release)
	return kept.Clear(s.set.RuntimeDir)
}

func (s *service) checkKernel() error {
	s.kernel = host.CheckKernel()
	cgroups, err := cgroup.Detect()
	if err != nil {
		return exit.Refuse(fmt.Errorf("control groups: %w", err))
	}
	s.cgroups = cgroups
	for _, f := range cgroups.Missing() {
		s.kernel.Add(f.Name, f.What)
	}
	return s.judgeKernel()
}

// judgeKernel refuses a kernel that lacks what nobody has allowed, and says which
// one it is.
func (s *service) judgeKernel() error {
	if err := s.kernel.Refuse(s.set.Allows, func(text string) { s.log.Warn(text) }); err != nil {
		return exit.Refuse(err)
	}
	attrs := []any{"build", buildinfo.ID}
	if len(s.set.Syncs) == 0 {
		attrs = append(attrs, "watch", strings.TrimSpace(words.Shell(s.args[1:])))
	} else if s.set.Path == "" {
		attrs = append(attrs, "mirror", s.set.Syncs[0].Describe())
	} else {
		attrs = append(attrs, "syncs", len(s.set.Syncs))
	}
	s.log.Info("starting lockstep "+buildinfo.Version, append(attrs, "kernel", s.kernel.Release, "landlock", s.kernel.Landlock)...)
	scribe.SayFiles(s.log, s.set)
	if len(s.kernel.Lacks) > 0 {
		s.log.Info("this kernel is too old for: " + strings.Join(s.kernel.Lacks, "; "))
	}
	return nil
}

// instance names what belongs to this runtime directory on the whole host.
func (s *service) instance() string { return "mirror-" + rootid.Key(s.set.RuntimeDir, "") }

// sweep removes what a killed supervisor left: its processes died with it
// (pdeathsig), or die here with their groups; mounts were their own.
func (s *service) sweep() error {
	if err := s.cgroups.Sweep(s.instance()); err != nil {
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

// writePID writes the process id as clsync does, without a newline.
func (s *service) writePID() error {
	if s.set.PIDFile == "" {
		return nil
	}
	f, err := mark.Open(s.set.PIDFile)
	if err != nil {
		return exit.Refuse(err)
	}
	s.later(f.Close)
	if s.set.DryRun {
		return nil
	}
	return f.Put(strconv.Itoa(os.Getpid()))
}

// makeScratch empties the scratch directory.
func (s *service) makeScratch() error {
	// Nothing is removed from the state directory before it is known to be
	// root's alone.
	if err := rootid.MakeStateDir(s.set.StateDir); err != nil {
		return exit.Refuse(err)
	}
	// Not in the runtime directory, which is on tmpfs: that has no user attributes
	// before Linux 6.6, and the trial would find too little.
	dir := filepath.Join(s.set.StateDir, "scratch-"+rootid.Key(s.set.RuntimeDir, ""))
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("what an earlier lockstep left cannot be removed: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("scratch directory: %w", err)
	}
	s.later(func() error { return os.RemoveAll(dir) })
	s.scratch = dir
	return nil
}

func (s *service) sealPrograms() error {
	programs, err := host.SealPrograms(s.caller, s.controlled())
	if err != nil {
		return exit.Refuse(err)
	}
	s.later(programs.Close)
	launcher, err := sandbox.NewLauncher(programs.Self)
	if err != nil {
		return fmt.Errorf("the launcher cannot be prepared: %w", err)
	}
	s.later(launcher.Close)
	s.host = session.Host{
		Log: s.log, Machine: s.machine(), UIDs: uidDir, Alone: len(s.set.Syncs) == 1, Named: s.set.Path != "",
		Changed: func() {
			select {
			case s.changed <- struct{}{}:
			default: // it is about to look
			}
		},
	}
	m := &s.host.Maker
	m.Programs, m.Machine, m.Profile, m.RuntimeDir = programs, s.machine(), s.profile, s.set.RuntimeDir
	m.Slots = slots.New(slots.Limits{
		All: int(s.set.MaxJobs), PerHost: int(s.set.MaxJobsPerHost),
		Passes:   runtime.NumCPU(), // a whole pass keeps a processor and the disks busy
		Patience: 10 * time.Second,
	})
	m.Starter = proc.Starter{Launcher: launcher, Group: s.group}
	m.Calm = calm.New()
	return nil
}

// machine says which protections a person has allowed to be missing.
func (s *service) machine() jail.Machine {
	lacks := false
	if s.cgroups != nil {
		for _, f := range s.cgroups.Missing() {
			lacks = lacks || f.Name == "cgroup-devices"
		}
	}
	return jail.Machine{
		NoLandlock: s.kernel.Landlock == 0,
		NoMDWE:     !s.kernel.MDWE,
		NoDevices:  lacks && s.set.Allows("cgroup-devices"),
		UID:        s.caller.UID,
		GID:        s.caller.GID,
	}
}

// uidDir is shared by all instances on the host, so that no two of them use
// one uid.
const uidDir = "/run/lockstep/uids"

func (s *service) compile() error {
	filters := map[seccomp.Role]*os.File{}
	for _, role := range s.profile.Filters {
		filter, err := seccomp.Compile(seccomp.Table(role, runtime.GOARCH))
		if err != nil {
			return fmt.Errorf("the filter of the %s: %w", role, err)
		}
		filters[role] = filter
		s.later(filter.Close)
	}
	s.host.Maker.Filters = filters
	var err error
	if s.mounts, err = rootid.Watch(); err != nil {
		return err
	}
	s.later(s.mounts.Close)
	s.above = above.New(s.blindAbove)
	s.later(s.above.Close)
	return nil
}

// beginTrials makes the fleet.
func (s *service) beginTrials() error {
	s.fleet = fleet.New(fleet.Needs{
		Set: s.set, Commands: s.commands, Source: s.source, Asked: s.asked,
		Log: s.log, Screen: s.screen, Notify: s.notify, Host: s.host, Mounts: s.mounts, Above: s.above, Scratch: s.scratch,
		Signals: s.signals, Changed: s.changed, Ends: s.ends,
	})
	s.later(s.fleet.BeginTrials())
	return nil
}

func (s *service) prepare() error {
	s.later(s.fleet.Close)
	return s.fleet.Prepare()
}

// blindAbove says what follows when a directory above a root cannot be watched.
func (s *service) blindAbove(err error) {
	s.log.Warn("a directory above a root cannot be watched: that another root has taken its place is noticed by the next look, within "+rounds.Idle.String(), "error", err.Error())
}
