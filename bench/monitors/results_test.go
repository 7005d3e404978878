package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTable(t *testing.T) {
	r := results{Events: 1000, Dirs: 100, Decoded: []decoded{
		{Decoder: floorName, Events: 1000, Nanos: 2000}, {Decoder: "inotify", Events: 1000, Nanos: 9000},
		{Decoder: floorName, Events: 1000, Nanos: 3000}, {Decoder: "inotify", Events: 1000, Nanos: 3000, Allocations: 1},
		{Decoder: floorName + ", other", Events: 1000, Nanos: 6000}, {Decoder: "other", Events: 1000, Nanos: 9000},
	}, Watched: []watched{
		{Watcher: floorName, Tree: 100, Seconds: 2, Kernel: 11_000},
		{Watcher: "lockstep", Floor: floorName, Tree: 100, Seconds: 3, Empty: 5e6, User: 9500, Engine: 7000},
		{Watcher: "half", Floor: floorName, Tree: 50, Seconds: 3, Note: "there is no room for more"},
		{Watcher: "C, poll", Tree: 100, Seconds: 1, Compare: 0.5, CompareCPU: 0.25},
		{Watcher: "lockstep, poll", Floor: "C, poll", Tree: 100, Seconds: 4, Compare: 2, CompareCPU: 1.5},
		{Watcher: "alone", Floor: "failed", Tree: 100, Seconds: 4},
	}}
	got := r.table()
	for _, want := range []string{
		"| C program |  | 500000000 | 2 | 1.00 | 0.000000 |", "| inotify |  | 333333333 | 3 | 1.50 | 0.001000 |", "| other |  | 111111111 | 9 | 1.50 | 0.000000 |",
		"| C program | 100 | 2.00 | 20000.00 | 1.00 | 0.00 | 0.0 | 0 | 0 | 110 |", "| lockstep | 100 | 3.00 | 30000.00 | 1.50 | 0.00 | 5.0 | 95 | 70 | 0 |",
		"| half | 50 | 3.00 | 60000.00 | 3.00 |", "\nhalf: there is no room for more.\n", "| alone | 100 | 4.00 | 40000.00 | – |",
		"| C, poll | 100 | 0.50 | 1.00 | 0.25 |\n| lockstep, poll | 100 | 2.00 | 4.00 | 1.50 |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestDirectories(t *testing.T) {
	for line, want := range map[string]int64{"watched 17\n": 17, `{"msg":"ready: every directory is watched","dirs":18}`: 18, `{"op":"ready"}`: 0} {
		if got := directories(line); got != want {
			t.Errorf("%s: %d", line, got)
		}
	}
}

// A round is what lies between two pauses; one that is under way is let go by.
func TestRound(t *testing.T) {
	const busy = 10
	used := time.Duration(0)
	at := 0
	took, cpu, err := round(t.Context(), func() time.Duration {
		at++
		if at < 3 || at >= 20 && at < 20+busy {
			used += step
		}
		return used
	})
	if err != nil || cpu != busy*step || took < (busy-2)*step || took > 3*busy*step {
		t.Errorf("%v, %v of CPU: %v", took, cpu, err)
	}
}

// A tree whose directories are to be held open has as many as the limit allows, and
// says why.
func TestOpened(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: before.Cur, Max: before.Max}); err != nil {
			t.Logf("the limit stays raised: %v", err)
		}
	})
	few := tree{path: filepath.Join(t.TempDir(), "src"), dirs: 10}
	if got, err := few.opened(); err != nil || got != few {
		t.Errorf("%+v: %v", got, err)
	}
	limit, why, err := raiseFiles(1 << 40)
	if err != nil || limit < int(before.Max) || why == "" {
		t.Errorf("%d, %q: %v", limit, why, err)
	}
	if above(10_000) != 2 || above(10_001) != 3 {
		t.Errorf("%d, %d", above(10_000), above(10_001))
	}
}
