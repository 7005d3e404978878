package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lockstep/bench/daemon"
	"lockstep/bench/load"
	"lockstep/bench/look"
	"lockstep/bench/meter"
	"lockstep/bench/report"
)

// small is start-up, memory and the latency of single files on a tree of
// moderate size.
func (e *Env) small(ctx context.Context, rep int, k daemon.Kind) error {
	return e.onTree(ctx, rep, k, SmallTree, e.Scale.SmallDirs, e.Wants(Latency))
}

// large is start-up and memory on a large tree.
func (e *Env) large(ctx context.Context, rep int, k daemon.Kind) error {
	return e.onTree(ctx, rep, k, LargeTree, e.Scale.LargeDirs, false)
}

func (e *Env) onTree(ctx context.Context, rep int, k daemon.Kind, scenario string, dirs int, latency bool) (err error) {
	p, shape, err := e.tree(ctx, dirs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.Tidy(p.src, p.dst, shape.Last())) }()
	before, err := meter.SlabNow()
	if err != nil {
		return err
	}
	// Right before each daemon: who comes first after other scenarios finds less of
	// the tree in the kernel's caches.
	floor, err := e.command(ctx, "", e.FloorC, "watch", p.src)
	if err != nil {
		return err
	}
	e.Results.Add(scenario, FloorC, "watched", "ms", rep, millis(floor.took))
	s, err := e.follow(ctx, k, p, shape.Last())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := e.startUp(ctx, rep, s, scenario, floor.took); err != nil {
		return err
	}
	if err := e.clear(ctx, s, p, shape.Last()); err != nil {
		return err
	}
	if err := e.memory(rep, s, scenario, dirs, before); err != nil {
		return err
	}
	if latency {
		return e.latency(ctx, rep, s, p, shape.Last())
	}
	return nil
}

