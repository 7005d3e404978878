package signature

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, fields ...string) (*Memory, string) {
	t.Helper()
	dir := t.TempDir()
	m, err := Open(dir, fields)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(m.root) })
	return m, dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tell is a job of some paths, and which of them pass.
func (m *Memory) tell(success bool, rels ...string) (passed []string) {
	m.Begin()
	for _, rel := range rels {
		if m.Passes(rel) {
			passed = append(passed, rel)
		}
	}
	if success {
		m.Told()
	}
	return passed
}

// A path passes at first, after that when a chosen field is another, after a failure
// again, and after it was gone.
func TestPasses(t *testing.T) {
	m, dir := open(t, "mode", "size")
	put(t, dir+"/f", "x")
	want := func(what string, passes bool, success bool) {
		t.Helper()
		if got := m.tell(success, "f"); (len(got) == 1) != passes {
			t.Errorf("%s: passes: %v", what, got)
		}
	}
	want("at first", true, false)
	want("it failed", true, true)
	want("it was told", false, true)
	put(t, dir+"/f", "y")
	want("other content of the same size", false, true)
	put(t, dir+"/f", "more")
	want("another size", true, true)
	want("that was told", false, true)
	if err := os.Chmod(dir+"/f", 0o600); err != nil {
		t.Fatal(err)
	}
	want("another mode, and it failed", true, false)
	want("another mode", true, true)
	m.Gone(map[string]bool{"f": true})
	want("it went and came", true, true)
	if err := os.Remove(dir + "/f"); err != nil {
		t.Fatal(err)
	}
	want("it is not there", true, true)
	put(t, dir+"/f", "more")
	if err := os.Chmod(dir+"/f", 0o600); err != nil {
		t.Fatal(err)
	}
	want("it came again", true, true)
}

// Each field is looked at, and none that was not chosen.
func TestEachField(t *testing.T) {
	changes := map[string]func(path string) error{
		"mode":  func(p string) error { return os.Chmod(p, 0o700) },
		"nlink": func(p string) error { return os.Link(p, p+"2") },
		"size":  func(p string) error { return os.WriteFile(p, []byte("longer"), 0o644) },
		"mtime": func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1, 1)) },
		"atime": func(p string) error { return os.Chtimes(p, time.Unix(1, 1), time.Time{}) },
		"ino": func(p string) error {
			return errors.Join(os.WriteFile(p+"3", []byte("x"), 0o644), os.Rename(p+"3", p))
		},
	}
	if os.Geteuid() == 0 {
		changes["uid"] = func(p string) error { return os.Chown(p, 12345, -1) }
		changes["gid"] = func(p string) error { return os.Chown(p, -1, 12345) }
	}
	for name, change := range changes {
		var others []string
		for _, f := range Fields() {
			if f == "dev" || f == "rdev" || f == "blksize" || slices.Contains([]string{"uid", "gid", "mode"}, f) && f != name {
				others = append(others, f)
			}
		}
		for _, fields := range [][]string{{name}, slices.DeleteFunc(others, func(f string) bool { return f == name })} {
			m, dir := open(t, fields...)
			put(t, dir+"/f", "x")
			m.tell(true, "f")
			if err := change(filepath.Join(dir, "f")); err != nil {
				t.Fatal(err)
			}
			if got := m.tell(true, "f"); (len(got) == 1) != (fields[0] == name) {
				t.Errorf("%s changed, and of %v it passes: %v", name, fields, got)
			}
		}
	}
	if _, err := Open(t.TempDir(), []string{"color"}); err == nil {
		t.Error("a field that there is not")
	}
}

// Nothing is looked at through a link: such a path passes each time.
func TestLinks(t *testing.T) {
	m, dir := open(t, "uid")
	other := t.TempDir()
	put(t, other+"/f", "x")
	if err := os.Symlink(other, dir+"/d"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := m.tell(true, "d/f", "../x", "/etc/passwd"); len(got) != 3 {
			t.Errorf("what is behind a link is remembered: %v", got)
		}
	}
	if m.tell(true, "d"); len(m.tell(true, "d")) != 0 {
		t.Error("the link itself passes again")
	}
}

// What is remembered is bounded, and what was forgotten passes.
func TestBounded(t *testing.T) {
	m, dir := open(t, "uid")
	m.limit = 10 * (each + 2)
	for i := range 50 {
		name := fmt.Sprint(i)
		put(t, filepath.Join(dir, name), "")
		if got := m.tell(true, name); len(got) != 1 || len(m.told) > 10 || m.size > m.limit {
			t.Fatalf("%d: %v, %d are remembered, in %d bytes", i, got, len(m.told), m.size)
		}
	}
	var all []string
	for i := range 50 {
		all = append(all, fmt.Sprint(i))
	}
	m.tell(true, all...)
	if len(m.told) > 10 || len(m.pending) > 0 {
		t.Errorf("%d are remembered, %d wait", len(m.told), len(m.pending))
	}
}

// With a directory all that was in it is forgotten, and nothing beside it.
func TestGone(t *testing.T) {
	m, dir := open(t, "uid")
	if err := os.MkdirAll(dir+"/d/deep", 0o755); err != nil {
		t.Fatal(err)
	}
	all := []string{"", "d", "d/deep", "d/deep/f", "d x", "dd"}
	for _, name := range []string{"d/deep/f", "d x", "dd"} {
		put(t, filepath.Join(dir, name), "")
	}
	if got := m.tell(true, all...); !slices.Equal(got, all) {
		t.Fatalf("%q", got)
	}
	m.Gone(map[string]bool{"d": true, "nothing": true})
	if got := m.tell(true, all...); !slices.Equal(got, []string{"d", "d/deep", "d/deep/f"}) {
		t.Errorf("%q", got)
	}
	size := m.size
	m.Forget()
	if got := m.tell(true, all...); !slices.Equal(got, all) || m.size != size {
		t.Errorf("%q, %d bytes, were %d", got, m.size, size)
	}
}
