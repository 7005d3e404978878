package dnotify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/monitor"
	"lockstep/seccomp"
)

const nobody = 65534

// TestOrdinaryUser: dnotify needs no privilege.
func TestOrdinaryUser(t *testing.T) {
	testenv.NeedRoot(t)
	inChild(t, nobody, "^(TestChanges|TestRenames|TestNewTrees|TestExchange|TestUnreadable|TestChurn)$")
}

func TestConstants(t *testing.T) {
	// struct signalfd_siginfo, as x/sys has it.
	if int(unsafe.Sizeof(unix.SignalfdSiginfo{})) != infoSize || unsafe.Offsetof(unix.SignalfdSiginfo{}.Fd) != atFD ||
		unsafe.Offsetof(unix.SignalfdSiginfo{}.Code) != atCode || unsafe.Offsetof(unix.SignalfdSiginfo{}.Signo) != atSigno {
		t.Error("not the kernel's")
	}
	if notifySignal != seccomp.DnotifySignal || uint32(notifyMask) != uint32(seccomp.DnotifyMask) {
		t.Error("not what the filter allows")
	}
}

func TestChanges(t *testing.T) {
	top := dirs(t, "a/b", "c")
	file := filepath.Join(top, "a/b/file")
	write(t, file)
	r := newRig(t, top)
	defer r.stop()
	r.want("")
	for _, c := range []struct {
		what, want string
		do         func() error
	}{
		{"write", "a/b", func() error { return os.WriteFile(file, []byte("x"), 0o644) }},
		{"append", "a/b", func() error {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		}},
		{"truncate", "a/b", func() error { return os.Truncate(file, 0) }},
		{"mode", "a/b", func() error { return os.Chmod(file, 0o600) }},
		{"times", "a/b", func() error { return os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)) }},
		{"xattr", "a/b", func() error {
			err := unix.Setxattr(file, "user.x", []byte("y"), 0)
			if errors.Is(err, unix.ENOTSUP) {
				return os.Chmod(file, 0o644)
			}
			return err
		}},
		{"create", "c", func() error { return os.WriteFile(filepath.Join(top, "c/new"), nil, 0o644) }},
		{"hard link", "c", func() error { return os.Link(file, filepath.Join(top, "c/link")) }},
		{"symbolic link", ".", func() error { return os.Symlink("a", filepath.Join(top, "l")) }},
		{"fifo", "c", func() error { return unix.Mkfifo(filepath.Join(top, "c/fifo"), 0o644) }},
		{"rename in one directory", "c", func() error { return os.Rename(filepath.Join(top, "c/new"), filepath.Join(top, "c/old")) }},
		{"rename to another", "a c", func() error { return os.Rename(filepath.Join(top, "c/old"), filepath.Join(top, "a/old")) }},
		{"delete", "a", func() error { return os.Remove(filepath.Join(top, "a/old")) }},
		{"mode of a directory", ". c", func() error { return os.Chmod(filepath.Join(top, "c"), 0o700) }},
		{"mode of the root", ".", func() error { return os.Chmod(top, 0o755) }},
		{"reading", "", func() error { _, err := os.ReadFile(file); return err }},
		{"nothing", "", func() error { return nil }},
	} {
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if got := r.changed(); got != c.want {
			t.Errorf("%s: told %q, want %q", c.what, got, c.want)
		}
	}
}

func TestNewTrees(t *testing.T) {
	top := dirs(t, "a")
	r := newRig(t, top)
	defer r.stop()
	r.want("")
	must(t, os.MkdirAll(filepath.Join(top, "a/x/y/z"), 0o755))
	r.want("a a/x a/x/y a/x/y/z")
	write(t, filepath.Join(top, "a/x/y/z/file"))
	r.want("a/x/y/z")
	must(t, os.RemoveAll(filepath.Join(top, "a/x")))
	r.least("a")
	must(t, os.MkdirAll(filepath.Join(top, "a/x/y"), 0o755)) // the same names at once
	r.want("a a/x a/x/y")
	write(t, filepath.Join(top, "a/x/y/file"))
	r.want("a/x/y")
	r.sync(func(e monitor.PathEvent) { t.Errorf("%v %s", e.Mask, e.Dir) })
}

