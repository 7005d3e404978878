package told

import (
	"slices"
	"strings"
	"testing"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/ipc/settings"
)

// Of a directory that came there is one call for it and all that is in it, before all
// others; of what is not in one, nothing is missing; and the whole source is one call.
func TestTellWholes(t *testing.T) {
	const came, here = handler.FoundDir, handler.MaskDir | handler.MaskAttrib
	changed := list(
		handler.Told{Path: "a", Mask: 8}, handler.Told{Path: "n", Mask: came}, handler.Told{Path: "n x", Mask: 256}, handler.Told{Path: "n/deep", Mask: came},
		handler.Told{Path: "n/deep/f", Mask: 264}, handler.Told{Path: "n/f", Mask: 264}, handler.Told{Path: "d", Mask: here}, handler.Told{Path: "d/new", Mask: 256},
		handler.Told{Path: "again", Mask: came | handler.MaskDelete}, handler.Told{Path: "again/f", Mask: 256}, handler.Told{Path: "gone", Mask: handler.MaskDelete | handler.MaskDir}, handler.Told{Path: "gonex", Mask: 8})
	const running = " CLSYNC_STATUS=running CLSYNC_ITERATION=0"
	for _, c := range []struct{ mode, list, pass string }{
		{"shell", "/h|initsync|/w/again" + running + "\n/h|initsync|/w/n" + running +
			"\n/h|synclist|lab|{sync lab 8 a\nsync lab 1073741828 d\nsync lab 256 d/new\nsync lab 1073742336 gone\nsync lab 8 gonex\nsync lab 256 n x\n}" + running,
			"/h|initsync|/w CLSYNC_STATUS=initsync CLSYNC_ITERATION=1"},
		{"direct", "/h|initsync|/w/again" + running + "\n/h|initsync|/w/n" + running + "\n/h|a|d|d/new|gone|gonex|n x|/to/" + running,
			"/h|initsync|/w CLSYNC_STATUS=initsync CLSYNC_ITERATION=1"},
	} {
		b := make1(t, c.mode, func(h *settings.Handler) { h.Recursive, h.ForWhole = true, []string{"initsync", "%INCLUDE-LIST%"} })
		if got, left, err := b.tell(ipc.JobList, changed); err != nil || len(left) > 0 || got != c.list {
			t.Errorf("%s: %v %v\ngot  %q\nwant %q", c.mode, err, left, got, c.list)
		}
		// A socket or a mount, which lists would leave out, does not divide the pass.
		if got, _, err := b.tell(ipc.JobInitial, rule("- /left")); err != nil || got != c.pass {
			t.Errorf("%s: %v\ngot  %q\nwant %q", c.mode, err, got, c.pass)
		}
	}
	b := make1(t, "so", func(h *settings.Handler) { h.Recursive = true })
	if got := b.functions(ipc.JobList, list(handler.Told{Path: "n", Mask: came}, handler.Told{Path: "n/f", Mask: 8})); !slices.Equal(got, []string{`running 0|"` + b.source + `/n" 1073742080 3`}) {
		t.Errorf("%q", got)
	}
}

// Words of such a call that nobody gave are clsync's; without the wish there is none.
func TestTellWholesByDefault(t *testing.T) {
	one := list(handler.Told{Path: "n", Mask: handler.FoundDir}, handler.Told{Path: "n/f", Mask: 256})
	for mode, want := range map[string]string{"shell": "/h|initialsync|lab|/w/n ", "direct": "/h|/w/n|/to/ "} {
		got, _, err := make1(t, mode, func(h *settings.Handler) { h.Recursive = true }).tell(ipc.JobList, one)
		if err != nil || !strings.HasPrefix(got, want) || strings.Contains(got, "n/f") {
			t.Errorf("%s: %v %q", mode, err, got)
		}
		if got, _, err = make1(t, mode, nil).tell(ipc.JobList, one); err != nil || !strings.Contains(got, "n/f") {
			t.Errorf("%s: %v %q", mode, err, got)
		}
	}
	got, _, err := make1(t, "shell", func(h *settings.Handler) { h.Simplify = true }).tell(ipc.JobList, one)
	if err != nil || !strings.HasPrefix(got, "/h|synclist|lab|{n\nn/f\n} ") {
		t.Errorf("%v %q", err, got)
	}
}
