package pair

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/internal/testenv"
	"lockstep/ipc/status"
	"lockstep/rootid"
)

// What appears inside the source after the first start is remembered before
// anything starts, and missed when it goes; a dry run writes nothing.
func TestRememberMounts(t *testing.T) {
	testenv.NeedRoot(t)
	store, err := rootid.OpenStore(filepath.Join(t.TempDir(), "state"), "/a", "/b")
	if err != nil {
		t.Fatal(err)
	}
	now := rootid.Roots{CrossMounts: true, InSource: []rootid.Inner{{Rel: "disk"}}}
	s := with(store, config.Config{Run: config.Run{DryRun: true}, Sync: config.Sync{CrossMounts: true}})
	if err := s.Grow(now); err != nil {
		t.Fatal(err)
	}
	if _, known, err := store.Load(); known || err != nil {
		t.Errorf("a dry run wrote the state: %v", err)
	}
	s = with(store, config.Config{Sync: config.Sync{CrossMounts: true}})
	if err := s.Grow(now); err != nil {
		t.Fatal(err)
	}
	state, known, err := store.Load()
	if err != nil || !known || len(state.Mounts) != 1 || state.Mounts[0].Rel != "disk" {
		t.Errorf("%+v %v", state, err)
	}
	if why := s.State.Check(rootid.Roots{CrossMounts: true}); why == "" {
		t.Error("the mount that went is not missed")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	// What could not be written is not taken for remembered.
	more := rootid.Roots{CrossMounts: true, InSource: []rootid.Inner{{Rel: "disk"}, {Rel: "other"}}}
	for range 2 {
		if err := s.Grow(more); err == nil {
			t.Error("a state that cannot be saved is no error")
		}
	}
}

// What a start finds to be new, and what a person agrees to, is not written down
// before it is known that the sync can be made.
func TestKeepWritesLast(t *testing.T) {
	testenv.NeedRoot(t)
	base := t.TempDir()
	store, err := rootid.OpenStore(filepath.Join(base, "state"), "/a", "/b")
	if err != nil {
		t.Fatal(err)
	}
	target := config.Target{Kind: config.Local, Path: filepath.Join(base, "dst")}
	source := filepath.Join(base, "src")
	for _, dir := range []string{source, target.Path} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var looker rootid.Looker
	for _, accept := range []bool{false, true} {
		p := with(store, config.Config{Run: config.Run{AcceptRoot: accept}, Sync: config.Sync{Source: source}})
		p.target = target
		before, known, err := store.Load()
		if err != nil || known != accept {
			t.Fatalf("known %v: %v", known, err)
		}
		if accept { // what was remembered is of another directory
			if err := os.Rename(source, source+" of before"); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(source, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if accepted, err := p.Remember(&looker, true); err != nil || (accepted != "") != accept {
			t.Fatalf("accepted %q, %v", accepted, err)
		}
		if now, known, err := store.Load(); err != nil || known != accept || !reflect.DeepEqual(now, before) {
			t.Errorf("accept %v: written down before Keep: %+v %v", accept, now, err)
		}
		if err := p.Keep(); err != nil {
			t.Fatal(err)
		}
		now, known, err := store.Load()
		if err != nil || !known || now.SourceID.Ino != p.State.SourceID.Ino || now.SourceID.Ino == before.SourceID.Ino {
			t.Errorf("accept %v: after Keep %+v, %v %v", accept, now, known, err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	p := with(store, config.Config{})
	p.unwritten = true
	if err := p.Keep(); err == nil {
		t.Error("a state that cannot be saved is no error")
	}
}

func with(store *rootid.Store, cfg config.Config) *Pair { return &Pair{cfg: cfg, store: store} }

// Since when content may differ is what the reports say, if all is in step, and
// outlives the process.
func TestUnsureSince(t *testing.T) {
	testenv.NeedRoot(t)
	store, err := rootid.OpenStore(filepath.Join(t.TempDir(), "state"), "/a", "/b")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const lag = 10 * time.Second
	inStep := status.Report{State: status.StateInStep, LastSync: uint64(100 * time.Second)}
	syncing, never, unwatched, back := inStep, inStep, inStep, inStep
	syncing.State, never.LastSync, unwatched.Unwatched, back.LastSync = status.StateSyncing, 0, 1, uint64(50*time.Second)
	p := with(store, config.Config{})
	p.State.Unsure = 7
	for i, c := range []struct {
		all, own status.Report
		want     uint64
	}{
		{syncing, inStep, 7}, {inStep, syncing, 7}, {inStep, never, 7}, {unwatched, inStep, 7},
		{inStep, inStep, uint64(90 * time.Second)},
		{inStep, back, uint64(40 * time.Second)}, // the clock was set
	} {
		if p.InStep(c.all, c.own, true, lag); p.State.Unsure != c.want {
			t.Errorf("%d: since %d, want %d", i, p.State.Unsure, c.want)
		}
	}
	// A start without a first pass knows nothing of what was there before.
	if p.InStep(inStep, inStep, false, lag); p.State.Unsure != uint64(40*time.Second) {
		t.Errorf("before a pass: since %d", p.State.Unsure)
	}
	now := time.Unix(1000, 0)
	if err := p.Save(now, time.Minute); err != nil {
		t.Fatal(err)
	}
	p.InStep(inStep, inStep, true, lag)
	if err := p.Save(now.Add(59*time.Second), time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, want := range []uint64{uint64(40 * time.Second), uint64(90 * time.Second)} {
		if state, known, err := store.Load(); err != nil || !known || state.Unsure != want {
			t.Errorf("%+v %v %v, want %d", state, known, err, want)
		}
		if err := p.Save(now.Add(time.Minute), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range [][3]uint64{{0, 0, 0}, {0, 5, 5}, {5, 0, 5}, {5, 6, 5}, {6, 5, 5}} {
		p.State.Unsure = c[0]
		if got := p.Unsure(c[1]); got != c[2] {
			t.Errorf("%d and %d: %d", c[0], c[1], got)
		}
	}
	dry := with(store, config.Config{Run: config.Run{DryRun: true}})
	if dry.InStep(inStep, inStep, true, lag); dry.State.Unsure != 0 {
		t.Error("a dry run learns")
	}
}

// A handler without a target is remembered with its source under its name, and is not
// in the way of another, nor of the same one told of another source.
func TestUntargeted(t *testing.T) {
	testenv.NeedRoot(t)
	base := t.TempDir()
	target := config.Target{Kind: config.None}
	at := func(source, handler, name string) config.Config {
		if err := os.MkdirAll(filepath.Join(base, source), 0o755); err != nil {
			t.Fatal(err)
		}
		return config.Config{Service: config.Service{StateDir: filepath.Join(base, "state")},
			Sync: config.Sync{Name: name, Source: filepath.Join(base, source), Mode: "shell", Handler: handler, Targets: []config.Target{target}}}
	}
	if err := os.Mkdir(filepath.Join(base, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	var all []*Pair
	places := map[string]bool{}
	for _, cfg := range []config.Config{at("a", "/h", "x"), at("b", "/h", "x"), at("a", "/i", "x"), at("a", "/h", "y")} {
		p, err := Open(cfg, target, "")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
		places[cfg.Source+p.Place()] = true
		var looker rootid.Looker
		if accepted, err := p.Remember(&looker, true); err != nil || accepted != "" {
			t.Fatalf("%q %v", accepted, err)
		}
		if err := p.Keep(); err != nil {
			t.Fatal(err)
		}
		if now, err := p.Look(&looker); err != nil || !now.Alone || p.Host() != "" || p.State.Check(now) != "" {
			t.Errorf("%+v %v", now, err)
		}
	}
	if len(places) != 4 {
		t.Errorf("places %v", places)
	}
	if _, err := Open(at("a", "/h", "x"), target, ""); err == nil {
		t.Error("one source, handler and name are taken twice")
	}
	for _, p := range all {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
