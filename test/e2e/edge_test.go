//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
	"lockstep/test/compare"
)

func mkdir(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); err == nil {
		t.Errorf("%s is there", path)
	}
}

func present(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// Somebody exchanges a directory and a link to a place outside, in a loop,
// while files below both names change. What lies outside never reaches the
// target, and in the end all is in step.
func TestRaceNeverLeaks(t *testing.T) {
	beside(t)
	m := newMirror(t)
	outside := t.TempDir()
	write(t, outside+"/f", "secret of somebody else")
	mkdir(t, outside+"/sub", m.src+"/d/sub")
	write(t, outside+"/sub/f", "secret of somebody else")
	write(t, m.src+"/d/f", "own")
	write(t, m.src+"/d/sub/f", "own")
	if err := os.Symlink(outside, m.src+"/l"); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	for _, during := range []func(){func() {}, func() { m.signal(syscall.SIGUSR2) }} {
		stop := background(t, func(ctx context.Context) error {
			for i := 0; ctx.Err() == nil; i++ {
				if err := unix.Renameat2(unix.AT_FDCWD, m.src+"/d", unix.AT_FDCWD, m.src+"/l", unix.RENAME_EXCHANGE); err != nil {
					return err
				}
				if i%2 == 1 { // d is the directory again
					err := os.WriteFile(m.src+"/d/sub/f", fmt.Appendf(nil, "own %d", i), 0o644)
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		tick := time.NewTicker(20 * time.Millisecond)
		for range 150 {
			during()
			for _, name := range []string{"/d/f", "/d/sub/f", "/l/f", "/l/sub/f"} {
				// The target may hold the link itself, which leads outside: only
				// a real directory there would be a leak.
				if info, err := os.Lstat(m.dst + name[:2]); err != nil || !info.IsDir() {
					continue
				}
				if b, err := readBeneath(m.dst, name[1:]); err == nil && strings.Contains(string(b), "secret") {
					t.Fatalf("%s on the target has content from outside", name)
				}
			}
			<-tick.C
		}
		tick.Stop()
		stop()
	}
	m.equal()
	m.stop()
}

// readBeneath reads a file without following any link.
func readBeneath(root, rel string) ([]byte, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, rel, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), rel)
	defer f.Close()
	b := make([]byte, 100)
	n, err := f.Read(b)
	return b[:n], err
}

// The target's disk goes away: what is below its mount point is not written
// to. It comes back: in step.
func TestUnmountedTarget(t *testing.T) {
	m := newMirror(t)
	unmount, mount := disk(t, m.dst)
	m.opts.Skip = func(rel string, kind uint32) bool { return rel == "lost+found" || unmirrored(rel, kind) }
	m.flags = append(m.flags, "--exclude", "/lost+found/")
	write(t, m.src+"/f", "x")
	m.start().ready()
	at := m.mark()
	unmount()
	m.await(at, "word of the unmount", limit, isHeld)
	write(t, m.src+"/g", "x")
	pause(time.Second)
	if names, err := os.ReadDir(m.dst); err != nil || len(names) > 0 {
		t.Errorf("below the mount point there is %v (%v)", names, err)
	}
	mount()
	m.equal()
	m.stop()
}

// A disk that is mounted inside the source while it runs is not entered, and
// what the target has there stays.
func TestMountAppears(t *testing.T) {
	m := newMirror(t)
	mkdir(t, m.src+"/a/inner")
	write(t, m.src+"/a/inner/before", "x")
	m.start().ready()
	inner := m.src + "/a/inner"
	if err := syscall.Mount("none", inner, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	mounted := true
	t.Cleanup(func() {
		if mounted {
			if err := syscall.Unmount(inner, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	})
	write(t, inner+"/not-copied", "x")
	write(t, m.src+"/a/other", "x")
	m.signal(syscall.SIGUSR2)
	below := m.opts
	m.opts.Skip = func(rel string, kind uint32) bool { return rel == "a/inner" || strings.HasPrefix(rel, "a/inner/") }
	m.sameWithin(limit)
	present(t, m.dst+"/a/inner/before")
	absent(t, m.dst+"/a/inner/not-copied")
	if err := syscall.Unmount(inner, 0); err != nil {
		t.Fatalf("lockstep keeps the disk busy: %v", err)
	}
	mounted = false
	m.opts = below
	write(t, inner+"/after", "x")
	m.equal()
	m.stop()
}

// The source is exchanged under a running mirror: held. It comes back: in step.
func TestExchangedWhileRunning(t *testing.T) {
	beside(t)
	m := newMirror(t)
	if err := churn.Burst(m.src, 1, 5, 50); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	was := snapshot(t, m.dst, m.opts)
	at := m.mark()
	rename(t, m.src, m.src+"-away")
	mkdir(t, m.src)
	write(t, m.src+"/other", "x")
	m.signal(syscall.SIGUSR2) // or the next look, which is a minute away
	m.await(at, "word of the other source", 2*limit, isHeld)
	m.untouched(was)
	if err := os.RemoveAll(m.src); err != nil {
		t.Fatal(err)
	}
	rename(t, m.src+"-away", m.src)
	write(t, m.src+"/after", "x")
	m.sameWithin(2 * limit)
	m.stop()
}

// Two mirrors at once do not share a uid, a group or anything else.
func TestTwoMirrors(t *testing.T) {
	a, b := newMirror(t), newMirror(t)
	a.start().ready()
	b.start().ready()
	var uids, groups []string
	for _, m := range []*mirror{a, b} {
		p := m.the("lockstep-worker")
		uids = append(uids, strings.Fields(field(t, fmt.Sprintf("/proc/%d/status", p.pid), "Uid"))[0])
		groups = append(groups, strings.Join(cgroups(p.pid), " "))
	}
	if uids[0] == uids[1] || groups[0] == groups[1] {
		t.Errorf("they share uid or groups: %v %v", uids, groups)
	}
	a.stop()
	write(t, b.src+"/f", "x")
	b.equal()
	b.stop()
}

// A file that cannot be replaced on the target stays in doubt; all others go
// on, and --once tells by its code.
func TestImmutableOnTarget(t *testing.T) {
	beside(t)
	testenv.NeedTool(t, "chattr")
	m := newMirror(t, "--retry-initial", "100ms", "--retry-max", "500ms")
	write(t, m.src+"/stuck", "1")
	m.start().ready()
	if out, err := exec.Command("chattr", "+i", m.dst+"/stuck").CombinedOutput(); err != nil {
		testenv.Lacks(t, fmt.Sprintf("no immutable files here: %s", out))
	}
	mutable := func() { command(t, "chattr", "-i", m.dst+"/stuck") }
	defer mutable()
	at := m.mark()
	write(t, m.src+"/stuck", "2")
	m.await(at, "word of the file that cannot be replaced", limit, says("stuck", "code 23"))
	opts := m.opts
	m.opts = compare.Options{NoRoot: true, Skip: func(rel string, _ uint32) bool { return rel == "stuck" }}
	for i := range 5 {
		write(t, fmt.Sprintf("%s/other%d", m.src, i), "x")
		m.sameWithin(30 * time.Second)
	}
	m.opts = opts
	mutable()
	m.equal()
	command(t, "chattr", "+i", m.dst+"/stuck")
	write(t, m.src+"/stuck", "3")
	m.stop()
	if code := m.once("--once"); code != 1 {
		t.Errorf("--once that could not replace a file ends with %d, want 1", code)
	}
}

// One directory with more names than fit into many packets.
func TestWideDirectory(t *testing.T) {
	beside(t)
	m := newMirror(t)
	mkdir(t, m.src+"/wide")
	long := strings.Repeat("n", 200)
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			write(t, fmt.Sprintf("%s/wide/%s%05d", m.src, long, i), "x")
		}
	}
	fill(0, 1500) // several packets' worth
	m.start().ready()
	fill(1500, 3000)
	m.equal()
	rename(t, m.src+"/wide", m.src+"/wider")
	m.equal()
	if err := os.RemoveAll(m.src + "/wider"); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.stop()
}

// A big tree is renamed while files in its depth change.
func TestMoveBigTree(t *testing.T) {
	beside(t)
	m := newMirror(t)
	for i := range 600 {
		dir := fmt.Sprintf("%s/t/%02d/%02d/%d", m.src, i%10, i%60, i)
		mkdir(t, dir)
		write(t, dir+"/f", "x")
	}
	m.start().ready()
	at := m.src + "/t"
	for i := range 12 {
		to := fmt.Sprintf("%s/moved%d", m.src, i%3)
		rename(t, at, to)
		at = to
		write(t, at+"/03/03/3/f", fmt.Sprint(i))
		mkdir(t, fmt.Sprintf("%s/05/05/new%d/below", at, i))
		write(t, fmt.Sprintf("%s/05/05/new%d/below/f", at, i), "x")
	}
	m.equal()
	write(t, at+"/05/05/new3/below/g", "x")
	m.equal()
	m.stop()
}

// Moves between what is excluded and what is not.
func TestMovesAcrossExcludes(t *testing.T) {
	beside(t)
	m := newMirror(t, "--exclude", "*.tmp", "--exclude", "/cache/")
	m.opts.Skip = func(rel string, _ uint32) bool {
		return rel == "cache" || strings.HasPrefix(rel, "cache/") || strings.HasSuffix(rel, ".tmp")
	}
	mkdir(t, m.src+"/cache/deep", m.src+"/d/e")
	for _, name := range []string{"cache/a", "cache/deep/b", "d/f", "d/e/g", "x.tmp", "y"} {
		write(t, m.src+"/"+name, name)
	}
	m.start().ready()
	rename(t, m.src+"/x.tmp", m.src+"/x")
	rename(t, m.src+"/y", m.src+"/y.tmp")
	m.equal()
	absent(t, m.dst+"/y")
	rename(t, m.src+"/cache", m.src+"/was-cache")
	m.equal()
	present(t, m.dst+"/was-cache/deep/b")
	write(t, m.src+"/was-cache/deep/c", "x")
	m.equal()
	rename(t, m.src+"/d", m.src+"/cache")
	m.equal()
	absent(t, m.dst+"/d")
	write(t, m.src+"/cache/e/h", "x")
	write(t, m.src+"/last", "x")
	m.equal()
	absent(t, m.dst+"/cache")
	m.stop()
}

// A directory is deleted in whose copy the target has files that excludes
// protect: they stay.
func TestExcludedSurvivesItsParent(t *testing.T) {
	beside(t)
	m := newMirror(t, "--exclude", "*.tmp")
	mkdir(t, m.src+"/d/e")
	write(t, m.src+"/d/e/f", "x")
	m.start().ready()
	write(t, m.dst+"/d/e/precious.tmp", "x")
	if err := os.RemoveAll(m.src + "/d"); err != nil {
		t.Fatal(err)
	}
	m.eventually("the deletion", func() bool {
		_, err := os.Lstat(m.dst + "/d/e/f")
		return os.IsNotExist(err)
	})
	m.inStep(limit)
	present(t, m.dst+"/d/e/precious.tmp")
	m.stop()
}

// A tree that was too deep to be named becomes nameable by a rename.
func TestTooDeepBecomesNameable(t *testing.T) {
	beside(t)
	m := newMirror(t)
	deep(t, m.src, 40)
	name := strings.Repeat("n", 120)
	part := strings.Repeat(name+"/", 20)
	m.opts.Skip = func(rel string, _ uint32) bool { return len(rel) > 3500 }
	m.start().ready()
	// The lower half of it moves up: 40 levels of 121 bytes become twice 20.
	rename(t, filepath.Join(m.src, part), m.src+"/lower-half")
	m.opts.Skip = nil
	m.equal()
	present(t, m.dst+"/lower-half/"+strings.Repeat(name+"/", 19)+"f")
	m.stop()
}

// Big files wait in a lane of their own and do not hold up small ones.
func TestBigFileLane(t *testing.T) {
	beside(t)
	m := newMirror(t, "--big-file-size", "1MiB", "--big-file-delay", "2s", "--bwlimit", "2MiB")
	m.start().ready()
	write(t, m.src+"/big", strings.Repeat("0123456789abcdef", 4<<20/16))
	start := time.Now()
	for i := 0; time.Since(start) < 3*time.Second; i++ {
		write(t, m.src+"/small", fmt.Sprint(i))
		m.opts.Skip = func(rel string, _ uint32) bool { return rel == "big" || strings.HasPrefix(rel, ".big.") }
		m.opts.NoRoot = true
		m.sameWithin(10 * time.Second)
	}
	m.opts = compare.Options{}
	m.equal()
	m.stop()
}

// A target that is the source, or inside it, by a bind mount.
func TestOverlapByBindMount(t *testing.T) {
	m := newMirror(t)
	mkdir(t, m.src+"/sub")
	for _, from := range []string{m.src, m.src + "/sub"} {
		if err := syscall.Mount(from, m.dst, "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		out, code := runs(t, nil, m.args()...)
		if err := syscall.Unmount(m.dst, syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		if code != 2 || !strings.Contains(out, "source") {
			t.Errorf("target bound to %s: exit code %d\n%s", from, code, out)
		}
	}
}

// Relative paths, trailing slashes, a link as the source.
func TestPathsAsPeopleWriteThem(t *testing.T) {
	beside(t)
	m := newMirror(t)
	write(t, m.src+"/f", "x")
	if err := os.Symlink("src", filepath.Dir(m.src)+"/link"); err != nil {
		t.Fatal(err)
	}
	bin := program(t, "lockstep")
	for _, words := range [][]string{{"src", "dst"}, {"src/", "./dst/"}, {"link", "dst"}, {"link/", "../001/dst"}, {"src/.", "dst"}} {
		emptyDir(t, m.dst)
		cmd := exec.Command(bin, append([]string{"mirror", "--once", "--runtime-dir", m.run, "--state-dir", m.state}, words...)...)
		cmd.Dir = filepath.Dir(m.src)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", words, err, out)
			continue
		}
		same(t, m)
	}
}
