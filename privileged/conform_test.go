package privileged

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// events reads the names of what happened since the last call, by watch.
func (r *rig) events() map[int32][]string {
	r.t.Helper()
	out := map[int32][]string{}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(r.inotify, buf)
		if err == unix.EAGAIN {
			return out
		}
		must(r.t, err)
		for b := buf[:n]; len(b) > 0; {
			wd := int32(b[0]) | int32(b[1])<<8 | int32(b[2])<<16 | int32(b[3])<<24
			size := 16 + int(b[12]) + int(b[13])<<8
			out[wd] = append(out[wd], strings.TrimRight(string(b[16:size]), "\x00"))
			b = b[size:]
		}
	}
}

func TestHelloTellsWhatThereIs(t *testing.T) {
	r := newRig(t)
	r.connect()
	seq := r.ask(&ipc.Hello{Version: ipc.Version, Build: theBuild})
	a := answer(r, seq, ipc.TypeHelloAnswer, wire.Decode[ipc.HelloAnswer])
	if len(a.Roots) != 1 || a.Roots[0] != (ipc.Root{ID: theRoot, Name: "tree"}) {
		t.Errorf("roots %+v", a.Roots)
	}
	if len(a.Targets) != 1 || a.Targets[0] != (ipc.Target{ID: theTarget, Root: theRoot, Name: "copy"}) {
		t.Errorf("targets %+v", a.Targets)
	}
	if string(a.Config) != "worker config" {
		t.Errorf("config %q", a.Config)
	}
}

// sample makes one entry of each kind.
func sample(t *testing.T, dir string) {
	must(t, os.Mkdir(filepath.Join(dir, "dir"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("12345"), 0))
	must(t, os.WriteFile(filepath.Join(dir, "one"), nil, 0o600))
	must(t, os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "dir", "two")))
	must(t, os.Symlink("dir", filepath.Join(dir, "link")))
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, unix.Mknod(filepath.Join(dir, "char"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(filepath.Join(dir, "block"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))))
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	must(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	must(t, l.Close())
}

func TestStat(t *testing.T) {
	r := newRig(t)
	sample(t, r.dir)
	r.connect()
	r.hello()
	cases := []struct {
		rel    string
		status syscall.Errno
		kind   ipc.Kind
	}{
		{"", 0, ipc.KindDir},
		{"dir", 0, ipc.KindDir},
		{"file", 0, ipc.KindFile},
		{"link", 0, ipc.KindLink},
		{"fifo", 0, ipc.KindFIFO},
		{"socket", 0, ipc.KindSocket},
		{"char", 0, ipc.KindChar},
		{"block", 0, ipc.KindBlock},
		{"dir/two", 0, ipc.KindFile},
		{"dir/none", unix.ENOENT, 0},
		{"none", unix.ENOENT, 0},
		{"none/x", unix.ENOENT, 0},
		{"file/x", unix.ENOTDIR, 0},
		{"link/two", unix.ELOOP, 0},
		{strings.Repeat("n", 256), unix.ENAMETOOLONG, 0},
		{strings.Repeat("d/", 2047) + "x", unix.ENOENT, 0},
		{strings.Repeat("d/", 2047) + "xx", unix.ENOENT, 0}, // 4096 bytes: only the parent is a path to the kernel
	}
	var rels []string
	for _, c := range cases {
		rels = append(rels, c.rel)
	}
	for i, got := range r.stat(rels...) {
		c := cases[i]
		if got.Status != ipc.Status(c.status) || got.Kind != c.kind {
			t.Errorf("%.20q: %+v, want status %v, kind %d", c.rel, got, c.status, c.kind)
		}
		if c.status != 0 {
			continue
		}
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(r.dir, c.rel), &st))
		if got.Ino != st.Ino || got.Nlink != uint32(st.Nlink) || got.Size != uint64(st.Size) {
			t.Errorf("%q: %+v, lstat says %+v", c.rel, got, st)
		}
	}
	if s := r.stat(); len(s) != 0 {
		t.Errorf("no path: %+v", s)
	}
}

