package resolver

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/monitor"
)

// forgotten makes a file that has a handle, and that the kernel has no name of in
// its caches: as with one that an NFS client has opened before the server has
// started, or has forgotten it.
func forgotten(t *testing.T, path string) unix.FileHandle {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// That a file is to be read past the page cache from now on is known to ext4
	// when it is read anew: so it is not kept.
	const dax = 0x02000000
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags^dax)
	}
	if err != nil {
		testenv.Lacks(t, "the flag DAX: "+err.Error())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return h
}

// byHandle does to an open file what is to be done.
func byHandle(t *testing.T, mount string, h unix.FileHandle, flags int, act func(fd int) error) {
	t.Helper()
	at, err := unix.Open(mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.OpenByHandleAt(at, h, flags|unix.O_CLOEXEC)
	if err == nil {
		err = act(fd)
	}
	for _, fd := range []int{at, fd} {
		if e := unix.Close(fd); e != nil && err == nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func write(fd int) error {
	_, err := unix.Write(fd, []byte("content"))
	return err
}

// What is written by a handle alone has no name: the worker looks for itself, and
// how often is bounded. The number of a file's links and what is only read are no
// such thing.
func TestWriteWithoutAName(t *testing.T) {
	g := rigIn(t, testenv.LoopFS(t, "ext4"))
	f, other := forgotten(t, g.root+"/f"), forgotten(t, g.root+"/other")
	g.do(g.file("named"))
	g.start(func(r *Resolver) { r.blind.least = 100 * time.Millisecond })
	g.events()
	byHandle(t, g.root, other, unix.O_RDONLY, func(fd int) error { return unix.Fchmod(fd, 0o640) })
	g.do(os.Link(g.root+"/named", g.root+"/link"), os.Remove(g.root+"/named"))
	g.want("CREATE /link", "DELETE /named")
	byHandle(t, g.root, f, unix.O_RDWR, write)
	g.want("Q_OVERFLOW /")
	// Again, so soon: it is told as well, though nothing else happens any more.
	byHandle(t, g.root, f, unix.O_RDWR, write)
	for told := false; !told; {
		buf := make([]byte, 64<<10)
		n, err := unix.Read(g.worker, buf)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if err := monitor.DecodePaths(buf[:max(n, 0)], func(e monitor.PathEvent) { told = e.Mask == monitor.Overflow }); err != nil {
			t.Fatal(err)
		}
	}
	g.stop()
}

// What has no name since it never had one, or has lost it, is below a directory all
// the same, and nobody is to look for it. (Programs write much to such files.)
func TestWriteOfWhatHasNoName(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4", "xfs", "btrfs", "overlay"} {
		t.Run(kind, func(t *testing.T) {
			var g *rig
			switch kind {
			case "tmpfs":
				g = newRig(t)
			case "overlay":
				g = rigIn(t, overlay(t))
			default:
				g = rigIn(t, testenv.LoopFS(t, kind))
			}
			g.start(nil)
			for _, dir := range []string{g.root, g.outside} {
				f, err := os.Create(dir + "/f")
				g.do(err, os.Remove(dir+"/f"), write(int(f.Fd())), f.Truncate(1), f.Close())
				fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
				g.do(err, write(fd), unix.Ftruncate(fd, 1), unix.Close(fd))
			}
			for _, e := range g.events() {
				if strings.Contains(e, "OVERFLOW") {
					t.Errorf("told %q", e)
				}
			}
			g.stop()
		})
	}
}

// Row by row: when such files are written, once a second, and at which seconds
// everything is compared.
func TestHowOftenBlind(t *testing.T) {
	for name, c := range map[string]struct {
		wrote func(second int) bool
		want  []int
	}{
		"once":             {func(s int) bool { return s == 5 }, []int{5}},
		"twice":            {func(s int) bool { return s == 5 || s == 6 }, []int{5, 65}},
		"twice, far apart": {func(s int) bool { return s == 5 || s == 500 }, []int{5, 500}},
		"always":           {func(int) bool { return true }, []int{0, 60, 180, 420, 900, 1860, 2820, 3780}},
		"for two minutes":  {func(s int) bool { return s < 120 || s == 3000 }, []int{0, 60, 180, 3000}},
	} {
		b := blind{least: leastBlind}
		var got []int
		said := 0
		for s := range 4000 {
			now := time.Unix(1e9+int64(s), 0)
			if c.wrote(s) {
				b.wrote()
			}
			wait := b.wait(now)
			if (wait >= 0) != b.due {
				t.Errorf("%s: at %d it waits for %v", name, s, wait)
			}
			if b.step(now) {
				if got = append(got, s); b.news(now) {
					said++
				}
			}
		}
		if b.due && name != "always" || !slices.Equal(got, c.want) || said > 2 {
			t.Errorf("%s: at %v, want %v; said %d times", name, got, c.want, said)
		}
	}
}
