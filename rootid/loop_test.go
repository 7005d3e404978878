package rootid

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// loop mounts a fresh ext4 on dir and returns the functions that unmount and
// mount it again.
func loop(t *testing.T, dir string) (umount, mount func()) {
	t.Helper()
	testenv.NeedRoot(t)
	mkfs, mnt := testenv.NeedTool(t, "mkfs.ext4"), testenv.NeedTool(t, "mount")
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		testenv.Lacks(t, "this test needs loop devices")
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 8<<20); err != nil {
		t.Fatal(err)
	}
	run(t, mkfs, "-q", "-F", image)
	mounted := false
	mount = func() {
		t.Helper()
		run(t, mnt, "-o", "loop", image, dir)
		mounted = true
	}
	umount = func() {
		t.Helper()
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatalf("umount %s: %v", dir, err)
		}
		mounted = false
	}
	t.Cleanup(func() {
		if mounted {
			umount()
		}
	})
	mount()
	return umount, mount
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
}

func TestUnmountedAndMountedAgain(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	mkdir(t, root)
	below := identity(t, root)
	umount, mount := loop(t, root)

	first := identity(t, root)
	state := State{Source: root, Target: root, SourceID: first, TargetID: first}
	umount()
	if now := identity(t, root); !now.Same(below) || first.Same(now) || state.Check(Roots{Source: now, Target: first}) == "" || state.Check(Roots{Source: first, Target: now}) == "" {
		t.Errorf("the unmount was not seen: %+v then %+v", first, now)
	}
	state.SourcePoint = true
	if gone, err := Look(root, dir, false); err != nil || state.Check(gone) != root+" is not mounted" {
		t.Errorf("%q %v", state.Check(gone), err)
	}
	mount()
	if back, err := Look(root, root, false); err != nil || !back.SourcePoint || state.Check(back) != "" {
		t.Errorf("%q %v", state.Check(back), err)
	}
	now := identity(t, root)
	if diff := state.Check(Roots{Source: now, Target: now}); diff != "" {
		t.Errorf("mounted again, it is another: %s", diff)
	}
	if first.Same(now) {
		t.Error("another mount of the same disk counts as the same mount: the jail would keep the old one")
	}
}

// Nothing that rootid does may hold a file system: it must be unmountable at
// any time.
func TestNothingIsHeld(t *testing.T) {
	root := t.TempDir()
	umount, _ := loop(t, root)
	w, err := Watch()
	if err != nil {
		t.Fatal(err)
	}
	identity(t, root)
	if m, err := ReadMounts(); err != nil || len(m.Inside(filepath.Dir(root))) == 0 {
		t.Errorf("the mount is not in the table: %v", err)
	}
	umount()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestWatcherSeesMounts(t *testing.T) {
	testenv.NeedRoot(t)
	w, err := Watch()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mkdir(t, filepath.Join(dir, "a b"))
	point := filepath.Join(dir, "a b")
	if err := unix.Mount("none", point, "tmpfs", 0, "size=4k"); err != nil {
		t.Fatal(err)
	}
	changed(t, w)
	m, err := ReadMounts()
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Inside(dir); !slices.Equal(got, []string{"a b"}) {
		t.Errorf("inside: %q", got)
	}
	if on, ok := m.Of(point + "/x"); !ok || on.Type != "tmpfs" {
		t.Errorf("%+v", on)
	}
	if err := unix.Unmount(point, 0); err != nil {
		t.Fatal(err)
	}
	for {
		changed(t, w)
		m, err := ReadMounts()
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Inside(dir)) == 0 {
			break
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for range w.Changed { // closed by now, perhaps with one value left
	}
}

func changed(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case <-w.Changed:
	case <-time.After(10 * time.Second):
		t.Fatal("a change of the mount table was not told")
	}
}

func TestStore(t *testing.T) {
	testenv.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "state")
	s, err := OpenStore(dir, "/a", "/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Load(); ok || err != nil {
		t.Fatalf("an empty store has state: %v %v", ok, err)
	}
	want := State{Source: "/a", Target: "/b", SourceID: Identity{UUID: "u", FSID: "f", Magic: 1, Ino: 2}, Mounts: []Inner{{Rel: "in"}}, Entries: 7}
	for range 2 { // the second replaces the first
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
	}
	got, ok, err := s.Load()
	want.Version = stateVersion
	if err != nil || !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v %v", got, ok, err)
	}
	names, err := filepath.Glob(dir + "/*")
	if err != nil || len(names) != 1 {
		t.Errorf("left in the directory: %q %v", names, err)
	}
	if got.Check(Roots{Source: got.SourceID, Target: got.TargetID, InSource: []Inner{{Rel: "in"}}}) != "" || got.Check(Roots{Source: got.SourceID, Target: got.TargetID}) == "" {
		t.Error("a mount inside the source that is gone was not seen")
	}
	if err := os.WriteFile(s.Path(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("damage: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStoreRefuses(t *testing.T) {
	testenv.NeedRoot(t)
	dir := t.TempDir()
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"open":  {func(p string) error { return os.Mkdir(p, 0o755) }, "chmod 0700"},
		"owner": {func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, 12345, 0)) }, "chown root"},
		"file":  {func(p string) error { return os.WriteFile(p, nil, 0o600) }, "cannot be opened"},
		"link":  {func(p string) error { return os.Symlink(t.TempDir(), p) }, "cannot be opened"},
	} {
		path := filepath.Join(dir, name)
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenStore(path, "/a", "/b"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
}
