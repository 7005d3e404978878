package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"lockstep/config"
	"lockstep/console"
	"lockstep/sandbox/landlock"
	"lockstep/supervise/exit"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/watch"
	"lockstep/uidpool"
)

// Watch is `lockstep watch`: it returns the exit code when all has ended.
func Watch(o watch.Options, args []string, in io.Reader, out *os.File) int {
	screen := console.NewScreen(os.Stderr)
	set := config.Set{Service: config.Service{AllowMissing: o.AllowMissing, User: "lockstep"}}
	s := newService(set, args, console.NewLogger(screen, false, screen.Terminal()))
	s.screen = screen
	// A reader of our lines that has gone is told by the write.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signal.Notify(s.signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1)
	err := s.steps(s.whoCalls, func() error { return s.setUpWatch(&o) })
	if err == nil {
		err = watch.Serve(watch.Host{
			Log: s.log, Maker: s.host.Maker, Lease: s.lease,
			Signals: s.signals, Mounts: s.mounts.Changed, Above: s.above, In: in, Out: out,
		}, o)
	}
	return s.finish(err)
}

// whoCalls finds the column of the table of jails.
func (s *service) whoCalls() error {
	caller, err := host.WhoCalls()
	if err != nil {
		return exit.Refuse(err)
	}
	s.caller, s.profile = caller, jail.AsRoot()
	if caller.Root() {
		return nil
	}
	abi, err := landlock.ABI()
	s.profile = jail.AsUser(abi)
	return err
}

// setUpWatch is everything before the first confined process, in order.
func (s *service) setUpWatch(o *watch.Options) error {
	check := func() error {
		o.Refuses = s.profile.Refuses
		if err := o.Check(); err != nil {
			return exit.Refuse(err)
		}
		return nil
	}
	if !s.caller.Root() {
		return s.steps(
			check,
			s.checkUsersKernel, // what confinement stands on, and nothing else to fall back to
			s.sealPrograms,     // from here on no upgrade can mix versions
			s.compile,          // filters, once for all restarts
			s.sayGuards,
		)
	}
	return s.steps(
		check,
		s.lockOne,      // a runtime directory that nobody uses
		s.checkKernel,  // what confinement stands on
		s.sweep,        // what a killed supervisor left
		s.sealPrograms, // from here on no upgrade can mix versions
		s.compile,      // filters, once for all restarts
	)
}

// checkUsersKernel is checkKernel where there are no control groups.
func (s *service) checkUsersKernel() error {
	s.kernel = host.CheckKernel()
	s.kernel.Need("landlock", "without root nothing else keeps the helper to the roots")
	return s.judgeKernel()
}

// sayGuards says what holds, and what would if lockstep was started as root.
func (s *service) sayGuards() error {
	hold, needRoot := s.profile.Guards(s.machine())
	s.log.Info("started without root: what confines the helper and the worker is "+strings.Join(hold, ", "), "need_root", strings.Join(needRoot, ","))
	return nil
}

// lease gives a root's worker its ids.
func (s *service) lease() (*uidpool.Lease, error) {
	if s.caller.Root() {
		return uidpool.Take(uidDir, s.set.User)
	}
	return uidpool.Own(s.caller.UID, s.caller.GID), nil
}

// watchDirs is where the runtime directories of watches are.
const watchDirs = "/run/lockstep/watch"

// mostWatches is how many may run on one host.
const mostWatches = 1024

// lockOne takes the first runtime directory that is free: a watch has nothing
// that two could quarrel about, but what a killed one left has to be found.
func (s *service) lockOne() error {
	var errs error
	for n := range mostWatches {
		dir := filepath.Join(watchDirs, strconv.Itoa(n+1))
		lock, err := host.LockRuntime(dir)
		if err == nil {
			s.set.RuntimeDir = dir
			s.later(lock.Release)
			return nil
		}
		if !host.InUse(err) {
			return exit.Refuse(err)
		}
		errs = err
	}
	return exit.Refuse(errors.Join(fmt.Errorf("%d watches run already", mostWatches), errs))
}
