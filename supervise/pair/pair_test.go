package pair

import (
	"path/filepath"
	"testing"

	"lockstep/config"
	"lockstep/internal/testenv"
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

func with(store *rootid.Store, cfg config.Config) *Pair { return &Pair{cfg: cfg, store: store} }