func names(d ipc.Dir) string {
	var out []string
	for _, e := range d.Entries {
		out = append(out, e.Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestWatchAndList(t *testing.T) {
	r := newRig(t)
	sample(t, r.dir)
	r.connect()
	r.hello()

	all := r.watch(ipc.Watch{Watch: true, All: true, Rels: []string{"", "dir", "none", "file", "link"}})
	if got := names(all[0]); got != "block char dir fifo file link one socket" {
		t.Errorf("all: %s", got)
	}
	if got := names(all[1]); got != "two" {
		t.Errorf("dir: %s", got)
	}
	for i, want := range []syscall.Errno{0, 0, unix.ENOENT, unix.ENOTDIR, unix.ELOOP} {
		if all[i].Status != ipc.Status(want) || (all[i].WD > 0) != (want == 0) {
			t.Errorf("%d: %+v, want %v", i, all[i], want)
		}
	}
	for _, e := range all[0].Entries {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(r.dir, e.Name), &st))
		if isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR; isDir != (e.Kind == ipc.KindDir) {
			t.Errorf("%+v, lstat says %+v", e, st)
		} else if !isDir && (e.Ino != st.Ino || e.Nlink != uint32(st.Nlink) || e.Size != uint64(st.Size) || e.Ctime != uint64(st.Ctim.Nano())) {
			t.Errorf("%+v, lstat says %+v", e, st)
		}
	}

	few := r.watch(ipc.Watch{Rels: []string{"", "dir"}})
	if got := names(few[0]); got != "block char dir one socket" {
		t.Errorf("few: %s", got)
	}
	if few[0].WD != -1 {
		t.Errorf("list only: %+v", few[0])
	}

	// Watched where it says, and at the same place when asked again.
	again := r.watch(ipc.Watch{Watch: true, Rels: []string{"dir"}})
	if again[0].WD != all[1].WD {
		t.Errorf("watched again as %d, was %d", again[0].WD, all[1].WD)
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "dir", "new"), nil, 0o600))
	if ev := r.events(); len(ev) != 1 || ev[all[1].WD][0] != "new" {
		t.Errorf("events %v", ev)
	}
}

func TestLargeDirectoryIsSplit(t *testing.T) {
	r := newRig(t)
	want := map[string]bool{}
	for i := range 1500 {
		name := fmt.Sprintf("%s-%04d", strings.Repeat("long", 40), i)
		must(t, os.WriteFile(filepath.Join(r.dir, name), nil, 0o600))
		want[name] = true
	}
	must(t, os.Mkdir(filepath.Join(r.dir, "sub"), 0o700))
	want["sub"] = true
	r.connect()
	r.hello()
	d := r.watch(ipc.Watch{All: true, Watch: true, Rels: []string{"sub", "", "sub"}})
	if len(d[1].Entries) != len(want) || d[1].WD < 1 {
		t.Fatalf("%d entries, want %d; %d", len(d[1].Entries), len(want), d[1].WD)
	}
	for _, e := range d[1].Entries {
		if !want[e.Name] {
			t.Errorf("%q twice or from nowhere", e.Name)
		}
		delete(want, e.Name)
	}
	// Pipelined requests are answered in their order.
	var seqs []uint32
	for range 20 {
		seqs = append(seqs, r.ask(&ipc.Stat{Root: theRoot, Rels: []string{"sub"}}))
	}
	for _, seq := range seqs {
		answer(r, seq, ipc.TypeStatAnswer, wire.Decode[ipc.StatAnswer])
	}
}

func TestJob(t *testing.T) {
	r := newRig(t)
	runner := r.runner()
	r.connect()
	r.hello()
	const text = "./a\x00./b/c\x00.\x00"
	seq := r.start(ipc.JobList, text)
	p, err := receive(runner)
	must(t, err)
	m, err := wire.Decode[ipc.RunStart](p.Payload)
	must(t, err)
	if got := list(t, p); got != text || m.Kind != ipc.JobList {
		t.Errorf("%q, %+v", got, m)
	}
	a := r.started(seq)
	if a.Status != ipc.OK || a.Job != m.Job {
		t.Fatalf("%+v, runner %+v", a, m)
	}

	stop := r.ask(&ipc.Stop{Job: a.Job})
	if s := answer(r, stop, ipc.TypeStopAnswer, wire.Decode[ipc.StopAnswer]); s.Status != ipc.OK {
		t.Errorf("%+v", s)
	}
	p, err = receive(runner)
	must(t, err)
	if s, err := wire.Decode[ipc.RunStop](p.Payload); err != nil || s.Job != a.Job || p.Header.Type != ipc.TypeRunStop {
		t.Errorf("%+v %v", s, err)
	}

	want := ipc.Exited{Job: a.Job, End: ipc.EndExited, Code: 23, Wall: 1, CPU: 2, MaxRSS: 3, Deletes: 4, Entries: 5, Tail: []byte("tail")}
	r.tell(runner, &ipc.RunEnd{Exited: want})
	if got := r.exited(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v", got)
	}
	stop = r.ask(&ipc.Stop{Job: a.Job})
	if s := answer(r, stop, ipc.TypeStopAnswer, wire.Decode[ipc.StopAnswer]); s.Status != ipc.StatusGone {
		t.Errorf("%+v", s)
	}
	closeFD(t, runner)
}

