package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lockstep/bench/meter"
)

const (
	pollEvery = 2 * time.Second // so long, at least, is between the beginnings of two comparisons
	step      = 50 * time.Millisecond
	still     = 4               // so many steps with next to no CPU are a pause
	patience  = 5 * time.Minute // for a pause, and for a comparison
)

// comparison measures one, where changes are found by comparing. The C program
// tells; lockstep is looked at: between two rounds it uses no CPU.
func (w *watched) comparison(ctx context.Context, pid int, lines *bufio.Reader) error {
	switch {
	case strings.HasSuffix(w.Watcher, floorName+", poll"):
		said, err := await(lines, "compared")
		if err != nil {
			return err
		}
		var nanos, micros int64
		if _, err := fmt.Sscanf(said, "compared %d %d", &nanos, &micros); err != nil {
			return fmt.Errorf("it said %q: %w", said, err)
		}
		w.Compare, w.CompareCPU = float64(nanos)/1e9, float64(micros)/1e6
	case w.Watcher == "lockstep, poll":
		took, cpu, err := round(ctx, func() time.Duration { return cpuOf(pid) })
		if err != nil {
			return err
		}
		w.Compare, w.CompareCPU = took.Seconds(), cpu.Seconds()
	}
	return nil
}

func cpuOf(pid int) (sum time.Duration) {
	for _, p := range meter.Family(pid) {
		sum += p.CPU
	}
	return sum
}

// sample is what had been used at a time.
type sample struct {
	at  time.Time
	cpu time.Duration
}

var errNoRound = errors.New("no comparison with a pause before and after it was seen")

// round waits for a pause, then for the work between it and the next one.
func round(ctx context.Context, cpu func() time.Duration) (took, used time.Duration, err error) {
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	last := sample{time.Now(), cpu()}
	var begin, end sample // the last sample of the pause before, the first of the one after
	for quiet, working := 0, false; ; {
		select {
		case <-ticker.C:
		case <-limit.C:
			return 0, 0, errNoRound
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
		now := sample{time.Now(), cpu()}
		busy := now.cpu-last.cpu > tickCPU
		switch {
		case busy && quiet >= still && !working:
			working, begin = true, last
			quiet = 0
		case busy:
			quiet = 0
		default:
			if quiet++; quiet == 1 {
				end = now
			}
			if working && quiet >= still {
				return end.at.Sub(begin.at), end.cpu - begin.cpu, nil
			}
		}
		last = now
	}
}

// tickCPU is the least that the kernel tells of, which may be anything's.
const tickCPU = 10 * time.Millisecond
