//go:build unsplit

// Lockstep-unsplit is lockstep's event engine and runner in one process, as
// root, without a jail or a filter: what the separation costs is measured
// against it. It is no part of the product: it is built only with the tag
// unsplit, keeps one local target in step, and leaves out all that a service
// needs (state, locks, the trial of rsync, restarts, deadlines).
//
// Trust: none is claimed. It links packages of both sides, which no program of
// the product may.
//
// What is the same: worker (queue, plan, track, deliver, the reader of events),
// the runner with its guard and its handling of output, so that rsync is started
// equally often with the same words and lists, and the system calls of the
// helper on the tree. What is not there: sockets, packets and their codec,
// copies of lists between processes, wake-ups of other processes, the checks of
// what the worker sends, and the supervisor.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rootid"
	"lockstep/runner"
	"lockstep/supervise/brief"
	"lockstep/supervise/host"
	"lockstep/worker"
	"lockstep/worker/pump"
)

func main() {
	begin := time.Now()
	delay := flag.String("delay", "", "how long a path must have been left alone before it is copied")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: lockstep-unsplit [--delay TIME] SRC DST")
		os.Exit(2)
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
	}
	if err := run(*delay, flag.Arg(0), flag.Arg(1), begin); err != nil {
		fmt.Fprintln(os.Stderr, "lockstep-unsplit:", err)
		os.Exit(1)
	}
}

// configure reads the command line as lockstep mirror does.
func configure(delay, src, dst string) (config.Config, error) {
	b := keys.NewBuilder()
	if delay != "" {
		b.Set("delay", delay)
	}
	for key, path := range map[string]string{"source": src, "targets": dst} {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			real, err = filepath.Abs(real)
		}
		if err != nil {
			return config.Config{}, err
		}
		b.Set(key, real)
	}
	set, err := b.Build()
	if err != nil {
		return config.Config{}, err
	}
	return set.Config(0), nil
}

// command finds rsync. The supervisor also looks for its libraries, for the jail.
func command() (host.Command, error) {
	path, err := exec.LookPath("rsync")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return host.Command{}, fmt.Errorf("rsync: %w; install it", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return host.Command{}, fmt.Errorf("%s: %w", path, err)
	}
	return host.Command{Program: path, Dev: st.Dev, Ino: st.Ino}, nil
}

// told is what the supervisor tells worker and runner of this configuration. The
// command lines are those of a rsync that can do everything (3.5.0): what others
// lack is left out by the trial, which is not made here.
func told(cfg config.Config) (settings.Worker, settings.Runner, error) {
	c, err := command()
	if err != nil {
		return settings.Worker{}, settings.Runner{}, err
	}
	o := brief.Want(cfg)
	o.ConfineRoot = true
	roots, err := rootid.Look(cfg.Source, cfg.Targets[0].Path, cfg.CrossMounts)
	if err != nil {
		return settings.Worker{}, settings.Runner{}, err
	}
	return brief.Worker(cfg, o, roots, cfg.Watching(roots.Source.Blind()), 0), brief.Runner(cfg, cfg.Targets[0], o, c, false, false), nil
}

func run(delay, src, dst string, begin time.Time) error {
	cfg, err := configure(delay, src, dst)
	if err != nil {
		return err
	}
	forWorker, forRunner, err := told(cfg)
	if err != nil {
		return err
	}
	// As the confined processes run (supervise/jail).
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(25)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("inotify_init1: %w", err)
	}
	events, err := pump.NewSource(fd)
	if err != nil {
		return err
	}
	tree, err := openTree(cfg.Source, fd, cfg.CrossMounts)
	if err != nil {
		return err
	}
	b := newBoundary(tree, forWorker)
	r := runner.New(forRunner, b.jobs, os.Stderr)
	ended := make(chan int, 1)
	go func() { ended <- r.Serve() }()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		b.notify(&ipc.Shutdown{})
	}()

	l := &listener{begin: begin, out: os.Stdout}
	err = worker.Run(worker.Ends{Helper: b, Status: l, Events: events, Log: os.Stderr}, "")
	close(b.jobs.starts)
	<-ended
	l.end()
	return err
}
