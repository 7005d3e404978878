package arrivals

import (
	"fmt"
	"slices"
	"testing"

	"lockstep/worker/listing"
)

func rels(walks []listing.Walk) (all []string) {
	for _, w := range walks {
		all = append(all, w.Rel)
	}
	return all
}

// An answer counts until its place is wanted anew, or forgotten.
func TestWhatCounts(t *testing.T) {
	w := New()
	for _, rel := range []string{"a", "a/b", "ab", "c"} {
		w.Want(rel)
	}
	asked := w.Next(3)
	if got := rels(asked); !slices.Equal(got, []string{"a", "a/b", "ab"}) {
		t.Fatalf("asked for %q", got)
	}
	w.Back(asked[2:])
	counts := func(want ...bool) {
		t.Helper()
		for i, walk := range asked {
			if got := w.Counts(walk.Rel, walk.Serial); got != want[i] {
				t.Errorf("an answer about %s counts: %v", walk.Rel, got)
			}
		}
	}
	counts(true, true, true)
	w.Want("a")
	counts(false, true, true)
	if got := rels(w.Next(9)); !slices.Equal(got, []string{"ab", "c", "a"}) {
		t.Errorf("asked for %q", got)
	}
	w.Forget("a")
	if w.Busy("a") || w.Busy("a/b") || !w.Busy("ab") {
		t.Error("what is forgotten is wanted still, or too much is forgotten")
	}
	w.Clear()
	counts(false, false, false)
	if !w.Idle() || w.Next(9) != nil {
		t.Error("something is wanted after Clear")
	}
}

// What was refused is busy until it was listed, and told once.
func TestRefused(t *testing.T) {
	w := New()
	w.Want("a")
	w.Next(1)
	if !w.Fail("a") || !w.Busy("a") || !w.Idle() {
		t.Error("a refusal is no news, or forgotten, or waited for")
	}
	w.Retry()
	if got := rels(w.Next(9)); !slices.Equal(got, []string{"a"}) || w.Fail("a") {
		t.Errorf("tried again: %q", got)
	}
	w.Retry()
	w.Done("a")
	if w.Busy("a") || w.Next(9) != nil {
		t.Error("it was listed, and is wanted still")
	}
}

// Directories that are new, and renamed again and again before they are asked for,
// are kept once each, and asked for in their order.
func TestRenamedAgainAndAgain(t *testing.T) {
	const dirs = 2000
	w := New()
	want := func(at int) {
		for i := range dirs {
			w.Want(fmt.Sprintf("%d/%04d", at, i))
		}
	}
	want(0)
	longest := 0
	for i := range 500 {
		w.Forget(fmt.Sprint(i))
		want(i + 1)
		longest = max(longest, len(w.queue))
	}
	if longest > 3*dirs {
		t.Errorf("%d walks are kept for %d directories", longest, dirs)
	}
	if got := rels(w.Next(2 * dirs)); len(got) != dirs || !slices.IsSorted(got) || got[0] != "500/0000" {
		t.Errorf("%d are asked for", len(got))
	}
}
