package told

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/ipc/settings"
)

// A path is told again when a field has changed that was asked for, when the call that
// told it failed, after a whole pass, and when it went and came.
func TestTellChanges(t *testing.T) {
	b := make1(t, "simple", func(h *settings.Handler) { h.Changes = []string{"mode"} })
	file := filepath.Join(b.source, "d/b")
	told := func(what string, want bool, list []byte) {
		t.Helper()
		got, _, err := b.tell(ipc.JobList, list)
		if b.fail == 0 && err != nil || strings.Contains(got, "/w/d/b ") != want {
			t.Errorf("%s: %v %q", what, err, got)
		}
	}
	written := list(handler.Told{Path: "d/b", Mask: handler.MaskWritten})
	b.fail = 1
	told("at first, and it fails", true, written)
	b.fail = 0
	told("again", true, written)
	told("no mode has changed", false, written)
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	told("another mode", true, written)
	told("the same", false, written)
	if b.unsaid != 2 {
		t.Errorf("%d were not told", b.unsaid)
	}
	told("it went, with what was below", false, list(handler.Told{Path: "d", Mask: handler.MaskDelete}))
	told("it came", true, list(handler.Told{Path: "d", Mask: handler.FoundDir}, handler.Told{Path: "d/b", Mask: handler.MaskCreate}))
	told("it came before", false, list(handler.Told{Path: "d/b", Mask: handler.MaskCreate}))
	told("it went and came", true, list(handler.Told{Path: "d/b", Mask: handler.MaskCreate | handler.MaskDelete}))
	if got, _, err := b.tell(ipc.JobInitial, nil); err != nil || !strings.Contains(got, "/w/d/b ") {
		t.Errorf("a whole pass: %v %q", err, got)
	}
	told("after a whole pass", true, written)
	if _, err := New(settings.Handler{Mode: "simple", Lists: t.TempDir(), Changes: []string{"color"}}, "/h", b.source); err == nil {
		t.Error("a field that there is not")
	}
}
