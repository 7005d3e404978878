package links

import (
	"fmt"
	"slices"
	"testing"
)

// After a walk the names that it did not show are gone, and whoever has a change
// of one of them waiting has heard of it while all names were known.
func TestSweep(t *testing.T) {
	x := New()
	for _, rel := range []string{"a/1", "b/1", "c/1"} {
		x.Set(rel, 7, 3)
	}
	x.Set("a/2", 8, 2)
	x.Set("b/2", 8, 2)
	var told []string
	x.Left = func(rel string, ino uint64) {
		if x.Ino(rel) != ino {
			t.Errorf("%s is no name of %d any more", rel, ino)
		}
		told = append(told, fmt.Sprint(x.Names(ino)))
	}
	x.Walk(true)
	x.Set("b/1", 7, 2) // still there
	x.Set("d/1", 7, 2) // new
	x.Sweep()
	slices.Sort(told)
	want := []string{"[a/1 b/1 c/1 d/1]", "[a/2 b/2]"} // once an inode
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if got := x.Names(7); !slices.Equal(got, []string{"b/1", "d/1"}) || x.Len() != 2 || x.Names(8) != nil || x.Ino("a/1") != 0 {
		t.Errorf("%q, %d names", got, x.Len())
	}
	if len(x.root.kids) != 2 {
		t.Error("ways to nothing are left")
	}
	x.Walk(true)
	x.Sweep()
	if x.Len() != 0 || len(x.inos) != 0 || x.root.kids != nil {
		t.Error("not empty")
	}
}

// A name that has left an inode is told of once, if that is for all targets; of one
// that was never shared nothing is known.
func TestParted(t *testing.T) {
	x := New()
	x.Share("a", 1)
	x.Share("b", 1)
	for i, step := range []struct {
		all  bool
		rel  string
		ino  uint64
		want bool
	}{{true, "a", 1, false}, {false, "a", 2, true}, {true, "a", 2, true}, {true, "a", 2, false}, {true, "b", 1, false}, {true, "c", 3, false}} {
		x.Walk(step.all)
		if got := x.Parted(step.rel, step.ino); got != step.want {
			t.Errorf("step %d: %+v: %v", i, step, got)
		}
		if step.rel != "c" && !x.Shared(step.rel) {
			t.Errorf("step %d: %s is forgotten", i, step.rel)
		}
	}
}