// startUp records how long it took from exec, and how often the floor's time.
func (e *Env) startUp(ctx context.Context, rep int, s *started, scenario string, floor time.Duration) error {
	r, name := e.Results, s.Kind.Name
	if s.follow.Lost > 0 {
		e.marks(scenario, rep, s.Kind, look.Diff{Lost: s.follow.Lost, Example: "probes that were written while it started"})
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	watched, err := s.Watched(short)
	if err != nil {
		return err
	}
	r.Add(scenario, name, "watched", "ms", rep, millis(watched.Took))
	r.Add(scenario, name, "watched of floor", "×", rep, watched.Took.Seconds()/floor.Seconds())
	if watched.Claim > 0 {
		r.Add(scenario, name, "watched, claimed", "ms", rep, millis(watched.Claim))
		r.Add(scenario, name, "claimed of floor", "×", rep, watched.Claim.Seconds()/floor.Seconds())
	}
	r.Add(scenario, name, "first", "ms", rep, millis(s.follow.First.Sub(s.Started)))
	r.Add(scenario, name, "ready", "ms", rep, millis(s.follow.Ready.Sub(s.Started)))
	r.AddEach(scenario, name, "lag after ready", "ms", rep, toMillis(s.follow.Lags))
	cpu, err := s.Group.CPU()
	if err != nil {
		return err
	}
	r.Add(scenario, name, "cpu", "s", rep, cpu.Seconds())
	e.Say("%s %s: watched %.0f ms, first probe %.0f ms, ready %.0f ms", scenario, name, millis(watched.Took),
		millis(s.follow.First.Sub(s.Started)), millis(s.follow.Ready.Sub(s.Started)))
	return nil
}

// memory records what the settled daemon holds.
func (e *Env) memory(rep int, s *started, scenario string, dirs int, before meter.Slab) error {
	m, err := meter.MemoryOf(s.PID)
	if err != nil {
		return err
	}
	after, err := meter.SlabNow()
	if err != nil {
		return err
	}
	r, name := e.Results, s.Kind.Name
	r.Add(scenario, name, "rss", "MiB", rep, float64(m.RSS)/(1<<20))
	r.Add(scenario, name, "pss", "MiB", rep, float64(m.PSS)/(1<<20))
	r.Add(scenario, name, "processes", "", rep, float64(m.Procs))
	if dirs == 0 {
		return nil
	}
	r.Add(scenario, name, "kernel", "bytes/directory", rep, float64(after.Unreclaimable-before.Unreclaimable)/float64(dirs))
	r.Add(scenario, name, "kernel caches", "bytes/directory", rep, float64(after.Reclaimable-before.Reclaimable)/float64(dirs))
	return nil
}

// perDirectory records what a large tree takes over an empty one, when both
// are known.
func (e *Env) perDirectory() {
	for _, k := range e.Kinds {
		for _, kind := range []string{"rss", "pss"} {
			empty := e.Results.Values(report.Key{Scenario: EmptyTree, Daemon: k.Name, Metric: kind})
			for rep, large := range e.Results.Values(report.Key{Scenario: LargeTree, Daemon: k.Name, Metric: kind}) {
				if small, ok := empty[rep]; ok {
					e.Results.Add(Memory, k.Name, "user "+kind, "bytes/directory", rep, (large-small)*(1<<20)/float64(e.Scale.LargeDirs))
				}
			}
		}
	}
}

// latency changes one file at a time while nothing else happens.
func (e *Env) latency(ctx context.Context, rep int, s *started, p pair, dir string) error {
	d, err := look.Open(filepath.Join(p.dst, dir))
	if err != nil {
		return err
	}
	defer d.Close()
	run := latencyRun{env: e, dir: filepath.Join(p.src, dir), target: d, took: map[string][]float64{}}
	until := time.Now().Add(e.Scale.LatencyFor)
	for i := 0; i < e.Scale.Latencies && time.Now().Before(until); i++ {
		if err := run.round(ctx, i); err != nil {
			return err
		}
	}
	r, name := e.Results, s.Kind.Name
	var all []float64
	for _, op := range latencyOps() {
		v := run.took[op]
		all = append(all, v...)
		r.AddEach(Latency, name, op+" each", "ms", rep, v)
		r.Add(Latency, name, op+" p50", "ms", rep, report.Quantile(v, 0.5))
		r.Add(Latency, name, op+" p90", "ms", rep, report.Quantile(v, 0.9))
		r.Add(Latency, name, op+" max", "ms", rep, report.Quantile(v, 1))
	}
	r.Add(Latency, name, "p50", "ms", rep, report.Quantile(all, 0.5))
	r.Add(Latency, name, "p90", "ms", rep, report.Quantile(all, 0.9))
	r.Add(Latency, name, "max", "ms", rep, report.Quantile(all, 1))
	r.Add(Latency, name, "changes", "", rep, float64(len(all)))
	e.Say("%s %s: p50 %.1f ms, p90 %.1f ms of %d changes", Latency, name, report.Quantile(all, 0.5), report.Quantile(all, 0.9), len(all))
	return nil
}

func latencyOps() []string { return []string{"create", "modify", "rename", "delete"} }

type latencyRun struct {
	env    *Env
	dir    string
	target *look.Dir
	took   map[string][]float64
}

// between is how long nothing happens before each change.
const between = 150 * time.Millisecond

// round makes one file, changes it, renames it and deletes it.
func (l *latencyRun) round(ctx context.Context, i int) error {
	a, b := fmt.Sprintf("a%04d", i), fmt.Sprintf("b%04d", i)
	pa, pb := filepath.Join(l.dir, a), filepath.Join(l.dir, b)
	for _, op := range []struct {
		name       string
		do         func() error
		come, gone string
	}{
		{"create", func() error { return os.WriteFile(pa, []byte("a line\n"), 0o644) }, a, ""},
		{"modify", func() error { return appendTo(pa, "one more\n") }, a, ""},
		{"rename", func() error { return os.Rename(pa, pb) }, b, a},
		{"delete", func() error { return os.Remove(pb) }, "", b},
	} {
		if err := pause(ctx, between); err != nil {
			return err
		}
		l.forget()
		if err := op.do(); err != nil {
			return err
		}
		at := time.Now()
		seen, err := l.await(ctx, op.come, op.gone)
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		l.took[op.name] = append(l.took[op.name], millis(seen.Sub(at)))
	}
	return nil
}

// forget drops events of what was before.
func (l *latencyRun) forget() {
	for {
		select {
		case <-l.target.Events():
		default:
			return
		}
	}
}

// await waits until one name has come and another one has gone.
func (l *latencyRun) await(ctx context.Context, come, gone string) (time.Time, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	var last time.Time
	for come != "" || gone != "" {
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-limit.C:
			return last, fmt.Errorf("not on the target after %v", patience)
		case e := <-l.target.Events():
			last = e.At
			switch {
			case !e.Gone && e.Name == come:
				come = ""
			case e.Gone && e.Name == gone:
				gone = ""
			}
		}
	}
	return last, nil
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
