package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	r := results{Events: 1000, Dirs: 100, Decoded: []decoded{
		{Decoder: floorName, Events: 1000, Nanos: 2000}, {Decoder: "inotify", Events: 1000, Nanos: 9000},
		{Decoder: floorName, Events: 1000, Nanos: 3000}, {Decoder: "inotify", Events: 1000, Nanos: 3000, Allocations: 1},
	}, Watched: []watched{{Watcher: floorName, Seconds: 2, Kernel: 11_000}, {Watcher: "lockstep", Seconds: 3, Empty: 5e6, User: 9500, Engine: 7000}}}
	got := r.table()
	for _, want := range []string{
		"| C program |  | 500000000 | 2 | 1.00 | 0.000000 |", "| inotify |  | 333333333 | 3 | 1.50 | 0.001000 |",
		"| C program | 2.00 | 1.00 | 0.00 | 0.0 | 0 | 0 | 110 |", "| lockstep | 3.00 | 1.50 | 0.00 | 5.0 | 95 | 70 | 0 |",
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
