package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/bench/daemon"
	"lockstep/bench/load"
	"lockstep/bench/look"
	"lockstep/bench/meter"
	"lockstep/bench/report"
)

// probeDir is where readiness is found in scenarios that begin with no tree.
const probeDir = "probes/two"

// prepared makes a pair that holds the directory for probes on both sides.
func (e *Env) prepared(ctx context.Context, name string) (pair, func() error, error) {
	p, remove, err := e.fresh(ctx, name)
	if err != nil {
		return p, remove, err
	}
	for _, root := range []string{p.src, p.dst} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(root, probeDir), 0o755))
	}
	return p, remove, err
}

// followed starts a daemon on a pair and lets it become idle.
func (e *Env) followed(ctx context.Context, k daemon.Kind, p pair) (*started, error) {
	s, err := e.follow(ctx, k, p, probeDir)
	if err != nil {
		return nil, err
	}
	if err := e.clear(ctx, s, p, probeDir); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// burst measures the memory on an empty tree, makes many files at once there,
// and copies the result by one rsync for comparison.
func (e *Env) burst(ctx context.Context, rep int, k daemon.Kind) (err error) {
	p, remove, err := e.prepared(ctx, "burst")
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	took, err := e.oneBurst(ctx, rep, k, p, BurstOne)
	if err != nil || !e.Wants(BurstOne) {
		return err
	}
	floor, err := e.copyOf(ctx, p)
	if err != nil {
		return err
	}
	e.Results.Add(BurstOne, FloorCopy, "converged", "s", rep, floor.took.Seconds())
	e.Results.Add(BurstOne, FloorCopy, "cpu", "s", rep, floor.cpu.Seconds())
	if cpu, ok := e.Results.Values(report.Key{Scenario: BurstOne, Daemon: k.Name, Metric: "cpu"})[rep]; ok {
		e.Results.Add(BurstOne, k.Name, "cpu of rsync", "×", rep, cpu/floor.cpu.Seconds())
	}
	if took > 0 {
		e.Results.Add(BurstOne, k.Name, "times rsync", "×", rep, took.Seconds()/floor.took.Seconds())
		e.Say("burst %s: %.2f times one rsync -aH, which takes %.2f s", k.Name, took.Seconds()/floor.took.Seconds(), floor.took.Seconds())
	}
	return nil
}

func (e *Env) burstOf(rep int) load.Burst {
	return load.Burst{Dirs: e.Scale.BurstDirs, Files: e.Scale.BurstFiles, Seed: uint64(rep)}
}

// oneBurst returns how long after the burst's end the target was equal; 0 when
// something was lost.
func (e *Env) oneBurst(ctx context.Context, rep int, k daemon.Kind, p pair, scenario string) (took time.Duration, err error) {
	s, err := e.followed(ctx, k, p)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if scenario == BurstOne {
		if err := e.memory(rep, s, EmptyTree, 0, meter.Slab{}); err != nil || !e.Wants(BurstOne) {
			return 0, err
		}
	}
	cpu, err := s.cpuOf()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := e.burstOf(rep).Run(p.src); err != nil {
		return 0, err
	}
	end := time.Now()
	out, err := look.Await(ctx, p.src, p.dst, end, e.Scale.Stall, s.watchedBy())
	if err != nil {
		return 0, err
	}
	all, own, err := cpu()
	if err != nil {
		return 0, err
	}
	r := e.Results
	r.Add(scenario, k.Name, "writing", "s", rep, end.Sub(begin).Seconds())
	r.Add(scenario, k.Name, "cpu", "s", rep, all.Seconds())
	r.Add(scenario, k.Name, "daemon cpu", "s", rep, own.Seconds())
	r.Add(scenario, k.Name, "lost", "entries", rep, float64(out.Lost))
	r.Add(scenario, k.Name, "times", "entries", rep, float64(out.Times))
	e.marks(scenario, rep, k, out.Diff)
	e.Say("%s %s: %v, after %.2f s", scenario, k.Name, out.Diff, out.Took.Seconds())
	if out.Took > 0 {
		r.Add(scenario, k.Name, "converged", "s", rep, out.Took.Seconds())
	}
	return out.Took, nil
}

// overflow is a burst with a short event queue.
func (e *Env) overflow(ctx context.Context, rep int, k daemon.Kind) (err error) {
	restore, err := e.Launcher.Sysctls.Set(ctx, "fs.inotify.max_queued_events", e.Scale.OverflowQueue)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	p, remove, err := e.prepared(ctx, "overflow")
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	// The directories are there before: in a new one, what a short queue has
	// lost may be found again by the walk that a new directory needs anyway.
	for _, root := range []string{p.src, p.dst} {
		if err := e.burstOf(rep).Prepare(root); err != nil {
			return err
		}
	}
	k.Queue = 0
	_, err = e.oneBurst(ctx, rep, k, p, Overflow)
	return err
}

// steady changes files at a steady rate for a while.
func (e *Env) steady(ctx context.Context, rep int, k daemon.Kind) (err error) {
	p, remove, err := e.prepared(ctx, "steady")
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	stream := load.Stream{Dirs: e.Scale.SteadyDirs, Files: e.Scale.SteadyFiles, Rate: e.Scale.SteadyRate, For: e.Scale.SteadyFor, Seed: uint64(rep)}
	if err := stream.Prepare(p.src); err != nil {
		return err
	}
	if _, err := e.command(ctx, "", "rsync", "-aH", p.src+"/", p.dst+"/"); err != nil {
		return err
	}
	s, err := e.followed(ctx, k, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	run := steadyRun{Env: e, rep: rep, s: s, p: p}
	if err := run.change(ctx, stream); err != nil {
		return err
	}
	return run.settle(ctx)
}

type steadyRun struct {
	*Env
	rep int
	s   *started
	p   pair
	end time.Time
}

// change runs the stream with markers beside it.
func (r *steadyRun) change(ctx context.Context, stream load.Stream) error {
	marks := probes(r.p, probeDir)
	marks.Prefix, marks.Every = "mark", 100*time.Millisecond
	type markers struct {
		f   look.Following
		err error
	}
	stop, done := make(chan struct{}), make(chan markers, 1)
	cpu, err := r.s.cpuOf()
	if err != nil {
		return err
	}
	go func() {
		f, err := marks.Run(ctx, stop, r.s.Ended, patience)
		done <- markers{f, err}
	}()
	count, err := stream.Run(ctx, r.p.src)
	all, own, err2 := cpu()
	r.end = time.Now()
	close(stop)
	m := <-done
	if err := errors.Join(err, err2, m.err); err != nil {
		return err
	}
	res, name, secs := r.Results, r.s.Kind.Name, count.Took.Seconds()
	res.Add(Steady, name, "daemon", "% of a core", r.rep, 100*own.Seconds()/secs)
	res.Add(Steady, name, "all", "% of a core", r.rep, 100*all.Seconds()/secs)
	res.Add(Steady, name, "rate", "changes/s", r.rep, float64(count.Changes)/secs)
	lags := toMillis(m.f.All)
	res.AddEach(Steady, name, "lag each", "ms", r.rep, lags)
	res.Add(Steady, name, "lag p50", "ms", r.rep, report.Quantile(lags, 0.5))
	res.Add(Steady, name, "lag max", "ms", r.rep, report.Quantile(lags, 1))
	if m.f.Lost > 0 {
		r.marks(Steady, r.rep, r.s.Kind, look.Diff{Lost: m.f.Lost, Example: "markers"})
	}
	r.Say("steady %s: daemon %.1f %%, all %.1f %%, lag p50 %.0f ms, max %.0f ms", name, 100*own.Seconds()/secs, 100*all.Seconds()/secs,
		report.Quantile(lags, 0.5), report.Quantile(lags, 1))
	return nil
}

// settle looks at what differs a second after the end, and for good.
func (r *steadyRun) settle(ctx context.Context) error {
	if err := pause(ctx, time.Until(r.end.Add(time.Second))); err != nil {
		return err
	}
	name := r.s.Kind.Name
	// The target may change while it is read; then there is no number.
	if d, err := look.Differences(r.p.src, r.p.dst); err == nil {
		r.Results.Add(Steady, name, "different after 1 s", "entries", r.rep, float64(d.Lost+d.Times))
	}
	out, err := look.Await(ctx, r.p.src, r.p.dst, r.end, r.Scale.Stall, r.s.watchedBy())
	if err != nil {
		return err
	}
	r.Results.Add(Steady, name, "lost", "entries", r.rep, float64(out.Lost))
	r.Results.Add(Steady, name, "times", "entries", r.rep, float64(out.Times))
	r.marks(Steady, r.rep, r.s.Kind, out.Diff)
	if out.Took > 0 {
		r.Results.Add(Steady, name, "settled", "s", r.rep, out.Took.Seconds())
	}
	r.Say("steady %s: %v", name, out.Diff)
	return nil
}

// copied is what one rsync took.
type copied struct{ took, cpu time.Duration }

// copyOf copies a source into an empty directory by one rsync.
func (e *Env) copyOf(ctx context.Context, p pair) (copied, error) {
	dst := p.dst + ".floor"
	if err := os.RemoveAll(dst); err != nil {
		return copied{}, err
	}
	if err := os.Mkdir(dst, 0o755); err != nil {
		return copied{}, err
	}
	unix.Sync()
	c, err := e.command(ctx, "", "rsync", "-aH", p.src+"/", dst+"/")
	if err == nil {
		if d, err := look.Differences(p.src, dst); err != nil || d != (look.Diff{}) {
			return c, errors.Join(fmt.Errorf("rsync -aH itself: %v: %s", d, d.Example), err)
		}
	}
	return c, errors.Join(err, os.RemoveAll(dst))
}