func TestRenames(t *testing.T) {
	top := dirs(t, "a/x/deep/deeper", "b")
	in := func(p string) string { return filepath.Join(top, p) }
	r := newRig(t, top)
	r.want("")
	must(t, os.Rename(in("a/x"), in("a/y")))
	r.want("a a/y a/y/deep a/y/deep/deeper")
	must(t, os.Rename(in("a/y"), in("b/z")))
	r.want("a b b/z b/z/deep b/z/deep/deeper")
	write(t, in("b/z/deep/deeper/file"))
	r.want("b/z/deep/deeper")

	// Changed, then moved, before anybody looks: it is told by its new path.
	write(t, in("b/z/deep/file"))
	must(t, os.Rename(in("b"), in("a/b")))
	r.least(". a a/b a/b/z a/b/z/deep a/b/z/deep/deeper")

	// What was below is above: a/b/z goes up, and a goes into it.
	must(t, os.Rename(in("a/b/z"), in("z")), os.Rename(in("a"), in("z/a")))
	r.least(". z z/a z/a/b z/deep z/deep/deeper")
	write(t, in("z/a/b/file"))
	r.want("z/a/b")

	// Out of the root, and another one with its name.
	out := t.TempDir()
	must(t, os.Rename(in("z/deep"), filepath.Join(out, "deep")), os.Mkdir(in("z/deep"), 0o755))
	r.least("z z/deep")
	write(t, filepath.Join(out, "deep/deeper/file"))
	r.want("")
	must(t, os.Rename(filepath.Join(out, "deep"), in("z/deep/back")))
	r.want("z/deep z/deep/back z/deep/back/deeper")
	r.stop()
	if s := r.m.stats; s.Moves < 3 || s.Overflows != 0 {
		t.Errorf("%+v", s)
	}
	if want := 7; r.m.tree.count != want || len(r.m.places[0].byID) != want {
		t.Errorf("%d directories, %d known, %d are there", r.m.tree.count, len(r.m.places[0].byID), want)
	}
}

func TestExchange(t *testing.T) {
	top := dirs(t, "a/one", "b/two")
	in := func(p string) string { return filepath.Join(top, p) }
	r := newRig(t, top)
	defer r.stop()
	r.want("")
	must(t, unix.Renameat2(unix.AT_FDCWD, in("a"), unix.AT_FDCWD, in("b"), unix.RENAME_EXCHANGE))
	r.want(". a a/two b b/one")
	write(t, in("b/one/file"))
	r.want("b/one")
	must(t, unix.Renameat2(unix.AT_FDCWD, in("a/two"), unix.AT_FDCWD, in("b/one"), unix.RENAME_EXCHANGE))
	r.want("a a/two b b/one")
	write(t, in("b/one/file"))
	r.want("b/one")
}

func TestTwoRoots(t *testing.T) {
	top := dirs(t, "a/below", "b")
	r := newRig(t, top, filepath.Join(top, "a")) // the second lies in the first
	defer r.stop()
	r.want("")
	write(t, filepath.Join(top, "a/below/file"))
	r.want("2:below a/below")
	must(t, os.Rename(filepath.Join(top, "a/below"), filepath.Join(top, "b/below")))
	r.want("2:. a b b/below")
}

// TestUnreadable: a directory that could not be opened is watched from when it
// can.
func TestUnreadable(t *testing.T) {
	top := dirs(t, "a/b")
	must(t, os.Chmod(filepath.Join(top, "a"), 0))
	r := newRig(t, top)
	defer r.stop()
	r.want("")
	must(t, os.Chmod(filepath.Join(top, "a"), 0o755))
	if got := r.changed(); got != ". a a/b" && os.Geteuid() != 0 {
		t.Errorf("told %q", got)
	}
	write(t, filepath.Join(top, "a/b/file"))
	r.want("a/b")
}

// TestLinksAreNotFollowed: only what lies below the root is watched.
func TestLinksAreNotFollowed(t *testing.T) {
	out := dirs(t, "x")
	top := dirs(t, "a")
	must(t, os.Symlink(out, filepath.Join(top, "a/out")))
	r := newRig(t, top)
	r.want("")
	must(t, os.Symlink(out, filepath.Join(top, "out")))
	r.want(".")
	write(t, filepath.Join(out, "x/file"))
	r.want("")
	r.stop()
	if r.m.tree.count != 2 {
		t.Errorf("%d directories", r.m.tree.count)
	}
}

