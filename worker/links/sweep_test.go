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
	x.Walk()
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
	x.Walk()
	x.Sweep()
	if x.Len() != 0 || len(x.inos) != 0 || x.root.kids != nil {
		t.Error("not empty")
	}
}
