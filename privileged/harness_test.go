package privileged

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

const (
	theRoot   ipc.RootID   = 7
	theTarget ipc.TargetID = 9
	theBuild               = "test-build"
)

// rig is a helper on real sockets and a real tree, with this process in the
// places of supervisor, worker and runner.
type rig struct {
	t       testing.TB
	dir     string // the root
	inotify int
	control int
	worker  int
	seq     uint32
	log     testenv.Buffer
	code    chan int
	h       *Helper
	ended   bool
}

func pair(t testing.TB) (int, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func closeFD(t testing.TB, fd int) {
	t.Helper()
	if err := unix.Close(fd); err != nil {
		t.Errorf("close %d: %v", fd, err)
	}
}

func open(t testing.TB, dir string) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// newRig starts a helper on an empty tree and greets it not. Each change may
// alter the configuration.
func newRig(t testing.TB, change ...func(*ipc.HelperConfig)) *rig {
	t.Helper()
	testenv.NeedRoot(t) // unshare(CLONE_FS) needs nothing, mounts of tests do
	r := &rig{t: t, dir: t.TempDir(), code: make(chan int, 1)}
	rootFD := open(t, r.dir)
	var err error
	if r.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	cfg := ipc.HelperConfig{
		Build:    theBuild,
		Roots:    []ipc.HelperRoot{{Root: ipc.Root{ID: theRoot, Name: "tree"}, FD: rootFD}},
		Targets:  []ipc.Target{{ID: theTarget, Root: theRoot, Name: "copy"}},
		Deadline: 10 * time.Second,
		Worker:   []byte("worker config"),
	}
	for _, f := range change {
		f(&cfg)
	}
	if r.h, err = New(cfg, r.inotify, &r.log); err != nil {
		t.Fatal(err)
	}
	var theirs int
	r.control, theirs = pair(t)
	go func() { r.code <- r.h.Serve(theirs) }()
	t.Cleanup(func() {
		if !r.ended {
			closeFD(t, r.control)
			if code := r.exit(); code != ExitDone {
				t.Errorf("the helper ended with %d:\n%s", code, r.log.String())
			}
		}
		if r.worker > 0 {
			closeFD(t, r.worker)
		}
		closeFD(t, r.inotify)
		closeFD(t, rootFD)
		// theirs stays open until this process ends: the goroutine that reads it
		// may be about to ask again, and would read what the next test sends by
		// a socket that has got the same number.
	})
	return r
}

// exit waits for the helper's end.
func (r *rig) exit() int {
	r.t.Helper()
	r.ended = true
	select {
	case code := <-r.code:
		return code
	case <-time.After(20 * time.Second):
		r.t.Fatalf("the helper goes on:\n%s", r.log.String())
		return -1
	}
}

// order sends a supervisor's message.
func (r *rig) order(m ipc.Message, fd int) {
	r.t.Helper()
	pkt, err := ipc.Append(nil, 0, m)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := sys.SendPacket(r.control, pkt, fd, 0); err != nil {
		r.t.Fatal(err)
	}
}

// connect introduces this process as the worker.
func (r *rig) connect() {
	r.t.Helper()
	ours, theirs := pair(r.t)
	if err := unix.SetsockoptInt(theirs, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		r.t.Fatal(err)
	}
	r.worker = ours
	r.order(&ipc.CtlWorker{PID: uint32(os.Getpid()), UID: uint32(os.Getuid())}, theirs)
	closeFD(r.t, theirs)
}

// runner gives the target a runner and returns its end of the socket.
func (r *rig) runner() int {
	r.t.Helper()
	ours, theirs := pair(r.t)
	r.order(&ipc.CtlRunner{Target: theTarget}, theirs)
	closeFD(r.t, theirs)
	return ours
}

// ask sends a request and returns its number.
func (r *rig) ask(m ipc.Message) uint32 {
	r.t.Helper()
	r.seq++
	pkt, err := ipc.Append(nil, r.seq, m)
	if err != nil {
		r.t.Fatal(err)
	}
	r.raw(pkt, -1)
	return r.seq
}

func (r *rig) raw(pkt []byte, fd int) {
	r.t.Helper()
	if err := sys.SendPacket(r.worker, pkt, fd, 0); err != nil {
		r.t.Fatal(err)
	}
}

// next reads the helper's next packet.
func (r *rig) next() ipc.Packet {
	r.t.Helper()
	p, err := receive(r.worker)
	if err != nil {
		r.t.Fatalf("%v; log:\n%s", err, r.log.String())
	}
	return p
}

// receive is ipc.Receive that gives up after a while.
func receive(fd int) (ipc.Packet, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 20_000)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return ipc.Packet{}, err
		}
		if n == 0 {
			return ipc.Packet{}, syscall.ETIMEDOUT
		}
		return ipc.Receive(fd, make([]byte, ipc.MaxPacket))
	}
}

