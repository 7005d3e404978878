package below

import (
	"maps"
	"slices"
	"testing"
)

func TestCutAndMove(t *testing.T) {
	m := map[string]int{"a": 1, "a/b": 2, "ab": 3, "c": 4}
	if places := Move(m, "a", "c/d"); !slices.Equal(slices.Sorted(slices.Values(places)), []string{"c/d", "c/d/b"}) {
		t.Errorf("moved to %q", places)
	}
	if want := map[string]int{"c/d": 1, "c/d/b": 2, "ab": 3, "c": 4}; !maps.Equal(m, want) {
		t.Errorf("%v", m)
	}
	if Cut(m, "c"); !maps.Equal(m, map[string]int{"ab": 3}) {
		t.Errorf("%v", m)
	}
}

func TestCovers(t *testing.T) {
	m := map[string]bool{"a/b": true}
	for rel, want := range map[string]bool{"a/b": true, "a/b/c": true, "a": false, "a/bc": false, "": false} {
		if Covers(m, rel) != want {
			t.Errorf("%q: %t", rel, !want)
		}
	}
	if root := map[string]bool{"": true}; !Covers(root, "a/b") || !Covers(root, "") {
		t.Error("the root is not above all")
	}
}
