package rootid

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

func TestInner(t *testing.T) {
	m := parse(t, table+"29 22 8:9 /r /srv/www/in\\040side rw - ext4 /dev/x rw\n")
	if got := m.Inner("/srv/www"); !slices.Equal(got, []Inner{{Rel: "in side", Number: 29, Dev: "8:9", Root: "/r"}}) {
		t.Errorf("%+v", got)
	}
	for _, dir := range []string{"/", "/srv", "/over"} {
		if got := rels(m.Inner(dir)); !slices.Equal(got, m.Inside(dir)) {
			t.Errorf("%s: %q, want %q", dir, got, m.Inside(dir))
		}
	}
}

func TestTangle(t *testing.T) {
	const base = "1 1 8:1 / / rw - ext4 a rw\n2 1 8:2 / /d rw - ext4 b rw\n"
	for _, c := range []struct {
		line, want string
		always     bool
	}{
		{"3 2 8:1 /s /d/t/in rw - ext4 a rw", "inside the target is the source", true},
		{"3 2 8:1 /s/sub /d/t/in rw - ext4 a rw", "inside the target is the source", true},
		{"3 2 8:1 / /d/t/in rw - ext4 a rw", "inside the target is the source", true},
		{"3 2 8:1 /other /d/t/in rw - ext4 a rw", "", false},
		{"3 1 8:2 /t /s/in rw - ext4 b rw", "inside the source is the target", false},
		{"3 1 8:2 /t/sub /s/in rw - ext4 b rw", "inside the source is the target", false},
		{"3 1 8:2 /tt /s/in rw - ext4 b rw", "", false},
		{"3 1 8:3 / /s/in rw - ext4 c rw", "", false},
	} {
		m := parse(t, base+c.line+"\n")
		for _, cross := range []bool{true, false} {
			got := m.Tangle("/s", "/d/t", cross)
			wanted := c.want != "" && (cross || c.always)
			if (got != "") != wanted || !strings.Contains(got, c.want) && wanted {
				t.Errorf("%s, cross %v: %q", c.line, cross, got)
			}
		}
	}
}

func TestGrow(t *testing.T) {
	disk, empty := Identity{Magic: 1, FSID: "a"}, Identity{Magic: 1, FSID: "b"}
	look := func(ins ...Inner) Roots { return Roots{CrossMounts: true, InSource: ins} }
	var st State
	if st.Grow(Roots{InSource: []Inner{{Rel: "x"}}}) {
		t.Error("what is not copied is remembered")
	}
	if !st.Grow(look(Inner{Rel: "x"})) || st.Grow(look()) || st.Grow(look(Inner{Rel: "x"})) || len(st.Mounts) != 1 {
		t.Errorf("%+v", st.Mounts)
	}
	older := st
	if !st.Grow(look(Inner{Rel: "x", Identity: disk}, Inner{Rel: "y", Identity: disk})) || len(st.Mounts) != 2 || older.Mounts[0].Identity == disk {
		t.Errorf("%+v, before %+v", st.Mounts, older.Mounts)
	}
	if st.Grow(look(Inner{Rel: "x", Identity: empty})) {
		t.Error("another disk took the place of the one that was copied")
	}
	for want, now := range map[string]Roots{
		"":                           look(Inner{Rel: "x", Identity: disk}, Inner{Rel: "y", Identity: disk, Number: 9}),
		"x is not mounted any more":  look(Inner{Rel: "y", Identity: disk}),
		"y is not what was mounted":  look(Inner{Rel: "x", Identity: disk}, Inner{Rel: "y", Identity: empty}),
		"it cannot be read any more": look(Inner{Rel: "x"}, Inner{Rel: "y", Identity: disk}),
		"a tangle":                   {Tangle: "a tangle"},
	} {
		if got := st.Check(now); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := st.Check(Roots{InSource: []Inner{{Rel: "x"}, {Rel: "y"}}}); got != "" {
		t.Errorf("what is left out is compared: %q", got)
	}
}

// An exchange at one path, of one tmpfs for another, and one mounted over.
func TestLookSeesExchange(t *testing.T) {
	testenv.NeedRoot(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	src, dst := filepath.Join(dir, "s"), filepath.Join(dir, "t")
	for _, d := range []string{src, dst, src + "/in", dst + "/in"} {
		mkdir(t, d)
	}
	mount := func(point string) {
		t.Helper()
		if err := unix.Mount("none", point, "tmpfs", 0, "size=4k"); err != nil {
			t.Fatal(err)
		}
	}
	umount := func(point string) {
		t.Helper()
		if err := unix.Unmount(point, 0); err != nil {
			t.Fatal(err)
		}
	}
	look := func() Roots {
		t.Helper()
		r, err := Look(src, dst, true)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, point := range []string{src + "/in", dst + "/in"} {
		mount(point)
		first := look()
		var st State
		st.SourceID, st.TargetID = first.Source, first.Target
		st.Grow(first)
		if again := look(); !first.Same(again) || st.Check(again) != "" {
			t.Errorf("%s: differs from itself: %+v %+v", point, first, again)
		}
		umount(point)
		mount(point)
		if now := look(); first.Same(now) || (st.Check(now) != "") != (point == src+"/in") {
			t.Errorf("%s: exchanged: %+v %+v %q", point, first, now, st.Check(now))
		}
		second := look()
		mount(point)
		if now := look(); second.Same(now) {
			t.Errorf("%s: mounted over: %+v %+v", point, second, now)
		}
		umount(point)
		umount(point)
	}
}

// A bind of one file, or of a pipe, is a mount too, and nobody waits for it.
func TestLookAtFiles(t *testing.T) {
	testenv.NeedRoot(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, pipe, dir} {
		id, err := readAny(path)
		if err != nil || id.Ino == 0 || id.FSID == "" {
			t.Errorf("%s: %+v %v", path, id, err)
		}
	}
	if id, err := readAny(dir + "/none"); err == nil {
		t.Errorf("%+v", id)
	}
}

func TestSaveRefusesWhatLoadWould(t *testing.T) {
	testenv.NeedRoot(t)
	s, err := OpenStore(filepath.Join(t.TempDir(), "state"), "/a", "/b")
	if err != nil {
		t.Fatal(err)
	}
	small := State{Source: "/a", Target: "/b", Entries: 3}
	if err := s.Save(small); err != nil {
		t.Fatal(err)
	}
	big := small
	for i := range 10000 {
		big.Mounts = append(big.Mounts, Inner{Rel: fmt.Sprint(i), Identity: Identity{FSID: "0011223344556677"}})
	}
	if err := s.Save(big); err == nil || !strings.Contains(err.Error(), "--cross-mounts") {
		t.Errorf("%v", err)
	}
	big.Mounts = big.Mounts[:4000]
	if err := s.Save(big); err != nil {
		t.Errorf("4000 mounts: %v", err)
	}
	if got, ok, err := s.Load(); err != nil || !ok || len(got.Mounts) != 4000 {
		t.Errorf("%v %v", ok, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
