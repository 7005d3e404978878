//go:build hostile

package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/observe"
)

// sentinel is what the secret holds, and the mirror never may.
const sentinel = "the secret of somebody else"

// arena is a source in which directories, files, links and FIFOs change places, and
// beside it, on the same file system, what the links lead to.
type arena struct {
	*mirror
	secret string
	inodes map[[2]uint64]bool // device and inode of each directory and file of the secret
	inside map[[2]uint64]bool // of the source's directories
	opens  *opens
}

// newArena makes the same names inside and outside, so that whoever is led out finds
// something. Nobody can look into the secret, but root can.
func newArena(t *testing.T) *arena {
	t.Helper()
	m := newMirror(t)
	a := &arena{mirror: m, secret: m.base + "/secret", inodes: map[[2]uint64]bool{}, inside: map[[2]uint64]bool{}}
	must(t, os.Mkdir(a.secret, 0o700))
	must(t, os.MkdirAll(a.secret+"/a/b/c/d", 0o755))
	marks := []string{}
	must(t, filepath.WalkDir(a.secret, func(path string, _ fs.DirEntry, err error) error {
		marks = append(marks, path)
		return err
	}))
	for _, dir := range marks {
		for _, name := range []string{"f", "r", "g", "secret"} {
			must(t, os.WriteFile(dir+"/"+name, []byte(sentinel), 0o600))
			marks = append(marks, dir+"/"+name)
		}
	}
	for _, path := range marks {
		a.inodes[identity(t, path)] = true
	}
	a.opens = newOpens(t, used, marks...)
	m.asNobody("dir a/b/c/d", "write a/f own", "write a/b/f own", "write a/b/c/f own", "write a/b/c/d/f own",
		"write r own", "write a/b/r own", "write g own", "write a/g own", "fifo p", "fifo a/p",
		"link la "+a.secret+"/a", "link a/lb ../../secret/a/b", "link a/b/lc /proc/self/root"+a.secret+"/a/b/c", "link a/b/c/ld /proc/1/cwd"+a.secret+"/a/b/c/d",
		"link rl ../secret/secret", "link a/b/rl "+a.secret+"/secret",
		// Links that stay, in every place: they arrive as links.
		"link stay "+a.secret, "link a/stay ../../secret/secret", "link a/b/stay /proc/self/root"+a.secret+"/secret", "link a/b/c/stay /proc/self/cwd", "link a/b/c/d/stay ..", "link self self")
	for _, dir := range []string{"", "/a", "/a/b", "/a/b/c", "/a/b/c/d"} {
		a.inside[identity(t, m.src+dir)] = true
	}
	return a
}

// identity is how /proc/PID/fdinfo names an inode.
func identity(t *testing.T, path string) [2]uint64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return [2]uint64{uint64(unix.Major(st.Dev))<<20 | uint64(unix.Minor(st.Dev)), st.Ino}
}

var watchLine = regexp.MustCompile(`(?m)^inotify wd:[0-9a-f]+ ino:([0-9a-f]+) sdev:([0-9a-f]+) `)

// watched counts the watches that a process has on inodes.
func watched(pid int, on map[[2]uint64]bool) int {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return 0
	}
	n := 0
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may be closed by now
		for _, f := range watchLine.FindAllSubmatch(text, -1) {
			ino, _ := strconv.ParseUint(string(f[1]), 16, 64)
			dev, _ := strconv.ParseUint(string(f[2]), 16, 64)
			if on[[2]uint64{dev, ino}] {
				n++
			}
		}
	}
	return n
}

// holds counts the regular files below a directory that have the sentinel; it follows
// nothing.
func holds(dir string) (n int, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	top, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(top)
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it has gone: the next look sees what is there then
		}
		// A link may have taken the place of a directory above it, on the target as well.
		fd, err := unix.Openat2(top, path, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS})
		if err != nil {
			return nil
		}
		f := os.NewFile(uintptr(fd), path)
		defer f.Close()
		b := make([]byte, 200)
		k, _ := f.Read(b)
		if bytes.Contains(b[:k], []byte(sentinel)) {
			n++
		}
		return nil
	})
	return n, err
}

// twin is what a plain program gets that does the same beside lockstep: it looks at
// each name, follows no link that it sees, and reads by path.
type twin struct {
	walks, leaks, watches atomic.Int64
}