// answer reads the answer to seq, of one packet.
func answer[T any](r *rig, seq uint32, typ ipc.Type, decode func([]byte) (T, error)) T {
	r.t.Helper()
	p := r.next()
	if p.Header != (ipc.Header{Type: typ, Final: true, Seq: seq}) || p.FD != -1 {
		r.t.Fatalf("%+v, fd %d: want type %d, number %d", p.Header, p.FD, typ, seq)
	}
	m, err := decode(p.Payload)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) hello() {
	r.t.Helper()
	seq := r.ask(&ipc.Hello{Version: ipc.Version, Build: theBuild})
	answer(r, seq, ipc.TypeHelloAnswer, wire.Decode[ipc.HelloAnswer])
}

// stat asks for paths.
func (r *rig) stat(rels ...string) []ipc.PathStat {
	r.t.Helper()
	seq := r.ask(&ipc.Stat{Root: theRoot, Rels: rels})
	a := answer(r, seq, ipc.TypeStatAnswer, wire.Decode[ipc.StatAnswer])
	if len(a.Stats) != len(rels) {
		r.t.Fatalf("%d stats for %d paths", len(a.Stats), len(rels))
	}
	return a.Stats
}

// watch asks for directories and joins the parts of the answer.
func (r *rig) watch(m ipc.Watch) []ipc.Dir {
	r.t.Helper()
	m.Root = theRoot
	seq := r.ask(&m)
	out := make([]ipc.Dir, len(m.Rels))
	ended := make([]bool, len(m.Rels))
	for {
		p := r.next()
		if p.Header.Type != ipc.TypeWatchAnswer || p.Header.Seq != seq {
			r.t.Fatalf("%+v", p.Header)
		}
		a, err := wire.Decode[ipc.WatchAnswer](p.Payload)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, d := range a.Dirs {
			if ended[d.Index] {
				r.t.Fatalf("directory %d goes on after its end", d.Index)
			}
			ended[d.Index] = !d.More
			d.Entries = append(out[d.Index].Entries, d.Entries...)
			out[d.Index] = d
		}
		if p.Header.Final {
			break
		}
	}
	for i, e := range ended {
		if !e {
			r.t.Fatalf("directory %d was not answered to its end", i)
		}
	}
	return out
}

// start asks for a job with a list.
func (r *rig) start(kind ipc.JobKind, list string) uint32 {
	r.t.Helper()
	seq := r.ask(&ipc.Start{Target: theTarget, Kind: kind, Size: uint32(len(list))})
	for len(list) > 0 {
		n := min(len(list), 60_000)
		r.ask(&ipc.Data{Bytes: []byte(list[:n])})
		list = list[n:]
	}
	return seq
}

func (r *rig) started(seq uint32) ipc.StartAnswer {
	r.t.Helper()
	return answer(r, seq, ipc.TypeStartAnswer, wire.Decode[ipc.StartAnswer])
}

func (r *rig) exited() ipc.Exited {
	r.t.Helper()
	return answer(r, 0, ipc.TypeExited, wire.Decode[ipc.Exited])
}

// violated expects the helper to end because of the worker, and to name why.
func (r *rig) violated(why string) {
	r.t.Helper()
	if code := r.exit(); code != ExitViolation {
		r.t.Fatalf("exit code %d, want %d; log:\n%s", code, ExitViolation, r.log.String())
	}
	log := r.log.String()
	if !strings.HasPrefix(log, "<3>violation by the worker: ") || !strings.Contains(log, why) {
		r.t.Fatalf("log %q does not say %q", log, why)
	}
	closeFD(r.t, r.control)
}

// list reads the sealed list that came with a RunStart.
func list(t *testing.T, p ipc.Packet) string {
	t.Helper()
	if p.FD < 0 {
		t.Fatal("no list")
	}
	f := os.NewFile(uintptr(p.FD), "list")
	defer f.Close()
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&all != all {
		t.Fatalf("seals %#x, %v", seals, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
