package subtree

import (
	"maps"
	"testing"
)

func TestSubtree(t *testing.T) {
	made := func() map[string]int { return map[string]int{"a": 1, "a/b": 2, "a/b/c": 3, "ab": 4, "d": 5} }
	for name, c := range map[string]struct {
		do   func(m map[string]int)
		want map[string]int
	}{
		"cut":            {func(m map[string]int) { Cut(m, "a") }, map[string]int{"ab": 4, "d": 5}},
		"cut all":        {func(m map[string]int) { Cut(m, "") }, map[string]int{}},
		"cut nothing":    {func(m map[string]int) { Cut(m, "b") }, made()},
		"move":           {func(m map[string]int) { Move(m, "a/b", "e") }, map[string]int{"a": 1, "e": 2, "e/c": 3, "ab": 4, "d": 5}},
		"move into":      {func(m map[string]int) { Move(m, "a", "d/a") }, map[string]int{"d/a": 1, "d/a/b": 2, "d/a/b/c": 3, "ab": 4, "d": 5}},
		"move by itself": {func(m map[string]int) { Move(m, "a", "aa") }, map[string]int{"aa": 1, "aa/b": 2, "aa/b/c": 3, "ab": 4, "d": 5}},
	} {
		m := made()
		if c.do(m); !maps.Equal(m, c.want) {
			t.Errorf("%s: %v", name, m)
		}
	}
	for path, want := range map[string]bool{"a": true, "a/x": true, "ab": true, "abc": false, "": false, "x": false} {
		if Any(made(), path) != want {
			t.Errorf("%q: not %t", path, want)
		}
	}
	if !Any(map[string]bool{"": true}, "x") {
		t.Error("nothing is below the root")
	}
}