// tell sends a packet as the runner.
func (r *rig) tell(runner int, m ipc.Message) {
	r.t.Helper()
	pkt, err := ipc.Append(nil, 0, m)
	must(r.t, err)
	must(r.t, sys.SendPacket(runner, pkt, -1, 0))
}

func TestEmptyAndLargeList(t *testing.T) {
	r := newRig(t)
	runner := r.runner()
	r.connect()
	r.hello()
	var large strings.Builder
	for large.Len() < 3<<20 {
		fmt.Fprintf(&large, "- /some/long/directory/name/%d/***\x00", large.Len())
	}
	for _, text := range []string{"", large.String()} {
		seq := r.start(ipc.JobInitial, text)
		p, err := receive(runner)
		must(t, err)
		if got := list(t, p); got != text {
			t.Errorf("%d bytes, want %d", len(got), len(text))
		}
		a := r.started(seq)
		r.tell(runner, &ipc.RunEnd{Exited: ipc.Exited{Job: a.Job, End: ipc.EndExited}})
		r.exited()
	}
	closeFD(t, runner)
}

func TestJobsAreBounded(t *testing.T) {
	r := newRig(t)
	r.connect()
	r.hello()
	if a := r.started(r.start(ipc.JobList, ".\x00")); a.Status != ipc.StatusNoRunner {
		t.Fatalf("without a runner: %+v", a)
	}
	runner := r.runner()
	var jobs []ipc.JobID
	for len(jobs) < ipc.MaxJobs {
		a := r.started(r.start(ipc.JobList, ".\x00"))
		if a.Status == ipc.StatusNoRunner {
			continue // the supervisor's packet is still on its way
		}
		jobs = append(jobs, a.Job)
	}
	if a := r.started(r.start(ipc.JobList, ".\x00")); a.Status != ipc.StatusBusy {
		t.Fatalf("one too many: %+v", a)
	}
	// A dead runner's jobs are lost, and the next runner takes over.
	closeFD(t, runner)
	lost := map[ipc.JobID]bool{}
	for range jobs {
		x := r.exited()
		if x.End != ipc.EndLost {
			t.Errorf("%+v", x)
		}
		lost[x.Job] = true
	}
	if len(lost) != len(jobs) || !lost[jobs[0]] {
		t.Errorf("lost %v of %v", lost, jobs)
	}
	if a := r.started(r.start(ipc.JobList, ".\x00")); a.Status != ipc.StatusNoRunner {
		t.Errorf("%+v", a)
	}
}

func TestReplacedRunner(t *testing.T) {
	r := newRig(t)
	first := r.runner()
	r.connect()
	r.hello()
	a := r.started(r.start(ipc.JobList, ".\x00"))
	second := r.runner()
	if x := r.exited(); x.Job != a.Job || x.End != ipc.EndLost {
		t.Fatalf("%+v", x)
	}
	b := r.started(r.start(ipc.JobList, ".\x00"))
	if b.Job == a.Job || b.Status != ipc.OK {
		t.Fatalf("%+v", b)
	}
	// What the old one says is not heard any more.
	r.tell(first, &ipc.RunEnd{Exited: ipc.Exited{Job: b.Job, End: ipc.EndExited}})
	if p, err := receive(first); err != nil || p.Header.Type != ipc.TypeRunStart {
		t.Fatal(p, err)
	}
	if _, err := receive(first); err == nil {
		t.Error("the old runner's socket is still open")
	}
	r.tell(second, &ipc.RunEnd{Exited: ipc.Exited{Job: b.Job, End: ipc.EndSignalled, Code: 9}})
	if x := r.exited(); x.Job != b.Job || x.End != ipc.EndSignalled {
		t.Errorf("%+v", x)
	}
	closeFD(t, first)
	closeFD(t, second)
}

// exited is a runner's word that a job has ended with a code.
func exited(job ipc.JobID, code uint8) []byte {
	pkt, err := ipc.Append(nil, 0, &ipc.RunEnd{Exited: ipc.Exited{Job: job, End: ipc.EndExited, Code: code}})
	if err != nil {
		panic(err)
	}
	return pkt
}

