package fresh

import (
	"slices"
	"testing"

	"lockstep/worker/below"
)

// A name is announced once, by a listing or by an event; after an event has said
// that it is gone, by an event alone.
func TestWhoAnnounces(t *testing.T) {
	d := Dirs{}
	d.Open("d")
	want := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	want("an event of another directory is news", d.Announce("e/x", false), true)
	want("a listing of another directory is none", d.Meet("e/x", false), false)
	want("a listing", d.Meet("d/x", false), true)
	want("a listing has told", d.Listed("d"), true)
	want("the event of it", d.Announce("d/x", false), false)
	want("a directory, where a listing showed a file", d.Differs("d/x", true), true)
	want("gone, as was heard of", d.Withdraw("d/x"), true)
	want("a listing from before that", d.Meet("d/x", false), false)
	want("gone again", d.Withdraw("d/x"), false)
	want("there again", d.Announce("d/x", false), true)
	want("never heard of", d.Silent("d/y"), true)
	want("gone, unheard", d.Withdraw("d/y"), false)
	want("a write to what is gone", d.Unknown("d/y"), false)
	want("below what nobody has heard of", d.Unheard("d/z/a"), true)
	want("the same when it has", d.Announce("d/z", true) && d.Unheard("d/z/a"), false)
}

// What moves keeps what is known of it.
func TestMove(t *testing.T) {
	d := Dirs{}
	for _, rel := range []string{"a", "a/b", "ab"} {
		d.Open(rel)
	}
	d.Meet("a/b/x", false)
	got := below.Move(d, "a", "c")
	if slices.Sort(got); !slices.Equal(got, []string{"c", "c/b"}) || !d.Listed("c/b") || !d.Has("ab") || d.Has("a") {
		t.Errorf("moved to %q", got)
	}
	if below.Cut(d, "c"); len(d) != 1 {
		t.Errorf("left: %v", d)
	}
}
