package handler

import (
	"slices"
	"strings"
	"testing"

	"lockstep/ipc"
)

func TestToldThereAndBack(t *testing.T) {
	all := []Told{
		{Path: "", Mask: MaskAttrib | MaskDir}, {Path: "a", Mask: 8}, {Path: "=8", Mask: 0}, {Path: "=8,r", Mask: 1<<32 - 1, Recursive: true},
		{Path: "d/-x\n%%", Mask: MaskDelete}, {Path: strings.Repeat("n", ipc.MaxRel), Mask: 4},
	}
	var list []byte
	for _, one := range all {
		before := len(list)
		if list = AppendTold(list, one); len(list)-before > ToldCost(one.Path) {
			t.Errorf("%+v costs %d, more than was said", one, len(list)-before)
		}
	}
	if err := ipc.CheckList(list); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTold(list)
	if err != nil || !slices.Equal(got, all) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestToldRefuses(t *testing.T) {
	for _, list := range []string{
		"./a\x00", "./=1\x00", "./=1\x00./a", "./a\x00./b\x00", "./=01\x00./a\x00", "./=+1\x00./a\x00", "./=4294967296\x00./a\x00", "./=\x00./a\x00",
		"./=1,x\x00./a\x00", "./=1\x00a\x00", "./=1\x00./\x00", "=1\x00./a\x00", "./=1\x00./a\x00./=2\x00", ".\x00.\x00", "./=1,r,r\x00./a\x00",
	} {
		if got, err := ReadTold([]byte(list)); err == nil {
			t.Errorf("%q is read as %+v", list, got)
		}
	}
}

func FuzzReadTold(f *testing.F) {
	f.Add([]byte("./=8\x00./a\x00./=1073741828,r\x00.\x00"))
	f.Fuzz(func(t *testing.T, list []byte) {
		all, err := ReadTold(list)
		if err != nil {
			return
		}
		var again []byte
		for _, one := range all {
			again = AppendTold(again, one)
		}
		if string(again) != string(list) {
			t.Errorf("%q is written as %q", list, again)
		}
	})
}

// What is gone is deleted by rsync whatever it was, and nothing is permitted that
// a list of paths does not name.
func TestToldEntries(t *testing.T) {
	for _, c := range []struct {
		told Told
		mode Mode
		want Entry
	}{
		{Told{Path: "d", Mask: MaskDelete}, RsyncShell, Entry{Path: "d", Mask: MaskDelete, New: Absent, Content: true}},
		{Told{Path: "d", Mask: MaskDelete}, Shell, Entry{Path: "d", Mask: MaskDelete, New: Absent}},
		{Told{Path: "d", Mask: MaskCreate | MaskDir}, RsyncShell, Entry{Path: "d", Mask: FoundDir, New: Dir}},
		{Told{Path: "again", Mask: MaskDelete | MaskCreate | MaskDir}, Shell, Entry{Path: "again", Mask: 0x40000300, New: Dir}},
		{Told{Path: "was-dir", Mask: MaskCreate, Recursive: true}, RsyncShell, Entry{Path: "was-dir", Mask: 256, New: File, Content: true}},
		{Told{Path: "f", Mask: MaskWritten}, Shell, Entry{Path: "f", Mask: 8, New: File}},
		{Told{Path: "", Mask: MaskAttrib | MaskDir, Recursive: true}, RsyncShell, Entry{Mask: MaskAttrib | MaskDir, New: Dir, Recursive: true}},
	} {
		if got := c.told.Entry(c.mode); got != c.want {
			t.Errorf("%+v in %v: %+v", c.told, c.mode, got)
		}
	}
	m, err := New(Options{Mode: RsyncShell, Path: "/h", Watch: "/w"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Make(Batch{Entries: []Entry{Told{Path: "a/d", Mask: MaskDelete}.Entry(RsyncShell)}})
	if err != nil || len(r.Runs) != 1 || string(r.Runs[0].Lists[0].Content) != "/a\n/a/d\n/a/d/**\n" {
		t.Errorf("%+v %v", r, err)
	}
}

// Rules that are always there come first in each exclude list, and are whole lines.
func TestExcludesAreAlwaysThere(t *testing.T) {
	m, err := New(Options{Mode: RsyncShell, Path: "/h", Watch: "/w", Excludes: []string{"+ /keep.bak", "- *.bak"}})
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string]Batch{
		"+ /keep.bak\n- *.bak\n":             {Entries: []Entry{{Path: "a", Content: true}}},
		"+ /keep.bak\n- *.bak\n/d\n/x.bak\n": {Entries: []Entry{{Recursive: true}}, Rejected: []string{"x.bak", "d"}},
	} {
		r, err := m.Make(b)
		if err != nil || len(r.Runs) != 1 || string(r.Runs[0].Lists[1].Content) != want {
			t.Errorf("%+v %v", r, err)
		}
	}
	for _, bad := range []string{"- a\n+ b", "- a\r", "- \x00"} {
		if _, err := New(Options{Mode: RsyncShell, Path: "/h", Watch: "/w", Excludes: []string{bad}}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