// run walks and watches until the end.
func (w *twin) run(ctx context.Context, a *arena) error {
	group, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return err
	}
	defer unix.Close(group)
	for ctx.Err() == nil {
		w.walk(a.src, a, group)
		w.walks.Add(1)
		if n := watched(os.Getpid(), a.inodes); n > int(w.watches.Load()) {
			w.watches.Store(int64(n))
		}
	}
	return nil
}

func (w *twin) walk(dir string, a *arena, group int) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range names {
		path := dir + "/" + e.Name()
		info, err := os.Lstat(path)
		switch {
		case err != nil:
		case info.IsDir():
			_, _ = unix.InotifyAddWatch(group, path, unix.IN_CREATE|unix.IN_ONLYDIR) // counted by what the kernel says
			w.walk(path, a, group)
		case info.Mode().IsRegular():
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			b := make([]byte, 200)
			n, _ := unix.Read(fd, b)
			_ = unix.Close(fd)
			if n > 0 && bytes.Contains(b[:n], []byte(sentinel)) {
				w.leaks.Add(1)
			}
		}
	}
}

// seen is what the looks at lockstep have counted.
type seen struct {
	looks, stops, insideMost int
}

// waits are those of processes for the other end of a FIFO.
type waits struct {
	count   int           // how often one was found waiting
	longest time.Duration // and for how long
}

// run looks ten times a second, until the end.
func (w *waits) run(ctx context.Context, pid int) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for since := map[int]time.Time{}; ctx.Err() == nil; <-tick.C {
		now, waiting := time.Now(), map[int]time.Time{}
		for _, p := range observe.Family(pid) {
			if !waitsForPartner(p.PID) {
				continue
			}
			begin, before := since[p.PID]
			if !before {
				begin = now
				w.count++
			}
			waiting[p.PID] = begin
			w.longest = max(w.longest, now.Sub(begin))
		}
		since = waiting
	}
}

// look wants nothing of the secret on the target or among the watches.
func (s *seen) look(t *testing.T, a *arena) {
	t.Helper()
	s.looks++
	if n, err := holds(a.dst); err != nil || n > 0 {
		t.Fatalf("%d files on the target hold the secret (%v)", n, err)
	}
	for _, p := range a.role("lockstep-helper") {
		if n := watched(p.PID, a.inodes); n > 0 {
			t.Fatalf("the helper watches %d inodes of the secret", n)
		}
		s.insideMost = max(s.insideMost, watched(p.PID, a.inside))
	}
}

// waitsForPartner says that a thread of a process is in open(2) of a FIFO that has no
// other end.
func waitsForPartner(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/wchan", pid)) // the pattern is a good one
	for _, task := range tasks {
		if b, err := os.ReadFile(task); err == nil && strings.Contains(string(b), "wait_for_partner") {
			return true
		}
	}
	return false
}

// hold stops an rsync wherever it is, until many exchanges have been made.
func (s *seen) hold(a *arena, swaps *swapped) {
	stopped := a.role("rsync")
	for _, p := range stopped {
		_ = syscall.Kill(p.PID, syscall.SIGSTOP) // it may have ended
	}
	for from, begin := swaps.count.Load(), time.Now(); len(stopped) > 0 && swaps.count.Load() < from+20*perByte && time.Since(begin) < time.Second; {
		time.Sleep(time.Millisecond) // the one who exchanges says nothing else
	}
	for _, p := range stopped {
		_ = syscall.Kill(p.PID, syscall.SIGCONT)
	}
	s.stops += len(stopped)
}

