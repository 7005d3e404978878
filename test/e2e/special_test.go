//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/test/compare"
)

// Sockets and devices are skipped, counted and said; the rest is in step, and
// --once says by its code that something is missing.
func TestSocketsAndDevices(t *testing.T) {
	beside(t)
	m := newMirror(t)
	special := func(dir string) {
		t.Helper()
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		// A path of a socket is short; that of a test's directory is not.
		d, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/socket", d)}); err != nil {
			t.Fatal(err)
		}
		for _, fd := range []int{fd, d} {
			if err := unix.Close(fd); err != nil {
				t.Fatal(err)
			}
		}
		for name, dev := range map[string]uint32{"null": unix.S_IFCHR | 0o666, "disk": unix.S_IFBLK | 0o600} {
			if err := unix.Mknod(dir+"/"+name, dev, int(unix.Mkdev(1, 3))); err != nil {
				t.Fatal(err)
			}
		}
	}
	special(m.src)
	write(t, m.src+"/file", "x")
	m.start().ready()
	if err := os.Mkdir(m.src+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	special(m.src + "/d")
	write(t, m.src+"/d/file", "x")
	m.equal()
	if n := m.inStep(limit).num("skipped"); n != 6 {
		t.Errorf("%d skipped, want 6", n)
	}
	// A device in a file's place: the old file must not stay.
	if err := os.Remove(m.src + "/file"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(m.src+"/file", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.stop()
	if code := m.once("--once"); code != 1 {
		t.Errorf("--once with skipped entries ends with %d, want 1", code)
	}
}

// With --devices they are copied.
func TestDevicesAreCopied(t *testing.T) {
	m := newMirror(t, "--devices")
	m.opts.Skip = func(_ string, kind uint32) bool { return kind == unix.S_IFSOCK }
	if err := unix.Mknod(m.src+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	if err := unix.Mknod(m.src+"/disk", unix.S_IFBLK|0o640, int(unix.Mkdev(7, 5))); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.stop()
}

// A tree deeper than PATH_MAX: what can be named is in step, what cannot is
// counted and said, and nothing is deleted for it.
func TestTooDeep(t *testing.T) {
	beside(t)
	m := newMirror(t)
	write(t, m.src+"/file", "x")
	deep(t, m.src, 40)
	tooLong := func(rel string, kind uint32) bool { return len(rel) > 3500 || unmirrored(rel, kind) }
	m.opts.Skip = tooLong
	// Directories change their times by what they hold, which is cut off here.
	m.start()
	m.await(0, "word of the paths that are too long", limit, says("too long", "too deep", "PATH_MAX"))
	m.ready()
	write(t, m.src+"/file", "other")
	if err := os.Mkdir(m.src+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	deep(t, m.src+"/d", 40)
	write(t, m.src+"/last", "x")
	m.equal()
	if m.inStep(limit).num("too_long") == 0 {
		t.Error("no path is counted as too long")
	}
	// Still a mirror: deletions are done.
	if err := os.Remove(m.src + "/file"); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.stop()
}

// rsync deletes nothing at all where it cannot read something: trees that are too
// deep change places, and what is not in them any more goes all the same.
func TestTooDeepChangesPlaces(t *testing.T) {
	beside(t)
	m := newMirror(t, "--exclude", "*.tmp") // then what is gone is pruned as well
	for _, d := range []string{"a", "b"} {
		mkdir(t, m.src+"/"+d+"/only-in-"+d)
		deep(t, m.src+"/"+d, 40)
	}
	m.opts.Skip = func(rel string, kind uint32) bool { return len(rel) > 3500 || unmirrored(rel, kind) }
	m.start().ready()
	m.equal()
	rename(t, m.src+"/a", m.src+"/c")
	rename(t, m.src+"/b", m.src+"/a")
	m.equal()
	absent(t, m.dst+"/a/only-in-a")
	m.inStep(limit)
	// What was too deep is so no more: nothing spares what is left of it.
	rename(t, m.src+"/c", m.src+"/e")
	mkdir(t, m.src+"/c")
	if err := os.RemoveAll(m.src + "/a"); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.inStep(limit)
	m.stop()
}

// deep makes n directories of 120 bytes below each other, with a file in each.
func deep(t *testing.T, root string, n int) {
	t.Helper()
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("n", 120)
	for range n {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f, err := unix.Openat(next, "f", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range []int{f, fd} {
			if err := unix.Close(fd); err != nil {
				t.Fatal(err)
			}
		}
		fd = next
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
}

// A full target is said; what fits arrives; room made, all is in step.
func TestDiskFull(t *testing.T) {
	m := newMirror(t, "--retry-initial", "200ms", "--retry-max", "1s")
	if err := syscall.Mount("none", m.dst, "tmpfs", 0, "size=4m,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(m.dst, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	write(t, m.src+"/small", "x")
	m.start().ready()
	at := m.mark()
	write(t, m.src+"/huge", strings.Repeat("0123456789abcdef", 8<<20/16))
	m.await(at, "word of the full disk", limit, says("No space left", "disk is full", "full"))
	// What fits goes on.
	write(t, m.src+"/small-too", "y")
	m.eventually("the arrival of a small file while a big one does not fit", func() bool {
		b, err := os.ReadFile(m.dst + "/small-too")
		return err == nil && string(b) == "y"
	})
	if err := os.Truncate(m.src+"/huge", 1<<20); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.stop()
}

// Fewer watches than directories: said with the number that is needed, and
// what is not watched is kept in step by whole passes.
func TestWatchLimit(t *testing.T) {
	m := newMirror(t)
	if !scaled().full { // the usual minute between two comparisons is the long run's
		m.flags = []string{"--unwatched-every", "3s"}
	}
	for i := range 60 {
		if err := os.MkdirAll(fmt.Sprintf("%s/d%02d/e", m.src, i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sysctl(t, "fs.inotify.max_user_watches", "40")
	m.start()
	r := m.await(0, "word of the limit", limit, says("max_user_watches"))
	if said := regexp.MustCompile(`max_user_watches to at least (\d+) \(it was 40\)`).FindStringSubmatch(r.str("msg")); said == nil {
		t.Errorf("it does not say the number that is needed: %s", r)
	} else if n, err := strconv.Atoi(said[1]); err != nil || n < 121 {
		t.Errorf("there are 121 directories: %s", r)
	}
	m.await(0, "the end of the first pass", limit, says("whole pass done"))
	at := m.mark()
	for i := range 60 {
		write(t, fmt.Sprintf("%s/d%02d/e/f", m.src, i), "x")
	}
	m.sameWithin(2 * limit)
	because := false
	m.await(at, "what a comparison because of it took", 2*limit, func(r record) bool {
		because = because || says("comparing the whole tree: directories without a watch")(r)
		return because && says("the whole tree was listed again: ")(r)
	})
	if rep := m.report(); rep.num("unwatched") == 0 || rep.num("rescans_unwatched") == 0 || rep.num("rescan_dirs") < 121 || rep.num("rescan_nanos") == 0 {
		t.Errorf("the state shows no unwatched directory, or no comparison because of it: %s", rep)
	}
	// Whatever happens in a directory of which nothing is told, arrives: of 60 such
	// pairs most have no watch.
	for i := range 60 {
		d := fmt.Sprintf("%s/d%02d", m.src, i)
		write(t, d+"/e/f", "another")
		if err := os.MkdirAll(d+"/e/new/below", 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, d+"/e/new/below/g", "x")
	}
	m.sameWithin(2 * limit)
	for i := range 60 {
		d := fmt.Sprintf("%s/d%02d", m.src, i)
		if err := os.Remove(d + "/e/f"); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(d + "/e/new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(d+"/e", d+"/moved"); err != nil {
			t.Fatal(err)
		}
	}
	m.sameWithin(2 * limit)
	m.stop()
}

// What is excluded is neither copied nor deleted, at the start and live.
func TestExclude(t *testing.T) {
	m := newMirror(t, "--exclude", "*.tmp", "--exclude", "/cache/", "--exclude", "!keep.tmp")
	m.opts.Skip = func(rel string, kind uint32) bool {
		return rel == "cache" || strings.HasPrefix(rel, "cache/") || strings.HasSuffix(rel, ".tmp") && filepath.Base(rel) != "keep.tmp"
	}
	for _, root := range []string{m.src, m.dst} {
		for _, d := range []string{"/cache", "/d"} {
			if err := os.Mkdir(root+d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"a", "a.tmp", "keep.tmp", "cache/x", "d/b.tmp", "d/c", "d/keep.tmp"} {
		write(t, m.src+"/"+name, "source")
	}
	only := []string{"only-here.tmp", "cache/only-here", "d/only-here.tmp"}
	for _, name := range only {
		write(t, m.dst+"/"+name, "target")
	}
	m.start().ready()
	for _, name := range []string{"new", "new.tmp", "cache/new", "d/new.tmp", "d/new"} {
		write(t, m.src+"/"+name, "source")
	}
	m.equal()
	for _, name := range []string{"a.tmp", "cache/x", "d/b.tmp", "new.tmp", "cache/new", "d/new.tmp"} {
		if _, err := os.Lstat(m.dst + "/" + name); err == nil {
			t.Errorf("%s was copied", name)
		}
	}
	for _, name := range only {
		if _, err := os.Lstat(m.dst + "/" + name); err != nil {
			t.Errorf("%s was deleted: %v", name, err)
		}
	}
	m.stop()
}

// A missing target is made, but not its parent.
func TestMissingTargetIsMade(t *testing.T) {
	m := newMirror(t)
	m.dst += "/new"
	write(t, m.src+"/f", "x")
	m.start().ready()
	m.stop()
}

// --dry-run shows and changes nothing.
func TestDryRun(t *testing.T) {
	m := newMirror(t)
	write(t, m.src+"/new-file", "x")
	write(t, m.dst+"/old-file", "x")
	was, is := snapshot(t, m.dst, m.opts), compare.Tree(nil)
	if code := m.once("--dry-run"); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if is = snapshot(t, m.dst, m.opts); len(compare.Diff(was, is, 1)) > 0 {
		t.Errorf("--dry-run changed the target:\n%s", lines(compare.Diff(was, is, 10)))
	}
	for _, name := range []string{"new-file", "old-file"} {
		if !strings.Contains(m.output(), name) {
			t.Errorf("it does not show %s:\n%s", name, m.output())
		}
	}
	m.nothingLeft()
}

// --once ends when the target is in step.
func TestOnce(t *testing.T) {
	m := newMirror(t)
	write(t, m.src+"/f", "x")
	if code := m.once("--once"); code != 0 {
		t.Errorf("exit code %d", code)
	}
	same(t, m)
	m.nothingLeft()
}
