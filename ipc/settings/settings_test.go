package settings

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/wire"
)

func worker() Worker {
	return Worker{Syncs: []Sync{{
		Root: 1, Targets: []ipc.TargetID{1, 2}, Exclude: []string{"*.tmp", "/x/"}, Mounts: []string{"a/b"}, Devices: true,
		Delay: 1, MaxDelay: 2, BigSize: 3, BigDelay: 4, RetryMin: 5, RetryMax: 6, Once: true,
		Delete: DeleteNever, FullSyncEvery: time.Hour,
		SkipFirst: true, VerifyEvery: 7, UnwatchedEvery: 8, WatchLimit: 9,
	}, {Root: 2}}}
}

func runner() Runner {
	c := Runner{
		Build: "id", Program: "/usr/bin/rsync", ProgDev: 1, ProgIno: 2, Source: "/s", Target: "/t",
		Env: []string{"A=b", ""}, Probe: []string{"p"}, Later: []string{"l"}, MaxDeletePercent: 50, MaxDeleteEntries: 1000, Entries: 77, Split: 2, Fold: true,
		Handler: Handler{Mode: "so", Arguments: []string{"a"}, Label: "l", Destination: "/t", PID: 3, Lists: "/x", Ignore: "\x17", Excludes: []string{"- *"}, Module: Module{Path: "/m.so", Dev: 4, Ino: 5}},
		Accept:  true, Witness: true, ShowOutput: true, Timeout: time.Hour, Grace: time.Second,
	}
	for i := range c.Argv {
		c.Argv[i] = []string{"rsync", fmt.Sprint(i)}
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	w, r := worker(), runner()
	b, err := wire.Append(nil, &w)
	if got, e := wire.Decode[Worker](b); err != nil || e != nil || !reflect.DeepEqual(got, w) {
		t.Errorf("%v %v %+v", err, e, got)
	}
	if _, e := wire.Decode[Worker](append(b, 0)); e == nil {
		t.Error("a trailing byte was taken")
	}
	b, err = wire.Append(nil, &r)
	if got, e := wire.Decode[Runner](b); err != nil || e != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%v %v %+v", err, e, got)
	}
	if _, e := wire.Decode[Runner](append(b, 0)); e == nil {
		t.Error("a trailing byte was taken")
	}
}

// TestRefused: what a decoder would refuse is not written either.
func TestRefused(t *testing.T) {
	for name, v := range map[string]wire.Value{
		"no root":         &Worker{Syncs: []Sync{{}}},
		"mount elsewhere": &Worker{Syncs: []Sync{{Root: 1, Mounts: []string{"../a"}}}},
		"negative delay":  &Worker{Syncs: []Sync{{Root: 1, Delay: -1}}},
		"delete":          &Worker{Syncs: []Sync{{Root: 1, Delete: numDeletes}}},
		"long build":      &Runner{Build: strings.Repeat("b", 65)},
		"long program":    &Runner{Program: strings.Repeat("p", maxPath+1)},
		"long word":       &Runner{Env: []string{strings.Repeat("w", maxWord+1)}},
		"negative time":   &Runner{Timeout: -1},
	} {
		if b, err := wire.Append(nil, v); err == nil {
			t.Errorf("%s: written as %d bytes", name, len(b))
		}
	}
}

func FuzzWorker(f *testing.F) {
	w := worker()
	fuzz[Worker](f, &w)
}

func FuzzRunner(f *testing.F) {
	r := runner()
	fuzz[Runner](f, &r)
}

// fuzz gives bytes to a decoder. What it takes, the encoder must turn back into
// the same bytes.
func fuzz[T any, V interface {
	*T
	wire.Value
}](f *testing.F, seed V) {
	b, err := wire.Append(nil, seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := wire.Decode[T, V](b)
		if err != nil {
			return
		}
		if again, err := wire.Append(nil, V(&v)); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%v, %x, was %x", err, again, b)
		}
	})
}
