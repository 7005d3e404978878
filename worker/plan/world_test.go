package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/rules"
	"lockstep/runner/cut"
	"lockstep/worker/links"
	"lockstep/worker/queue"
)

// world is a source, a target, and the engine between them with a clock of its
// own; stats come from the real file system and jobs go to the real rsync.
type world struct {
	t        *testing.T
	r        *rand.Rand
	src, dst string
	root     int // descriptor of src
	now      time.Time
	q        *queue.Queue
	idx      *links.Index
	rules    *rules.Set
	opt      Options
	rsync    string
	rs       rsync.Options
	race     func() // called between the stats and the jobs
	jobs     map[ipc.JobKind]int
	divided  int // lists that several rsyncs shared, less one each
	wholes   int
	passing  bool // a whole pass runs
	log      []string
	before   map[string]shape // the target at the last comparison
	lost     map[string]bool  // where directories went since the target was settled
}

func newWorld(t *testing.T, seed uint64, excludes []string) *world {
	t.Helper()
	return newWorldOf(t, seed, excludes, 0)
}

// newWorldOf is a world whose queue takes no more than maxPaths (0: many).
func newWorldOf(t *testing.T, seed uint64, excludes []string, maxPaths int) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		t: t, r: rand.New(rand.NewPCG(seed, 2)), src: dir + "/src", dst: dir + "/dst",
		now: time.Unix(1e9, 0), idx: links.New(), jobs: map[ipc.JobKind]int{},
		lost:  map[string]bool{},
		rsync: testenv.NeedTool(t, "rsync"),
	}
	must(t, os.Mkdir(w.src, 0o755))
	must(t, os.Mkdir(w.dst, 0o755))
	var err error
	w.root, err = unix.Open(w.src, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(w.root) })
	w.q = queue.New(queue.Config{Delay: 100 * time.Millisecond, MaxDelay: time.Second, RetryMin: time.Second, RetryMax: time.Minute, MaxPaths: maxPaths}, w.now)
	w.idx.Left = func(_ string, ino uint64) { w.idx.Spread(ino, w.now, []links.Waiting{w.q}) }
	w.rules, err = rules.New(excludes)
	must(t, err)
	exact := rsync.Exact(excludes)
	w.rs = rsync.Options{Source: w.src, Target: w.dst, Excludes: exact}
	w.opt.InexactExcludes = len(exact) != len(excludes)
	if !w.rules.Empty() {
		w.opt.Excluded = w.rules.Excluded
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) mark(rel string, c queue.Change) {
	w.now = w.now.Add(time.Millisecond)
	if w.r.IntN(8) == 0 {
		w.now = w.now.Add(time.Duration(w.r.IntN(200)) * time.Millisecond) // the next one may miss a batch
	}
	w.note("mark %q %b", rel, c)
	w.idx.Changed(rel, c)
	w.q.Add(rel, c, w.now)
}

// stat is what the helper's does: no link is followed, anywhere.
func (w *world) stat(rel string) ipc.PathStat {
	fd, err := unix.Openat2(w.root, rel, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	var errno unix.Errno
	if errors.As(err, &errno) {
		return ipc.PathStat{Status: ipc.Status(errno)}
	}
	must(w.t, err)
	defer unix.Close(fd)
	var st unix.Stat_t
	must(w.t, unix.Fstat(fd, &st))
	return ipc.PathStat{Kind: kindOf(st.Mode), Nlink: uint32(st.Nlink), Ino: st.Ino, Size: uint64(st.Size)}
}

func kindOf(mode uint32) ipc.Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return ipc.KindFile
	case unix.S_IFDIR:
		return ipc.KindDir
	case unix.S_IFLNK:
		return ipc.KindLink
	case unix.S_IFIFO:
		return ipc.KindFIFO
	case unix.S_IFSOCK:
		return ipc.KindSocket
	case unix.S_IFCHR:
		return ipc.KindChar
	}
	return ipc.KindBlock
}

// plan makes the plan of a batch, with a search where it asks for one.
func (w *world) plan(b *queue.Batch, opt Options) *Plan {
	for searches := 0; ; searches++ {
		p := New(b.Entries, opt, w.idx)
		for rounds := 0; ; rounds++ {
			need := p.Need()
			if len(need) == 0 {
				break
			}
			if rounds > 20 {
				w.t.Fatalf("the plan does not end; it needs %q", need)
			}
			for _, rel := range need {
				p.Feed(rel, w.stat(rel))
			}
		}
		inodes := p.Search()
		if len(inodes) == 0 {
			return p
		}
		if searches > 3 {
			w.t.Fatalf("the search does not end: %v", inodes)
		}
		w.walk(func(rel string, st ipc.PathStat, excluded bool) {
			if !excluded && st.Kind != ipc.KindDir {
				w.idx.Set(rel, st.Ino, st.Nlink)
				if st.Kind != ipc.KindFile && st.Nlink > 1 {
					w.idx.Share(rel, st.Ino)
				}
			}
		})
		for _, ino := range inodes {
			w.idx.Searched(ino, p.Nlink(ino))
		}
	}
}

