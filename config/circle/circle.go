// Package circle finds syncs whose targets lead back to their own sources.
//
// Trust: linked into the supervisor, which is root; pure.
//
// Invariants: each circle is told of once, for the first of its syncs; a sync whose
// target is its own source is none, and somebody else's to refuse.
package circle

import (
	"slices"

	"lockstep/config"
)

// Back returns the sync that leads back to the source of sync i, which is the first of
// the circle, or -1. Directories are of this host; equal says that two are one.
func Back(syncs []config.Sync, i int, equal func(a, b string) bool) int {
	return around(len(syncs), i, func(i, j int) bool {
		source := syncs[j].Source
		return source != "" && slices.ContainsFunc(syncs[i].Targets, func(t config.Target) bool {
			return t.Kind == config.Local && t.Path != "" && equal(t.Path, source)
		})
	})
}

// around is Back, of n syncs; feeds says that a target of sync i is the source of j.
func around(n, i int, feeds func(i, j int) bool) int {
	next := func(of int) (fed []int) {
		for j := i; j < n; j++ {
			if j != of && feeds(of, j) {
				fed = append(fed, j)
			}
		}
		return fed
	}
	seen := make([]bool, n)
	for reached := next(i); len(reached) > 0; {
		j := reached[0]
		reached = reached[1:]
		if seen[j] {
			continue
		}
		seen[j] = true
		fed := next(j)
		if slices.Contains(fed, i) {
			return j
		}
		reached = append(reached, fed...)
	}
	return -1
}
