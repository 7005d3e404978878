package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/output"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/monitor"
	"lockstep/worker/deliver"
)

// rig is a Root above a real directory and the kernel's real inotify queue. It is
// engine and helper in one thread, so that a seed decides what happens between any
// two steps of theirs. Only the time is its own: it can be let go on.
type rig struct {
	t    *testing.T
	rand *rand.Rand
	root *Root
	dir  string
	fd   int
	skew time.Duration

	strict bool // what happens is of a kind that no line is odd about

	pending  []*request // not answered yet, in their order
	barriers []func()
	mark     int // bytes of the queue before the first barrier
	read     int // bytes of it applied
	buffer   []byte

	watches  int // how many the kernel gives; 0: any number
	refuse   map[string]ipc.Status
	draining bool
	failed   error
	warnings []string

	out  []string // lines
	room int      // how many the reader takes; below 0: all
}

// request is one under way: of each directory first the watch, then the listing,
// then what was found is handed over.
type request struct {
	m      ipc.Message
	flight deliver.Flight
	dirs   []ipc.Dir
	placed bool
}

func newRig(t *testing.T, seed uint64, cfg settings.Watch) *rig {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, rand: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), fd: fd, refuse: map[string]ipc.Status{}, room: -1}
	t.Cleanup(r.close)
	cfg.Root, cfg.JSON = 1, true
	if r.root, err = New(r, r, &cfg, r.dir); err != nil {
		t.Fatal(err)
	}
	return r
}

// close ends the watch: of queues there are few.
func (r *rig) close() {
	if r.fd < 0 {
		return
	}
	if err := unix.Close(r.fd); err != nil {
		r.t.Error(err)
	}
	r.fd = -1
}

// The engine, as the root sees it.

func (r *rig) Now() time.Time { return time.Now().Add(r.skew) }
func (r *rig) Draining() bool { return r.draining }
func (r *rig) Fail(err error) { r.failed = err }