func (w *world) walk(visit func(rel string, st ipc.PathStat, excluded bool)) {
	must(w.t, filepath.WalkDir(w.src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, w.src), "/")
		if rel == "" {
			return nil
		}
		excluded := w.rules.Excluded(rel, d.IsDir())
		visit(rel, w.stat(rel), excluded)
		if excluded && d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}))
}

func (w *world) run(kind ipc.JobKind, stdin []byte) bool {
	w.jobs[kind]++
	if kind == ipc.JobList || kind == ipc.JobWide || kind == ipc.JobAttr {
		for entry := range strings.SplitSeq(strings.TrimSuffix(string(stdin), "\x00"), "\x00") {
			if !strings.HasPrefix(entry, "./") {
				w.t.Fatalf("list entry %q", entry)
			}
		}
	}
	rs := w.rs
	if kind == ipc.JobInitial && rs.Delete == rsync.DeleteWhole && w.wholes > 1 {
		rs.Delete = rsync.DeleteNever // settings.Runner.Later
	}
	argv := rsync.Argv(kind, rs)
	if argv == nil {
		w.fail("there is no command for job %d", kind)
	}
	parts := [][]byte{stdin}
	if kind == ipc.JobWide { // as the runner does
		parts = cut.List(stdin, 2+w.r.IntN(3))
		w.divided += len(parts) - 1
	}
	good := true
	var cmds []*exec.Cmd
	outs := make([]bytes.Buffer, len(parts))
	for i, part := range parts {
		cmd := exec.Command(w.rsync, argv[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(part), &outs[i], &outs[i]
		cmd.Env = []string{"LC_ALL=C"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		must(w.t, cmd.Start())
		cmds = append(cmds, cmd)
	}
	for i, cmd := range cmds {
		err := w.wait(cmd)
		w.note("job %d, part %d of %d, %q: %v %s", kind, i+1, len(parts), parts[i], err, &outs[i])
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			w.t.Fatal(err)
		}
		good = good && err == nil && outs[i].Len() == 0
	}
	return good
}

// wait nudges a command as the runner does, and says where one sleeps that does
// not come to its end.
func (w *world) wait(cmd *exec.Cmd) error {
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	nudge := time.NewTicker(time.Second)
	defer nudge.Stop()
	for range 120 {
		select {
		case err := <-end:
			return err
		case <-nudge.C:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGCHLD) // ESRCH: it has just ended
		}
	}
	where, err := exec.Command("ps", "-eo", "pid,ppid,pgid,stat,wchan:30,args").CombinedOutput()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	<-end
	w.fail("%q does not end (%v):\n%s", cmd.Args, err, where)
	return nil
}

// pass is a whole pass, as the loop makes it.
func (w *world) pass() {
	if !w.q.BeginWhole(w.now) {
		w.t.Fatal("a whole pass is needed and does not begin")
	}
	w.wholes++
	var list []byte
	contents := w.q.Contents()
	w.idx.Walk(true)
	w.walk(func(rel string, st ipc.PathStat, excluded bool) {
		if !excluded && st.Kind >= ipc.KindLink && w.idx.Parted(rel, st.Ino) {
			list = append(list, rsync.Rule(rsync.Hide, rel, rsync.Itself)+"\x00"...)
			w.q.Add(rel, queue.Content, w.now)
		}
		if !excluded && st.Kind != ipc.KindDir && st.Nlink > 1 {
			w.idx.Set(rel, st.Ino, st.Nlink)
			if st.Kind != ipc.KindFile {
				w.idx.Share(rel, st.Ino)
			}
		}
		switch {
		case excluded:
			for _, rule := range Reject(rel, st.Kind == ipc.KindDir, w.rules.Excluded) {
				list = append(list, rule+"\x00"...)
			}
		case st.Kind == ipc.KindSocket:
			list = append(list, rsync.Rule(rsync.Hide, rel, rsync.Itself)+"\x00"...)
		}
	})
	w.idx.Sweep()
	w.passing = true
	if w.race != nil && w.rules.Empty() {
		w.race()
	}
	ok := w.run(ipc.JobInitial, list)
	if ok && len(contents) > 0 {
		if w.race != nil {
			w.race()
		}
		ok = w.run(ipc.JobContent, Contents(list, contents, w.idx))
	}
	w.q.EndWhole(ok, w.now, w.r.Float64)
	w.passing = false
}

// settle runs the engine until nothing is left to do, or to the first
// time that the clock would have to pass until.
func (w *world) settle() {
	for step := 0; !w.q.Idle(); step++ {
		if step > 300 {
			w.fail("it does not come to rest")
		}
		next, ok := w.q.Next(w.now)
		if !ok {
			w.fail("work is left and no time to do it")
		}
		w.now = next
		if w.q.Whole() && w.q.InFlight() == 0 {
			w.pass()
			continue
		}
		if b := w.q.Take(w.now, 0); b != nil {
			w.do(b, w.opt)
		} else if b := w.q.TakeBig(w.now, 0); b != nil {
			opt := w.opt
			opt.BigSize = 0
			w.do(b, opt)
		}
	}
	clear(w.lost)
}

func (w *world) do(b *queue.Batch, opt Options) {
	p := w.plan(b, opt)
	if p.Whole() {
		w.note("whole: %+v", b.Entries)
		w.q.AddWhole(w.now)
		w.q.Return(b, w.now)
		return
	}
	if w.race != nil {
		w.race()
	}
	w.q.Defer(b, p.Deferred(), w.now)
	var failed, held []Job
	for jobs := p.Jobs(); len(jobs) > 0; {
		j := jobs[0]
		jobs = jobs[1:]
		if len(j.List) > ipc.MaxList {
			w.fail("list too long")
		}
		if w.run(j.Kind, j.List) {
			continue
		}
		failed = append(failed, j)
		if j.Kind != ipc.JobPrune {
			jobs, held = Withhold(jobs)
			failed = append(failed, held...)
		}
	}
	w.q.Requeue(b, Failing(failed, p.Failed()), w.now, w.r.Float64)
}

func (w *world) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.log = append(w.log, strings.ReplaceAll(text, strings.Repeat("n", 255), "nnn"))
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.log[max(0, len(w.log)-150):] {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

// shape is all that must be equal about a path.
type shape struct {
	mode       uint32
	uid, gid   uint32
	mtime      unix.Timespec
	content    string
	firstNamed string // the first name of its inode
}

func (w *world) shapes(root string, source bool) map[string]shape {
	out := map[string]shape{}
	first := map[uint64]string{}
	must(w.t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if source && rel != "" && w.rules.Excluded(rel, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		var st unix.Stat_t
		must(w.t, unix.Lstat(path, &st))
		s := shape{mode: st.Mode, uid: st.Uid, gid: st.Gid, mtime: st.Mtim}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFSOCK:
			if source {
				return nil
			}
		case unix.S_IFREG:
			b, err := os.ReadFile(path)
			must(w.t, err)
			s.content = string(b)
		case unix.S_IFLNK:
			s.content, err = os.Readlink(path)
			must(w.t, err)
		}
		if !d.IsDir() {
			if first[st.Ino] == "" {
				first[st.Ino] = rel
			}
			s.firstNamed = first[st.Ino]
		}
		out[rel] = s
		return nil
	}))
	return out
}