// The runner of one target cannot say that a job of another has ended.
func TestRunnerEndsJobsOfItsOwn(t *testing.T) {
	const another = theTarget + 1
	r := newRig(t, func(cfg *ipc.HelperConfig) {
		cfg.Targets = append(cfg.Targets, ipc.Target{ID: another, Root: theRoot, Name: "another"})
	})
	runner := r.runner()
	stranger, theirs := pair(t)
	r.order(&ipc.CtlRunner{Target: another}, theirs)
	closeFD(t, theirs)
	r.connect()
	r.hello()
	a := r.started(r.start(ipc.JobList, ".\x00"))
	must(t, sys.SendPacket(stranger, exited(a.Job, 0), -1, 0))
	fds := []unix.PollFd{{Fd: int32(stranger), Events: unix.POLLIN}, {Fd: int32(r.worker), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, 20_000)
		if err != unix.EINTR {
			must(t, err)
			break
		}
	}
	if fds[0].Revents == 0 || fds[1].Revents != 0 {
		t.Fatalf("it is believed: %+v", fds)
	}
	must(t, sys.SendPacket(runner, exited(a.Job, 7), -1, 0))
	if x := r.exited(); x.Job != a.Job || x.End != ipc.EndExited || x.Code != 7 {
		t.Errorf("%+v", x)
	}
	if log := r.log.String(); !strings.Contains(log, "<4>the runner of another is dropped: ") || strings.Contains(log, "runner of copy") {
		t.Errorf("log %q", log)
	}
	closeFD(t, stranger)
	closeFD(t, runner)
}

func TestBadRunnerIsDropped(t *testing.T) {
	cases := map[string][]byte{
		"unknown job": exited(99, 0),
		"cut":         exited(1, 0)[:12],
		"trailing":    append(exited(1, 0), 0),
		"other type":  func() []byte { p := exited(1, 0); p[0] = byte(ipc.TypeExited); return p }(),
		"numbered":    func() []byte { p := exited(1, 0); p[4] = 1; return p }(),
		"too large":   make([]byte, ipc.MaxPacket+1),
	}
	for name, pkt := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			runner := r.runner()
			r.connect()
			r.hello()
			a := r.started(r.start(ipc.JobList, ".\x00"))
			must(t, sys.SendPacket(runner, pkt, -1, 0))
			if x := r.exited(); x.Job != a.Job || x.End != ipc.EndLost {
				t.Errorf("%+v", x)
			}
			if b := r.started(r.start(ipc.JobList, ".\x00")); b.Status != ipc.StatusNoRunner {
				t.Errorf("%+v", b)
			}
			if log := r.log.String(); !strings.Contains(log, "<4>the runner of copy is dropped: ") {
				t.Errorf("log %q", log)
			}
			closeFD(t, runner)
		})
	}
}

func TestShutdownAndDrain(t *testing.T) {
	r := newRig(t)
	runner := r.runner()
	r.connect()
	r.hello()
	r.order(&ipc.CtlShutdown{}, -1)
	answer(r, 0, ipc.TypeShutdown, wire.Decode[ipc.Shutdown])
	if a := r.started(r.start(ipc.JobList, ".\x00")); a.Status != ipc.StatusDraining {
		t.Errorf("%+v", a)
	}
	if s := r.stat(""); s[0].Kind != ipc.KindDir {
		t.Errorf("%+v", s)
	}
	answer(r, r.ask(&ipc.Drain{}), ipc.TypeDrainAnswer, wire.Decode[ipc.DrainAnswer])
	must(t, unix.Shutdown(r.worker, unix.SHUT_RDWR))
	if code := r.exit(); code != ExitDone {
		t.Errorf("exit code %d:\n%s", code, r.log.String())
	}
	closeFD(t, r.control)
	closeFD(t, runner)
}

func TestShutdownBeforeHello(t *testing.T) {
	r := newRig(t)
	r.order(&ipc.CtlShutdown{}, -1)
	r.connect()
	seq := r.ask(&ipc.Hello{Version: ipc.Version, Build: theBuild})
	got := map[ipc.Type]uint32{}
	for range 2 {
		p := r.next()
		got[p.Header.Type] = p.Header.Seq
	}
	if !maps.Equal(got, map[ipc.Type]uint32{ipc.TypeShutdown: 0, ipc.TypeHelloAnswer: seq}) {
		t.Errorf("%v", got)
	}
	if a := r.started(r.start(ipc.JobList, ".\x00")); a.Status != ipc.StatusDraining {
		t.Errorf("%+v", a)
	}
}

func TestWorkerGone(t *testing.T) {
	r := newRig(t)
	r.connect()
	r.hello()
	must(t, unix.Shutdown(r.worker, unix.SHUT_RDWR))
	if code := r.exit(); code != ExitInternal || !strings.HasPrefix(r.log.String(), "<6>the worker has gone") {
		t.Errorf("exit code %d:\n%s", code, r.log.String())
	}
	closeFD(t, r.control)
}