func TestLimit(t *testing.T) {
	if !inChild(t, 0, "^TestLimit$") {
		return
	}
	const files = 200
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}))
	top := t.TempDir()
	for i := range 99 {
		must(t, os.MkdirAll(filepath.Join(top, fmt.Sprintf("d%d/e/f", i)), 0o755))
	}
	r := newRig(t, top)
	var full *FullError
	if err := r.end(); !errors.As(err, &full) || full.Directories != 298 || full.Limit != files || full.Needed() != 298+spare {
		t.Fatalf("%v", err)
	}
	if text := full.Error(); !strings.Contains(text, "298 directories need a limit of 330 open files (RLIMIT_NOFILE), which is 200 here") {
		t.Error(text)
	}

	// It fits, and then it grows.
	must(t, os.RemoveAll(top), os.MkdirAll(filepath.Join(top, "a"), 0o755))
	r = newRig(t, top)
	r.want("")
	for i := range files {
		must(t, os.Mkdir(filepath.Join(top, fmt.Sprintf("a/d%d", i)), 0o755))
	}
	if err := r.end(); !errors.As(err, &full) || full.Directories < files-spare {
		t.Fatalf("%v", err)
	}
	t.Log(full)
}

// TestOverflow: the queue of signals is short, and what did not fit is not lost:
// every root is in doubt, and every new directory is watched.
func TestOverflow(t *testing.T) {
	if !inChild(t, nobody, "^TestOverflow$") {
		return
	}
	must(t, unix.Setrlimit(unix.RLIMIT_SIGPENDING, &unix.Rlimit{Cur: 16, Max: 16}))
	top, other := dirs(t, "a"), dirs(t, "z")
	r := newRig(t, top, other)
	r.want("")
	for round := 0; ; round++ {
		for i := range 300 {
			dir := filepath.Join(top, fmt.Sprintf("a/d%d/%d", round, i))
			must(t, os.MkdirAll(dir, 0o755))
			write(t, filepath.Join(dir, "file"))
		}
		got := r.changed()
		if strings.Contains(got, "2:OVERFLOW") && strings.Contains(got, " OVERFLOW ") {
			break
		}
		if round == 20 {
			t.Fatal("the queue never overflows")
		}
	}
	for i := range 300 {
		write(t, filepath.Join(top, fmt.Sprintf("a/d0/%d/again", i)))
		if got, want := r.changed(), fmt.Sprintf("a/d0/%d", i); got != want {
			t.Fatalf("told %q, want %q", got, want)
		}
	}
	r.stop()
	t.Logf("%+v", r.m.stats)
}

// TestSlowWorker: however long the worker does not read, each directory waits in
// one place.
func TestSlowWorker(t *testing.T) {
	const many, changes = 40, 20_000
	top := t.TempDir()
	for i := range many {
		must(t, os.Mkdir(filepath.Join(top, fmt.Sprintf("%0200d", i)), 0o755))
	}
	r := newRig(t, top)
	r.want("")
	r.records = 0
	for i := range changes {
		write(t, filepath.Join(top, fmt.Sprintf("%0200d/file", i%many)))
	}
	held := map[string]int{}
	r.sync(func(e monitor.PathEvent) { held[string(e.Dir)]++ })
	if len(held) != many {
		t.Errorf("%d directories of %d were told", len(held), many)
	}
	// What the socket holds was told before, the rest once.
	var size int
	size, err := unix.GetsockoptInt(r.worker, unix.SOL_SOCKET, unix.SO_SNDBUF)
	must(t, err)
	if most := size/200 + monitor.PacketSize/200 + many; r.records > most {
		t.Errorf("%d records after %d changes, at most %d expected", r.records, changes, most)
	}
	r.stop()
	if c := cap(r.m.out.items); c > 4*many {
		t.Errorf("the queue grew to %d places for %d directories", c, many)
	}
	t.Logf("%d changes, %d signals, %d records in %d packets", changes, r.m.stats.Signals, r.records, r.packets)
}

func TestViolation(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.want("")
	if _, err := unix.Write(r.worker, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := r.end(); err == nil || !strings.Contains(err.Error(), "violation") {
		t.Errorf("%v", err)
	}
}

// TestQuiet: without a change nothing is sent; the first one after it waits for
// nothing.
func TestQuiet(t *testing.T) {
	top := dirs(t, "a")
	r := newRig(t, top)
	defer r.stop()
	r.want("")
	began := time.Now()
	write(t, filepath.Join(top, "a/file"))
	r.packet(func(e monitor.PathEvent) {
		if e.Mask != monitor.Changed || string(e.Dir) != "a" {
			t.Errorf("%v %s", e.Mask, e.Dir)
		}
	})
	t.Logf("told after %v", time.Since(began))
}
