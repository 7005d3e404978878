package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/bench/daemon"
	"lockstep/bench/load"
	"lockstep/bench/look"
	"lockstep/bench/meter"
)

// idle watches all daemons do nothing, side by side on one large tree: they
// cannot disturb each other, since nothing changes. The repetitions are
// stretches of time, one after the other.
func (e *Env) idle(ctx context.Context, reps int) (err error) {
	p, shape, err := e.tree(ctx, e.Scale.LargeDirs)
	if err != nil {
		return err
	}
	var all []*started
	defer func() {
		for _, s := range all {
			err = errors.Join(err, s.Stop())
		}
		err = errors.Join(err, load.Tidy(p.src, p.dst, shape.Last()))
	}()
	for _, k := range e.Kinds {
		if k.Twin != "" {
			continue
		}
		s, err := e.idler(ctx, k, p, shape.Last())
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			e.Results.Mark(Idle, k.Name, 0, "failed", err.Error())
			e.Say("idle %s: %v", k.Name, err)
			continue
		}
		all = append(all, s)
	}
	// Who has just worked takes up to a minute to come to rest.
	if err := pause(ctx, e.Scale.IdleFor); err != nil {
		return err
	}
	for rep := 1; rep <= reps; rep++ {
		if err := e.stretch(ctx, rep, all); err != nil {
			return err
		}
	}
	return nil
}

// idler is a daemon that has started and settled. Those that run already copy
// the probes too, which does no harm.
func (e *Env) idler(ctx context.Context, k daemon.Kind, p pair, dir string) (*started, error) {
	short, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	in, err := e.Launcher.Start(short, k, p.src, p.dst)
	if err != nil {
		return nil, err
	}
	s := &started{Instance: in}
	if _, err := in.Watched(short); err != nil {
		return nil, errors.Join(err, in.Stop())
	}
	if err := look.Quiet(short, 2*e.Scale.Settle, in.Group.CPU); err != nil {
		return nil, errors.Join(err, in.Stop())
	}
	in.Group.Adopt(in.PID)
	return s, nil
}

// stretch measures one stretch of time.
func (e *Env) stretch(ctx context.Context, rep int, all []*started) error {
	type state struct {
		switches map[string]int64
		cpu      time.Duration
	}
	var before []state
	begin := time.Now()
	for _, s := range all {
		cpu, err := s.Group.CPU()
		if err != nil {
			return err
		}
		before = append(before, state{meter.Switches(s.PID), cpu})
	}
	if err := pause(ctx, e.Scale.IdleFor); err != nil {
		return err
	}
	for i, s := range all {
		minutes := time.Since(begin).Minutes()
		cpu, err := s.Group.CPU()
		if err != nil {
			return err
		}
		most, sum, who := mostSwitches(before[i].switches, meter.Switches(s.PID))
		r, name := e.Results, s.Kind.Name
		r.Add(Idle, name, "switches", "per minute, the process with most", rep, float64(most)/minutes)
		r.Add(Idle, name, "switches of all", "per minute", rep, float64(sum)/minutes)
		r.Add(Idle, name, "cpu", "ms per minute", rep, millis(cpu-before[i].cpu)/minutes)
		if m, err := meter.MemoryOf(s.PID); err == nil {
			r.Add(Idle, name, "rss", "MiB", rep, float64(m.RSS)/(1<<20))
		}
		e.Say("idle %s: %d switches (most: %s), %s of CPU in %.0f s", name, sum, who, (cpu - before[i].cpu).Round(time.Microsecond), 60*minutes)
	}
	return nil
}

// mostSwitches compares two lists of switches by process.
func mostSwitches(before, after map[string]int64) (most, sum int64, who string) {
	who = "none"
	for p, n := range after {
		if was, ok := before[p]; ok {
			sum += n - was
			if n-was > most {
				most, who = n-was, fmt.Sprintf("%s: %d", p, n-was)
			}
		}
	}
	return most, sum, who
}
