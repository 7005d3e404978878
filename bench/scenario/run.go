package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lockstep/bench/daemon"
)

// step is one scenario for one daemon.
type step struct {
	name  string   // for filters, and for the time that it took
	parts []string // the scenarios that it is for; any of them is reason to run it
	limit time.Duration
	run   func(*Env, context.Context, int, daemon.Kind) error
	twin  bool // also for a daemon that is only compared with another one
}

func steps() []step {
	return []step{
		{SmallTree, []string{SmallTree, Latency}, 110 * time.Second, (*Env).small, true},
		{LargeTree, []string{LargeTree, Memory}, 60 * time.Second, (*Env).large, true},
		{BurstOne, []string{BurstOne, EmptyTree, Memory}, 60 * time.Second, (*Env).burst, true},
		{Steady, []string{Steady}, 90 * time.Second, (*Env).steady, false},
		{Overflow, []string{Overflow}, 60 * time.Second, (*Env).overflow, false},
	}
}

// Names are what a filter can choose.
func Names() []string {
	return []string{word(SmallTree), Latency, word(EmptyTree), word(LargeTree), Memory, BurstOne, Steady, Overflow, Idle, Drain}
}

// word is a scenario's name as a filter has it.
func word(name string) string { return strings.ReplaceAll(name, " ", "-") }

// WantsOf makes a filter of words: without any, everything is wanted.
func WantsOf(words []string) (func(scenario string) bool, error) {
	for _, w := range words {
		if !slices.Contains(Names(), w) {
			return nil, fmt.Errorf("scenario %q: not one of %s", w, strings.Join(Names(), ", "))
		}
	}
	return func(scenario string) bool { return len(words) == 0 || slices.Contains(words, word(scenario)) }, nil
}

// Run runs everything that is wanted, n times: the first repetition of all
// daemons, then the second of all, in the opposite order. A daemon that fails in
// a scenario is marked and not tried there again, so that one that is broken
// costs the run one time limit each.
func (e *Env) Run(ctx context.Context, n int) error {
	failed := map[string]bool{}
	for rep := 1; rep <= n; rep++ {
		e.Say("repetition %d of %d", rep, n)
		if err := e.allFloors(ctx, rep); err != nil {
			return err
		}
		kinds := slices.Clone(e.Kinds)
		if rep%2 == 0 {
			slices.Reverse(kinds)
		}
		for _, s := range steps() {
			if !slices.ContainsFunc(s.parts, e.Wants) {
				continue
			}
			begin := time.Now()
			for _, k := range kinds {
				key := s.name + "/" + k.Name
				if failed[key] || k.Twin != "" && !s.twin {
					continue
				}
				if err := e.try(ctx, s, rep, k); err != nil {
					failed[key] = true
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			e.Results.Spent(s.name, time.Since(begin).Seconds())
		}
	}
	e.perDirectory()
	if !e.Wants(Idle) {
		return nil
	}
	begin := time.Now()
	err := e.idle(ctx, n)
	e.Results.Spent(Idle, time.Since(begin).Seconds())
	return err
}

// try runs one step and marks the daemon when it fails.
func (e *Env) try(ctx context.Context, s step, rep int, k daemon.Kind) error {
	short, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	err := s.run(e, short, rep, k)
	if err != nil && ctx.Err() == nil {
		e.Say("%s %s: failed: %v", s.name, k.Name, err)
		for _, part := range slices.DeleteFunc(slices.Clone(s.parts), func(p string) bool { return !e.Wants(p) }) {
			e.Results.Mark(part, k.Name, rep, "failed", err.Error())
		}
	}
	return err
}

// allFloors measures the floors that need no daemon.
func (e *Env) allFloors(ctx context.Context, rep int) error {
	begin := time.Now()
	defer func() { e.Results.Spent("floors and trees", time.Since(begin).Seconds()) }()
	for _, t := range []struct {
		scenario string
		dirs     int
	}{{SmallTree, e.Scale.SmallDirs}, {LargeTree, e.Scale.LargeDirs}} {
		if e.Wants(t.scenario) {
			if err := e.floors(ctx, rep, t.scenario, t.dirs); err != nil {
				return err
			}
		}
	}
	if e.Wants(Drain) || e.Wants(BurstOne) {
		return e.drain(ctx, rep)
	}
	return nil
}