func (r *rig) Printf(_, format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

func (r *rig) Ask(m ipc.Message, f deliver.Flight) {
	if _, err := ipc.Append(nil, 1, m); err != nil {
		r.t.Fatalf("a request that cannot be sent: %v", err)
	}
	r.pending = append(r.pending, &request{m: m, flight: f})
}

func (r *rig) Unwatch(wd int32) {
	if _, err := unix.InotifyRmWatch(r.fd, uint32(wd)); err != nil && !errors.Is(err, unix.EINVAL) {
		r.t.Fatal(err)
	}
}

func (r *rig) Barrier(f func()) {
	if r.barriers = append(r.barriers, f); len(r.barriers) == 1 {
		r.mark = r.read + r.queued()
	}
}

// queued is how many bytes of events are in the kernel's queue and the buffer.
func (r *rig) queued() int {
	n, err := unix.IoctlGetInt(r.fd, unix.TIOCINQ) // FIONREAD
	if err != nil {
		r.t.Fatal(err)
	}
	return n + len(r.buffer)
}

// The reader of lines.

func (r *rig) Put(line []byte) bool {
	if r.room == 0 {
		return false
	}
	r.room--
	r.out = append(r.out, string(line))
	return true
}

func (r *rig) Calm() bool  { return r.room != 0 }
func (r *rig) Empty() bool { return true }

// events are the lines of a class, without it.
func (r *rig) lines(class output.Class) (out []string) {
	for _, line := range r.out {
		if line[0] == byte(class) {
			out = append(out, strings.TrimSuffix(line[1:], "\n"))
		}
	}
	return out
}

// Steps of the engine.

// hear applies some of the queue: what one read gives.
func (r *rig) hear() bool {
	if len(r.buffer) == 0 {
		buf := make([]byte, monitor.MinBuffer+r.rand.IntN(1024))
		n, err := unix.Read(r.fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			return r.caughtUp()
		} else if err != nil {
			r.t.Fatal(err)
		}
		r.buffer = buf[:n]
	}
	r.apply()
	return true
}

func (r *rig) apply() {
	if err := monitor.Decode(r.buffer, r.root.Event); err != nil {
		r.t.Fatal(err)
	}
	r.read += len(r.buffer)
	r.buffer = nil
	r.root.Advance()
}

func (r *rig) caughtUp() bool {
	if len(r.barriers) == 0 || r.read < r.mark {
		return false
	}
	f := r.barriers[0]
	if r.barriers = r.barriers[1:]; len(r.barriers) > 0 {
		r.mark = r.read + r.queued()
	}
	f()
	r.root.Advance()
	return true
}

// help takes one step of the helper's.
func (r *rig) help() bool {
	if len(r.pending) == 0 {
		return false
	}
	q := r.pending[0]
	switch m := q.m.(type) {
	case *ipc.Stat:
		a := &ipc.StatAnswer{}
		for _, rel := range m.Rels {
			a.Stats = append(a.Stats, r.stat(rel))
		}
		r.pending = r.pending[1:]
		r.answer(q, a, true)
	case *ipc.Watch:
		r.watch(q, m)
	default:
		r.t.Fatalf("a request %T", m)
	}
	return true
}

func (r *rig) answer(q *request, m ipc.Message, final bool) {
	if err := q.flight(m, final); err != nil {
		r.t.Fatal(err)
	}
	r.root.Advance()
}

// watch takes a step of a Watch: what is answered is handed over at some time.
func (r *rig) watch(q *request, m *ipc.Watch) {
	if n := len(q.dirs); q.placed {
		q.placed = false
		r.list(&q.dirs[n-1], m)
	} else if n < len(m.Rels) {
		d := ipc.Dir{Index: uint16(n), WD: -1, Status: r.refuse[m.Rels[n]]}
		if d.Status == 0 {
			r.place(&d, m)
			q.placed = true
		}
		q.dirs = append(q.dirs, d)
	} else {
		r.pending = r.pending[1:]
		r.answer(q, &ipc.WatchAnswer{Dirs: q.dirs}, true)
	}
}

func (r *rig) path(rel string) string { return filepath.Join(r.dir, rel) }

// place puts the watch on one directory. (Above it there may be a link by now:
// nothing here makes any to a directory.)
func (r *rig) place(d *ipc.Dir, m *ipc.Watch) {
	if !m.Watch {
		return
	}
	wd, err := unix.InotifyAddWatch(r.fd, r.path(m.Rels[d.Index]), ipc.InotifyMask)
	var errno unix.Errno
	switch {
	case errors.As(err, &errno):
		d.Status = ipc.Status(errno)
	case r.watches > 0 && wd > r.watches:
		if _, err := unix.InotifyRmWatch(r.fd, uint32(wd)); err != nil {
			r.t.Fatal(err)
		}
		d.Status = ipc.Status(unix.ENOSPC)
	default:
		d.WD = int32(wd)
	}
}

// list lists one directory.
func (r *rig) list(d *ipc.Dir, m *ipc.Watch) {
	if d.Status != 0 && d.Status != ipc.Status(unix.ENOSPC) {
		return
	}
	names, err := os.ReadDir(r.path(m.Rels[d.Index]))
	var errno unix.Errno
	if errors.As(err, &errno) {
		d.Status, d.WD = ipc.Status(errno), -1
		return
	}
	var self unix.Stat_t
	if m.Since != 0 && unix.Lstat(r.path(m.Rels[d.Index]), &self) == nil {
		d.Ctime = uint64(self.Ctim.Nano())
	}
	for _, name := range names {
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(r.path(m.Rels[d.Index]), name.Name()), &st) != nil {
			continue // gone
		}
		kind := kindOfMode(st.Mode)
		if m.All || kind == ipc.KindDir || st.Nlink > 1 || kind == ipc.KindSocket {
			d.Entries = append(d.Entries, ipc.Entry{Kind: kind, Nlink: uint32(st.Nlink), Ino: st.Ino, Size: uint64(st.Size),
				Ctime: uint64(st.Ctim.Nano()), Stamp: uint64(st.Mtim.Nano()) ^ uint64(st.Mode), Name: name.Name()})
		}
	}
}

