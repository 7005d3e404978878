// Bench compares lockstep with other daemons and with what it cannot be faster
// than, in one run: see docs/performance.md. "make bench" runs it.
//
// Trust: a tool of the checkout, run as root; nothing of the product links it.
package main

import (
	"context"
	_ "embed" // for the C program
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lockstep/bench/daemon"
	"lockstep/bench/meter"
	"lockstep/bench/report"
	"lockstep/bench/scale"
	"lockstep/bench/scenario"
)

//go:embed floor/floor.c
var floorSource string

// lock is held while a kernel variable is changed: the end-to-end tests change
// the same ones and hold it too.
const lock = "/run/lockstep-e2e.lock"

// watches is what the daemons need that run side by side.
const watches = 1_500_000

type options struct {
	n                int
	scale, only, out string
	plots            bool
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 3, "repetitions")
	flag.StringVar(&o.scale, "scale", "full", "small (proves that the harness works) or full")
	flag.StringVar(&o.only, "only", "", "SCENARIO,…/DAEMON,… (either part may be empty)")
	flag.StringVar(&o.out, "out", "", "directory for results (default docs/performance of a full run, else bin/performance)")
	flag.BoolVar(&o.plots, "plots", true, "draw plots, which needs gnuplot")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: unexpected word %q\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the daemons, their control groups and kernel variables need root; run: sudo make bench")
	}
	env, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Close(), os.RemoveAll(env.Scratch)) }()
	if env.FloorC, err = scenario.CompileFloor(ctx, floorSource, env.Scratch); err != nil {
		return err
	}
	if meter.Sysctl("fs.inotify.max_user_watches") < watches {
		restore, err := env.Launcher.Sysctls.Raise(ctx, "fs.inotify.max_user_watches", watches)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, restore()) }()
	}
	begin := time.Now()
	if err := env.Run(ctx, o.n); err != nil {
		return err
	}
	env.Results.Spent("all", time.Since(begin).Seconds())
	return report.All(env.Results, os.Stdout, outDir(o), o.plots)
}

// outDir keeps partial runs away from what is checked in.
func outDir(o options) string {
	switch {
	case o.out != "":
		return o.out
	case o.scale == "full" && o.only == "" && o.n >= 3:
		return "docs/performance"
	}
	return "bin/performance"
}

func prepare(ctx context.Context, o options) (*scenario.Env, error) {
	size, err := scale.Of(o.scale)
	if err != nil {
		return nil, err
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return nil, err
	}
	scenarios, daemons, _ := strings.Cut(o.only, "/")
	wants, err := scenario.WantsOf(words(scenarios))
	if err != nil {
		return nil, err
	}
	kinds, err := choose(words(daemons), bin)
	if err != nil {
		return nil, err
	}
	hierarchy, err := meter.FindHierarchy()
	if err != nil {
		return nil, err
	}
	base := os.Getenv("TMPDIR")
	if base == "" {
		base = "/var/tmp" // on a disk, where /tmp may be memory
	}
	scratch, err := os.MkdirTemp(base, "lockstep-bench-")
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	env := &scenario.Env{
		Launcher: &daemon.Launcher{Starter: daemon.NewStarter(), Hierarchy: hierarchy, Sysctls: meter.NewSysctls(lock), Bin: bin, Scratch: scratch},
		Results:  results(o, size, kinds, bin, scratch),
		Scale:    size, Kinds: kinds, Wants: wants, Scratch: scratch,
		Say: func(format string, args ...any) {
			s := int(time.Since(begin).Seconds())
			fmt.Printf("[%2d:%02d] %s\n", s/60, s%60, fmt.Sprintf(format, args...))
		},
	}
	// clsync drops root before it reads its tree's own path.
	return env, os.Chmod(scratch, 0o755)
}

// choose takes the daemons that are asked for and there.
func choose(only []string, bin string) ([]daemon.Kind, error) {
	var out []daemon.Kind
	asked := map[string]bool{}
	for _, w := range only {
		asked[w] = true
	}
	for _, k := range daemon.Table() {
		if (len(only) == 0 || asked[k.Word()]) && k.Present(bin) {
			out = append(out, k)
			delete(asked, k.Word())
		}
	}
	for w := range asked {
		return nil, fmt.Errorf("daemon %q: not in the table, or not built", w)
	}
	return out, nil
}

func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func results(o options, size scale.Scale, kinds []daemon.Kind, bin, scratch string) *report.Results {
	r := &report.Results{
		Date:    time.Now().UTC().Format(time.RFC3339),
		Commit:  meter.FirstLine("git", "describe", "--always", "--dirty"),
		Machine: meter.ThisMachine(scratch),
		Settings: report.Settings{N: o.n, Scale: o.scale, Only: o.only, Sizes: size.Sizes(), Kernel: map[string]int{
			"fs.inotify.max_queued_events": int(meter.Sysctl("fs.inotify.max_queued_events"))}},
		Versions: map[string]string{"rsync": meter.FirstLine("rsync", "--version")},
		Notes:    map[string]string{}, Times: map[string]float64{},
	}
	for _, k := range kinds {
		r.Daemons = append(r.Daemons, k.Name)
		r.Versions[k.Name] = meter.FirstLine(k.VersionArgv(bin)...)
		r.Notes[k.Name] = k.Note
	}
	return r
}