// TestExchanges: nobody exchanges directories, files, links and FIFOs as fast as the kernel
// lets him, while lockstep watches, lists, compares and copies, and its rsync is stopped
// at any point and goes on. What lies outside never reaches the target, is never watched
// and never opened; and a plain program beside it is led out all the time.
func TestExchanges(t *testing.T) {
	timed(t)
	long := 10 * time.Second
	if full() {
		long = 10 * time.Minute
	}
	a := newArena(t)
	a.start().ready()
	swaps := a.swapping()
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	var w twin
	var beside sync.WaitGroup
	var twinErr error
	beside.Go(func() { twinErr = w.run(ctx, a) })
	var fifo waits
	beside.Go(func() { fifo.run(ctx, a.cmd.Process.Pid) })
	defer beside.Wait()
	defer cancel()
	stuck := a.stuckTwin(t)
	var s seen
	before, whole := a.report(), time.Now()
	for ctx.Err() == nil {
		s.look(t, a)
		s.hold(a, swaps)
		if time.Since(whole) > 2*time.Second { // a whole pass reads everything
			whole = time.Now()
			must(t, a.cmd.Process.Signal(syscall.SIGUSR2))
		}
	}
	beside.Wait()
	count := swaps.stop(t)
	own, others := a.opens.by()
	after := a.equal()
	s.look(t, a)
	_, late := a.opens.by()
	t.Logf("%v: %d exchanges (%.0f a second); 0 of %d looks found the secret on the target or among the watches, of which there were up to %d; %d times an rsync was held and went on; %d jobs, %d whole passes",
		long, count, float64(count)/long.Seconds(), s.looks, s.insideMost, s.stops, after.Num("jobs")-before.Num("jobs"), after.Num("initials")-before.Num("initials"))
	t.Logf("the secret was opened or read %d times by others than the twin; the twin read it %d times in %d walks (%d events), and watched %d of its inodes at once", others+late, w.leaks.Load(), w.walks.Load(), own, w.watches.Load())
	t.Logf("an rsync waited at a FIFO %d times, for %v at most; the twin was stuck %d times", fifo.count, fifo.longest.Round(time.Millisecond), stuck())
	if others+late > 0 {
		t.Errorf("the secret was opened %d times", others+late)
	}
	if fifo.longest > 15*time.Second { // lockstep looks every five whether anything is done
		t.Errorf("an rsync waited at a FIFO for %v", fifo.longest)
	}
	if err := errors.Join(twinErr); err != nil || count < 1000 || s.looks < 5 || s.insideMost == 0 || s.stops == 0 || w.leaks.Load() == 0 || w.watches.Load() == 0 || after.Num("jobs") == before.Num("jobs") {
		t.Errorf("the race was no race: %v", err)
	}
	a.linksAreLinks()
	a.stop()
}

// stuckTwin is a plain reader of the name at which a file and a FIFO change places: it
// is led into open(2) of the FIFO, and lives on when that is opened for it.
func (a *arena) stuckTwin(t *testing.T) (count func() int) {
	t.Helper()
	fifo, err := unix.Open(a.src+"/p", unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Fstat(fifo, &st))
	for st.Mode&unix.S_IFMT != unix.S_IFIFO { // they are changing places already
		_ = unix.Close(fifo)
		fifo, err = unix.Open(a.src+"/p", unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		must(t, err)
		must(t, unix.Fstat(fifo, &st))
	}
	cmd := acting(0, "read", a.src+"/g")
	must(t, cmd.Start())
	n, done := 0, make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			if !waitsForPartner(cmd.Process.Pid) {
				continue
			}
			n++
			if fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fifo), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
				_ = unix.Close(fd)
			}
		}
	}()
	return func() int {
		t.Helper()
		cancel()
		<-done
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		_ = unix.Close(fifo)
		if n == 0 {
			t.Error("no plain reader was ever stuck: the race was none")
		}
		return n
	}
}

// linksAreLinks wants the links that stayed to have come as what they are.
func (a *arena) linksAreLinks() {
	a.t.Helper()
	n := 0
	for path, e := range a.snapshot() {
		if filepath.Base(path) == "stay" || path == "self" {
			if n++; e.Kind != unix.S_IFLNK || e.Link == "" {
				a.t.Errorf("%s is no link on the target", path)
			}
		}
	}
	if n != 6 {
		a.t.Errorf("%d links that stay, want 6", n)
	}
}

// TestSecretIsNoticed: a file that holds the secret is found, at any depth, and one
// behind a link is not.
func TestSecretIsNoticed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	for _, path := range []string{dir + "/f", dir + "/a/b/f", outside + "/f"} {
		must(t, os.WriteFile(path, []byte(sentinel), 0o600))
	}
	must(t, os.WriteFile(dir+"/own", []byte("own"), 0o600))
	must(t, os.Symlink(outside, dir+"/link"))
	must(t, os.Symlink(outside+"/f", dir+"/a/link"))
	if n, err := holds(dir); err != nil || n != 2 {
		t.Errorf("%d files hold the secret (%v), want 2", n, err)
	}
}