func kindOfMode(mode uint32) ipc.Kind {
	return map[uint32]ipc.Kind{unix.S_IFREG: ipc.KindFile, unix.S_IFDIR: ipc.KindDir, unix.S_IFLNK: ipc.KindLink,
		unix.S_IFIFO: ipc.KindFIFO, unix.S_IFSOCK: ipc.KindSocket}[mode&unix.S_IFMT]
}

func (r *rig) stat(rel string) ipc.PathStat {
	var st unix.Stat_t
	var errno unix.Errno
	if err := unix.Lstat(r.path(rel), &st); errors.As(err, &errno) {
		return ipc.PathStat{Status: ipc.Status(errno)}
	}
	return ipc.PathStat{Kind: kindOfMode(st.Mode), Nlink: uint32(st.Nlink), Ino: st.Ino, Size: uint64(st.Size)}
}

// pass lets some time go by.
func (r *rig) pass(d time.Duration) {
	r.skew += d
	r.root.Advance()
}

// settle goes on until nothing is left to be heard, answered or waited for, for
// so long.
func (r *rig) settle(long time.Duration) {
	r.t.Helper()
	for end := r.Now().Add(long); r.failed == nil; {
		for i := 0; r.hear() || r.help(); i++ {
			if i > 1_000_000 {
				r.t.Fatal("there is no end to it")
			}
		}
		next := r.root.Next()
		if now := r.Now(); next.IsZero() || next.After(end) {
			return
		} else if next.After(now) {
			r.skew += next.Sub(now)
		}
		r.root.Advance()
	}
}

// start begins to watch, and goes on until the root says that it is ready.
func (r *rig) start() {
	r.t.Helper()
	r.root.Start()
	r.root.Advance()
	r.settle(time.Second)
	if ready := r.lines(output.Ready); len(ready) != 1 || r.out[0][0] != byte(output.Ready) {
		r.t.Fatalf("after the start there is not the line of readiness, first and once: %q", r.out)
	}
}

// lose throws events away, as the kernel does when its queue is full: what came
// last, with a record in their place.
func (r *rig) lose() {
	buf := make([]byte, 1<<20)
	if _, err := unix.Read(r.fd, buf); err != nil && !errors.Is(err, unix.EAGAIN) {
		r.t.Fatal(err)
	}
	over := []byte{0xff, 0xff, 0xff, 0xff, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if r.mark > r.read { // the barrier's events are gone, too
		r.mark = r.read
	}
	r.buffer = over
	r.apply()
}

func (r *rig) report() (rep status.Report) {
	rep.Ready = 1
	r.root.Report(&rep)
	return rep
}

// mkdir, write: what a user does.
func (r *rig) mkdir(rels ...string) {
	r.t.Helper()
	for _, rel := range rels {
		if err := os.MkdirAll(r.path(rel), 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) write(rel, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(rel), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) remove(rel string) {
	r.t.Helper()
	if err := os.RemoveAll(r.path(rel)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) rename(from, to string) {
	r.t.Helper()
	if err := os.Rename(r.path(from), r.path(to)); err != nil {
		r.t.Fatal(err)
	}
}

// want compares the events told since place with what is wanted: "op path", or
// "op path from". It returns the place after them.
func (r *rig) want(place int, want ...string) int {
	r.t.Helper()
	var got []string
	lines := r.lines(output.Event)
	for _, line := range lines[place:] {
		e := parse(r.t, line)
		got = append(got, strings.TrimSpace(e.Op+" "+e.Path+" "+e.From))
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("told %q, want %q", got, want)
	}
	return len(lines)
}

// tree is what is there: path and type.
func (r *rig) tree() map[string]string {
	all := map[string]string{}
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(r.dir, path); err == nil && rel != "." {
			kind := map[fs.FileMode]string{0: "file", fs.ModeDir: "dir", fs.ModeSymlink: "symlink"}[d.Type()]
			if kind == "" {
				kind = "other"
			}
			all[rel] = kind
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}
