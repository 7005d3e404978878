// Monitors measures what the ways to hear of changes cost: the decoders of
// events against a C program that reads the same, and a large tree that is
// watched against a C program that watches it. "make bench-monitors" runs it; it
// takes a machine to itself.
//
// Trust: a tool of the checkout, run as root; nothing of the product links it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/bench/meter"
	"lockstep/bench/scenario"
)

// lock is held while a kernel variable is changed, as the other tests do.
const lock = "/run/lockstep-e2e.lock"

type options struct {
	events, dirs, n int
	monitors, out   string
	floor           string // source of the C program
}

// bench is one run.
type bench struct {
	options
	bin, scratch string
	floorC       string // the compiled C program
	results      results
}

func main() {
	var o options
	flag.IntVar(&o.events, "events", 10_000_000, "events through each decoder")
	flag.IntVar(&o.dirs, "dirs", 1_000_000, "directories to watch; 0: none")
	flag.IntVar(&o.n, "n", 3, "repetitions of the decoders")
	flag.StringVar(&o.monitors, "monitors", "inotify,fanotify,poll,dnotify", "monitors that watch, with commas")
	flag.StringVar(&o.floor, "floor", "bench/floor/floor.c", "source of the C program")
	flag.StringVar(&o.out, "out", "", "directory for results (default docs/performance of a full run, else bin/performance)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-monitors:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("mounts and kernel variables need root; run: sudo make bench-monitors")
	}
	b := &bench{options: o}
	if b.bin, err = filepath.Abs("bin"); err != nil {
		return err
	}
	if b.scratch, err = os.MkdirTemp("/var/tmp", "lockstep-monitors-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	source, err := os.ReadFile(o.floor)
	if err != nil {
		return err
	}
	if b.floorC, err = scenario.CompileFloor(ctx, string(source), b.scratch); err != nil {
		return err
	}
	b.results = results{
		Date: time.Now().UTC().Format(time.RFC3339), Commit: meter.FirstLine("git", "describe", "--always", "--dirty"),
		Events: o.events, Dirs: o.dirs,
	}
	err = b.onTmpfs(func(dir string) error {
		b.results.Machine = meter.ThisMachine(dir)
		if err := b.decoders(ctx, filepath.Join(dir, "events")); err != nil {
			return err
		}
		return b.watches(ctx, dir)
	})
	if ctx.Err() != nil || err != nil && len(b.results.Watched) == 0 {
		return err
	}
	return errors.Join(err, b.results.write(b.outDir())) // the rows that failed are missing, and say so
}

// outDir keeps runs that are not full away from what is checked in.
func (b *bench) outDir() string {
	switch {
	case b.out != "":
		return b.out
	case b.events >= 10_000_000 && b.dirs >= 1_000_000 && b.n >= 3:
		return "docs/performance"
	}
	return "bin/performance"
}

// onTmpfs gives a directory in memory.
func (b *bench) onTmpfs(do func(dir string) error) (err error) {
	dir := filepath.Join(b.scratch, "memory")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("lockstep-monitors", dir, "tmpfs", 0, "nr_inodes=0,size=50%,mode=755"); err != nil {
		return fmt.Errorf("tmpfs: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)) }()
	return do(dir)
}

func (b *bench) monitorNames() []string {
	if b.monitors == "" {
		return nil
	}
	return strings.Split(b.monitors, ",")
}
