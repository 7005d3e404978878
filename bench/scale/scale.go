// Package scale says how much of everything a run does.
//
// Trust: linked into the benchmark only; values.
package scale

import (
	"fmt"
	"time"
)

// Scale is how much of everything a run does.
type Scale struct {
	Name                  string
	SmallDirs, LargeDirs  int
	Latencies             int           // of each kind
	LatencyFor            time.Duration // at most, per repetition
	BurstDirs, BurstFiles int
	SteadyDirs            int
	SteadyFiles           int
	SteadyRate            int
	SteadyFor             time.Duration
	OverflowQueue         int64
	IdleFor               time.Duration
	Settle, Stall         time.Duration // no CPU used: has settled, will do no more
}

// Of knows "small", which proves that the harness works, and "full".
func Of(name string) (Scale, error) {
	switch name {
	case "full":
		return Scale{Name: name, SmallDirs: 10_000, LargeDirs: 100_000, Latencies: 40, LatencyFor: 15 * time.Second,
			BurstDirs: 200, BurstFiles: 20_000, SteadyDirs: 200, SteadyFiles: 10_000, SteadyRate: 2000, SteadyFor: 30 * time.Second,
			OverflowQueue: 1024, IdleFor: time.Minute, Settle: 1200 * time.Millisecond, Stall: 4 * time.Second}, nil
	case "small":
		return Scale{Name: name, SmallDirs: 500, LargeDirs: 3000, Latencies: 5, LatencyFor: 8 * time.Second,
			BurstDirs: 40, BurstFiles: 4000, SteadyDirs: 20, SteadyFiles: 1000, SteadyRate: 500, SteadyFor: 3 * time.Second,
			OverflowQueue: 256, IdleFor: 5 * time.Second, Settle: 1200 * time.Millisecond, Stall: 3 * time.Second}, nil
	}
	return Scale{}, fmt.Errorf("scale %q: neither small nor full", name)
}

// Sizes are the numbers that tables are titled with.
func (s Scale) Sizes() map[string]int {
	return map[string]int{"small tree, directories": s.SmallDirs, "large tree, directories": s.LargeDirs,
		"latency, changes of each kind at most": s.Latencies, "burst, files": s.BurstFiles, "burst, directories": s.BurstDirs,
		"steady, files": s.SteadyFiles, "steady, changes a second": s.SteadyRate, "steady, seconds": int(s.SteadyFor.Seconds()),
		"overflow, max_queued_events": int(s.OverflowQueue), "idle, seconds": int(s.IdleFor.Seconds())}
}
