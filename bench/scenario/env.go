// Package scenario holds what is measured: each scenario starts a daemon,
// gives it work, and records what came of it.
//
// Trust: linked into the benchmark only; runs as root.
//
// Invariants: whatever a scenario starts or makes is gone when it returns, with
// or without an error; what a daemon lost is looked for in every one of them.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/bench/daemon"
	"lockstep/bench/disk"
	"lockstep/bench/load"
	"lockstep/bench/look"
	"lockstep/bench/meter"
	"lockstep/bench/report"
	"lockstep/bench/scale"
)

// The names of scenarios in results. The two trees are called by their size's
// role, so that results of all scales have the same keys.
const (
	SmallTree = "small tree"
	LargeTree = "large tree"
	EmptyTree = "empty tree"
	Memory    = "memory"
	Latency   = "latency"
	BurstOne  = "burst"
	Steady    = "steady"
	Overflow  = "overflow"
	Idle      = "idle"
	Drain     = "drain"
)

// Floors, in the place of a daemon's name.
const (
	FloorC    = "C program"
	FloorNoop = "no-op rsync -aH --delete"
	FloorOwn  = "no-op rsync, lockstep's options"
	FloorCopy = "rsync -aH"
)

// Env is what all scenarios share.
type Env struct {
	Launcher *daemon.Launcher
	Results  *report.Results
	Scale    scale.Scale
	Kinds    []daemon.Kind
	Wants    func(scenario string) bool
	Say      func(format string, args ...any)
	Scratch  string // a directory of this run
	FloorC   string // the compiled C program

	trees    map[int]pair   // by size, those that are there
	removals []func() error // what Close does
}

// pair are a source and a target.
type pair struct{ src, dst string }

// fresh makes an empty pair on a file system of its own; remove takes it away.
func (e *Env) fresh(ctx context.Context, name string) (p pair, remove func() error, err error) {
	d, err := disk.Make(ctx, filepath.Join(e.Scratch, name))
	if err != nil {
		return p, func() error { return nil }, err
	}
	p = pair{filepath.Join(d.Dir, "src"), filepath.Join(d.Dir, "dst")}
	return p, d.Remove, errors.Join(os.Mkdir(p.src, 0o755), os.Mkdir(p.dst, 0o755))
}

// Close removes what the scenarios share.
func (e *Env) Close() error {
	var errs []error
	for _, remove := range e.removals {
		errs = append(errs, remove())
	}
	return errors.Join(errs...)
}

// tree is a pair in step, with so many directories: it is made once and used
// by all, who leave it as it was.
func (e *Env) tree(ctx context.Context, dirs int) (pair, load.Shape, error) {
	shape := load.ShapeOf(dirs)
	if there, ok := e.trees[dirs]; ok {
		return there, shape, warm(there)
	}
	e.Say("making a tree of %d directories and its copy", dirs)
	p, remove, err := e.fresh(ctx, fmt.Sprintf("tree-%d", dirs))
	e.removals = append(e.removals, remove)
	if err != nil {
		return p, shape, err
	}
	if err := shape.Make(ctx, p.src); err != nil {
		return p, shape, err
	}
	if _, err := e.command(ctx, "", "rsync", "-aH", "--delete", p.src+"/", p.dst+"/"); err != nil {
		return p, shape, err
	}
	if e.trees == nil {
		e.trees = map[int]pair{}
	}
	e.trees[dirs] = p
	unix.Sync()
	return p, shape, nil
}

// warm has the kernel read both trees, names and status of each: what nobody has
// touched for a while may have left its caches, and whoever comes first would pay
// for that.
func warm(p pair) error {
	for _, root := range []string{p.src, p.dst} {
		err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
			if err == nil {
				_, err = d.Info()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// probes is how readiness is found: a new file every 50 ms, not in the root but
// two levels down, since an event of the root itself is the simplest case (no
// path has to be put together, and every pass looks there first), and in the
// directory that a pass over the tree comes to last.
func probes(p pair, dir string) look.Probes {
	return look.Probes{Src: filepath.Join(p.src, dir), Dst: filepath.Join(p.dst, dir), Prefix: "probe",
		Every: 50 * time.Millisecond, Fresh: time.Second, After: 500 * time.Millisecond}
}

// patience is how long the last probes may take before they are lost.
const patience = 10 * time.Second

// started is a daemon that follows.
type started struct {
	*daemon.Instance
	follow look.Following
}

// follow starts a daemon and waits until its target follows the source.
func (e *Env) follow(ctx context.Context, k daemon.Kind, p pair, dir string) (*started, error) {
	unix.Sync() // what was written before is not written back during the measurement
	in, err := e.Launcher.Start(ctx, k, p.src, p.dst)
	if err != nil {
		return nil, err
	}
	s := &started{Instance: in}
	s.follow, err = probes(p, dir).Run(ctx, nil, in.Ended, patience)
	in.Group.Adopt(in.PID)
	if err != nil {
		select {
		case <-in.Ended:
			err = in.Early()
		default:
		}
		return nil, errors.Join(err, in.Stop())
	}
	return s, nil
}

// watchedBy is what look.Await has to know.
func (s *started) watchedBy() look.Watched {
	return look.Watched{CPU: s.Group.CPU, Ended: s.Ended, Early: s.Early}
}

// clear removes the probes, also from the target, by the daemon itself.
func (e *Env) clear(ctx context.Context, s *started, p pair, dir string) error {
	names, err := filepath.Glob(filepath.Join(p.src, dir, "probe*"))
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := os.Remove(n); err != nil {
			return err
		}
	}
	return look.Quiet(ctx, e.Scale.Settle, s.Group.CPU)
}

// marks marks a daemon whose target did not become equal.
func (e *Env) marks(scenario string, rep int, k daemon.Kind, d look.Diff) {
	if d != (look.Diff{}) {
		e.Results.Mark(scenario, k.Name, rep, d.String(), d.Example)
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func toMillis(all []time.Duration) []float64 {
	out := make([]float64, len(all))
	for i, d := range all {
		out[i] = millis(d)
	}
	return out
}

// pause waits, unless the run ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// cpuOf measures the CPU of a daemon from now on: all its processes, and the
// long-lived ones alone.
func (s *started) cpuOf() (func() (all, own time.Duration, err error), error) {
	before, err := s.Group.CPU()
	if err != nil {
		return nil, err
	}
	was := meter.Family(s.PID)
	return func() (all, own time.Duration, err error) {
		now, err := s.Group.CPU()
		return now - before, meter.LongLived(was, meter.Family(s.PID)), err
	}, nil
}
