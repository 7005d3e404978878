package same

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// two are directories with an entry "x" of one kind in both, and the same times.
type two struct {
	t    *testing.T
	dirs [2]string
	fds  [2]int
}

func newTwo(t *testing.T, create func(path string) error) *two {
	w := &two{t: t}
	for i := range w.dirs {
		w.dirs[i] = t.TempDir()
		must(t, create(w.dirs[i]+"/x"))
		for _, path := range []string{w.dirs[i] + "/x", w.dirs[i]} {
			must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 1}, {Sec: 1, Nsec: 7}}, unix.AT_SYMLINK_NOFOLLOW))
		}
		var err error
		w.fds[i], err = unix.Open(w.dirs[i], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		t.Cleanup(func() { must(t, unix.Close(w.fds[i])) })
	}
	return w
}

// same compares the entry, or the directories, in a thread of a crew.
func (w *two) same(attrs Attrs, dir bool) bool {
	w.t.Helper()
	e := &Eye{Attrs: attrs}
	if !e.Roots(w.fds[0], w.fds[1]) {
		testenv.Lacks(w.t, "the temporary directory's file system cannot be compared by descriptors")
	}
	c, err := NewCrew(1)
	must(w.t, err)
	defer c.Close()
	same := false
	must(w.t, c.Run(func(int) {
		if dir {
			same, _ = e.Dirs(w.fds[0], w.fds[1])
			return
		}
		name := []byte("x\x00")
		same = e.Entry(w.fds[0], w.fds[1], name) && (attrs == AttrsNone || e.Attributes(w.fds[0], w.fds[1], name))
	}))
	if _, err := os.Stat("./same_test.go"); err != nil {
		w.t.Errorf("the working directory of all has changed: %v", err)
	}
	return same
}

func file(path string) error { return os.WriteFile(path, []byte("12"), 0o600) }
func link(path string) error { return os.Symlink("to", path) }

// Each thing that a whole pass carries makes a difference, on either side.
func TestEachCounts(t *testing.T) {
	testenv.NeedRoot(t)
	for name, c := range map[string]struct {
		create func(string) error
		change func(path string) error // and put the time back
		attrs  Attrs
		want   bool
	}{
		"nothing":         {file, func(string) error { return nil }, AttrsAll, true},
		"nothing, link":   {link, func(string) error { return nil }, AttrsAll, true},
		"content":         {file, func(p string) error { return os.WriteFile(p, []byte("34"), 0) }, AttrsAll, true}, // as rsync
		"size":            {file, func(p string) error { return os.Truncate(p, 1) }, AttrsNone, false},
		"mode":            {file, func(p string) error { return os.Chmod(p, 0o640) }, AttrsNone, false},
		"owner":           {file, func(p string) error { return os.Chown(p, 1, 0) }, AttrsNone, false},
		"group":           {link, func(p string) error { return os.Lchown(p, 0, 1) }, AttrsNone, false},
		"links":           {file, func(p string) error { return os.Link(p, p+"2") }, AttrsNone, false},
		"target":          {link, func(p string) error { return replace(p, func() error { return os.Symlink("ot", p) }) }, AttrsNone, false},
		"type":            {file, func(p string) error { return replace(p, func() error { return os.Symlink("to", p) }) }, AttrsNone, false},
		"fifo":            {fifo, func(string) error { return nil }, AttrsNone, false},
		"attribute":       {file, func(p string) error { return unix.Setxattr(p, "user.a", []byte("1"), 0) }, AttrsUser, false},
		"unlooked":        {file, func(p string) error { return unix.Setxattr(p, "user.a", []byte("1"), 0) }, AttrsNone, true},
		"trusted":         {file, func(p string) error { return unix.Setxattr(p, "trusted.a", []byte("1"), 0) }, AttrsUser, true},
		"trusted, in all": {file, func(p string) error { return unix.Setxattr(p, "trusted.a", []byte("1"), 0) }, AttrsAll, false},
	} {
		t.Run(name, func(t *testing.T) {
			for side := range 2 {
				w := newTwo(t, c.create)
				must(t, c.change(w.dirs[side]+"/x"))
				must(t, unix.UtimesNanoAt(unix.AT_FDCWD, w.dirs[side]+"/x", []unix.Timespec{{Sec: 1}, {Sec: 1, Nsec: 7}}, unix.AT_SYMLINK_NOFOLLOW))
				if got := w.same(c.attrs, false); got != c.want {
					t.Errorf("side %d: %v", side, got)
				}
			}
		})
	}
}

func fifo(path string) error { return unix.Mkfifo(path, 0o600) }

func replace(path string, with func() error) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return with()
}

func TestNanosecond(t *testing.T) {
	for _, create := range []func(string) error{file, link} {
		w := newTwo(t, create)
		if !w.same(AttrsUser, false) {
			t.Error("not the same before")
		}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, w.dirs[1]+"/x", []unix.Timespec{{Sec: 1}, {Sec: 1, Nsec: 8}}, unix.AT_SYMLINK_NOFOLLOW))
		if w.same(AttrsUser, false) {
			t.Error("a nanosecond was not seen")
		}
	}
}

// Attributes: the same ones in another order, other values, and of directories.
func TestAttributes(t *testing.T) {
	w := newTwo(t, file)
	set := func(side int, name, value string) {
		t.Helper()
		must(t, unix.Setxattr(w.dirs[side]+name, "user."+value[:1], []byte(value), 0))
	}
	for _, at := range []string{"", "/x"} {
		set(0, at, "a1")
		set(0, at, "b2")
		set(1, at, "b2")
		if w.same(AttrsUser, at == "") {
			t.Errorf("%q: one less was not seen", at)
		}
		set(1, at, "a1")
		if !w.same(AttrsUser, at == "") {
			t.Errorf("%q: another order", at)
		}
		set(1, at, "a2")
		if w.same(AttrsUser, at == "") {
			t.Errorf("%q: another value was not seen", at)
		}
	}
}

// What cannot be seen is not the same.
func TestUnknownIsNotTheSame(t *testing.T) {
	w := newTwo(t, file)
	must(t, os.Remove(w.dirs[1]+"/x"))
	if w.same(AttrsNone, false) {
		t.Error("what is not there is the same")
	}
	if (&Eye{}).Roots(-1, w.fds[1]) {
		t.Error("no directory was taken for a root")
	}
	proc, err := unix.Open("/proc/self", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(proc)
	if (&Eye{}).Roots(w.fds[0], proc) {
		t.Error("a file system that is not known was taken")
	}
	e := &Eye{}
	if e.Roots(w.fds[0], w.fds[1]) {
		if _, known := e.Dirs(w.fds[0], proc); known {
			t.Error("another file system is below the same root")
		}
	}
}
