package console

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/internal/escape"
	"lockstep/ipc/status"
)

// Part is where one of several syncs stands.
type Part struct {
	Name     string
	Report   status.Report
	Expected uint64 // what Report.Walked came to the last time
	Why      string // why nothing runs: held, or waiting to start again
	Ready    bool   // it has been ready, or is held: nobody need wait for it
	Ended    bool
	Leaving  string // in clsync's words, what is done before an end that was asked for
	Paused   bool   // by a person

	Targets []PartTarget // nobody changes what is in it
}

// PartTarget is where one target of a sync stands.
type PartTarget struct {
	Name   string
	Report status.Report
	Why    string // why nothing may be written to it
}

// Target changes what is said of a target (from 1).
func (p *Part) Target(n uint64, change func(*PartTarget)) {
	if n == 0 || n > uint64(len(p.Targets)) {
		return
	}
	p.Targets = slices.Clone(p.Targets)
	change(&p.Targets[n-1])
}

// Begin forgets what was before a start.
func (p *Part) Begin() {
	p.Why, p.Report = "", status.Report{}
	p.Targets = slices.Clone(p.Targets)
	for i := range p.Targets {
		p.Targets[i].Report = status.Report{}
	}
}

// Several is the line about several syncs: how many are in which state, what
// waits in all, and which one is in trouble first.
func Several(parts []Part) string {
	counts := map[string]int{}
	var queue, flight uint64
	trouble := ""
	for _, p := range parts {
		state := StateName(p.Report.State)
		switch {
		case p.Ended:
			state = "ended"
		case p.Why != "":
			state, _, _ = strings.Cut(p.Why, ":")
		}
		counts[state]++
		queue += p.Report.Queue + p.Report.Big
		flight += p.Report.InFlight
		if trouble == "" && (p.Why != "" || p.Report.State == status.StateHeld || p.Report.State == status.StateRetrying) {
			trouble = p.Name + " " + state
		}
	}
	line := []string{fmt.Sprintf("%d syncs", len(parts))}
	// In the order of how much a person wants to know.
	for _, state := range []string{"held", "held back", "ended", "waiting to start again", "retrying", "starting", "walking", "whole sync", "syncing", "in step", "stopping"} {
		if n := counts[state]; n > 0 {
			line = append(line, fmt.Sprintf("%d %s", n, state))
		}
	}
	line = append(line, "queue "+Number(queue), "in flight "+Number(flight))
	if trouble != "" {
		line = append(line, "first: "+escape.Name(trouble))
	}
	return strings.Join(line, " · ")
}