func (w *world) compare() {
	w.t.Helper()
	want, got := w.shapes(w.src, true), w.shapes(w.dst, false)
	var diff []string
	if w.opt.Keep {
		diff = w.kept(want, got)
		relate(want, want)
		relate(got, want)
	}
	for rel, s := range want {
		if g, ok := got[rel]; !ok {
			diff = append(diff, fmt.Sprintf("missing %q", rel))
		} else if g != s {
			diff = append(diff, fmt.Sprintf("differs %q: %+v, source %+v", rel, g, s))
		}
	}
	for rel := range got {
		if _, ok := want[rel]; !ok && !w.opt.Keep {
			diff = append(diff, fmt.Sprintf("stale %q", rel))
		}
	}
	if len(diff) > 0 {
		slices.Sort(diff)
		w.fail("target differs:\n%s", strings.Join(diff[:min(len(diff), 20)], "\n"))
	}
}

// kept compares the target with what it was: nothing has gone but what was below
// a directory that is something else by now.
func (w *world) kept(want, got map[string]shape) (diff []string) {
	for rel := range w.before {
		if _, ok := got[rel]; ok {
			continue
		}
		if !slices.ContainsFunc(above(rel), func(dir string) bool {
			s, there := want[dir]
			return there && s.mode&unix.S_IFMT != unix.S_IFDIR
		}) {
			diff = append(diff, fmt.Sprintf("deleted %q", rel))
		}
	}
	w.before = got
	return diff
}

// relate gives the names of an inode their first one among those of the source:
// others may stay. Of FIFOs that were split nothing is said (see Options.Keep).
func relate(shapes, source map[string]shape) {
	first := map[string]string{}
	for _, rel := range slices.Sorted(maps.Keys(shapes)) {
		s := shapes[rel]
		if _, ok := source[rel]; !ok || s.firstNamed == "" {
			continue
		}
		if first[s.firstNamed] == "" {
			first[s.firstNamed] = rel
		}
		was := s.firstNamed
		s.firstNamed = first[was]
		switch s.mode & unix.S_IFMT {
		case unix.S_IFIFO:
			s = shape{mode: unix.S_IFIFO}
		case unix.S_IFLNK:
			s = shape{mode: unix.S_IFLNK, content: s.content}
		}
		shapes[rel] = s
	}
}
