// Package adversary is a worker in an attacker's hands: it speaks bytes of its own
// making to the real helper, which runs in the jail, with the filter and with the
// descriptors that the supervisor gives it. What the helper does is seen from
// outside: by fanotify, by the kernel's table of its watches, by strace, by /proc.
//
// Trust: tests only.
package adversary

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/cgroup"
	"lockstep/config/choose"
	"lockstep/config/keys"
	"lockstep/internal/buildinfo"
	"lockstep/internal/memfd"
	"lockstep/internal/sys"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/supervise/jail"
)

// theRoot and the number of targets are what brief gives a sync of two targets.
const (
	theRoot    = ipc.RootID(1)
	numTargets = 2
)

// The helper's exit codes, as SECURITY.md and ADR 0006 have them.
const (
	exitDone      = 0
	exitGone      = 70
	exitViolation = 76
)

const patience = 30 * time.Second

// TestMain: the test binary itself is "lockstep" here, and the twins.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == sandbox.StageOneArg:
		sandbox.StageOne()
	case len(os.Args) > 1 && os.Args[1] == openerArg:
		opener(os.Args[2:])
	case len(os.Args) == 3 && os.Args[1] == inotifyArg:
		giveInotify(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == forgerArg:
		forger()
	}
	os.Exit(m.Run())
}

// full says that the numbers are those of make test-long.
func full() bool { return os.Getenv("LOCKSTEP_SCALE") == "full" }

func scaled(small, large int) int {
	if full() {
		return large
	}
	return small
}

// seed is LOCKSTEP_SEED, or a fresh one; it is printed.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := testenv.Number(t, "LOCKSTEP_SEED", uint64(time.Now().UnixNano()))
	t.Logf("to repeat it: LOCKSTEP_SEED=%d", s)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// helperImage is the real helper, built once.
var helperImage = sync.OnceValues(func() (*os.File, error) {
	dir, err := os.MkdirTemp("", "lockstep-helper-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "lockstep-helper")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", out, "lockstep/cmd/lockstep-helper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the helper: %w\n%s", err, text)
	}
	src, err := os.Open(out)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return memfd.Image("lockstep-helper", src)
})

// stage is what all helpers of one test have in common.
type stage struct {
	t        *testing.T
	tree     *tree
	launcher *sandbox.Launcher
	image    *os.File
	filter   *os.File
	group    *cgroup.Group
	starts   int
}

func newStage(t *testing.T) *stage {
	t.Helper()
	testenv.NeedRoot(t)
	s := &stage{t: t, tree: newTree(t)}
	var err error
	s.image, err = helperImage()
	must(t, err)
	exe, err := os.Open("/proc/self/exe")
	must(t, err)
	defer exe.Close()
	self, err := memfd.Image("lockstep", exe)
	must(t, err)
	s.launcher, err = sandbox.NewLauncher(self)
	must(t, err)
	s.filter, err = seccomp.Compile(seccomp.Table(seccomp.Helper, runtime.GOARCH))
	must(t, err)
	host, err := cgroup.Detect()
	must(t, err)
	s.group, err = host.Create(fmt.Sprintf("test-adversary-%d-%d", os.Getpid(), time.Now().UnixNano()))
	must(t, err)
	t.Cleanup(func() {
		for _, err := range []error{s.launcher.Close(), self.Close(), s.filter.Close(), s.group.Remove()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// helper is a real helper, and this process at all the ends of its sockets.
type helper struct {
	t       *testing.T
	tree    *tree
	proc    *sandbox.Process
	leaf    *cgroup.Leaf
	inotify int
	control int
	worker  int // -1: closed
	seq     uint32
	stderr  bytes.Buffer // to be read once copied is closed
	copied  chan struct{}
	closed  bool
	buf     []byte
}

// start starts a helper as (*generation.Maker).helper does, and introduces this
// process to it as its worker. inotify is its event queue; -1: a fresh one.
func (s *stage) start(t *testing.T, inotify int) *helper {
	t.Helper()
	h := &helper{t: t, tree: s.tree, inotify: inotify, copied: make(chan struct{}), buf: make([]byte, ipc.MaxPacket)}
	var err error
	if inotify < 0 {
		h.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		must(t, err)
	}
	const firstOpen = 7 // as in generation: after 0 to 2 and four donations
	config, err := memfd.Sealed("lockstep-helper-config", s.brief(t, firstOpen))
	must(t, err)
	defer config.Close()
	var control int
	h.control, control = pair(t)
	theirs := []*os.File{os.NewFile(uintptr(control), "control"), os.NewFile(uintptr(dup(t, h.inotify)), "inotify")}
	defer theirs[0].Close()
	defer theirs[1].Close()
	reader, writer, err := os.Pipe()
	must(t, err)
	defer writer.Close()
	s.starts++
	h.leaf, err = s.group.Leaf(fmt.Sprintf("helper-%d", s.starts), brief.Limits("helper", numTargets, false))
	must(t, err)
	spec := jail.AsRoot().Helper(jail.Machine{Targets: numTargets}, []jail.Tree{s.tree.jail(t)})
	h.proc, err = s.launcher.Start(spec, s.image, []sandbox.Donation{
		{Name: "control", File: theirs[0]}, {Name: "config", File: config},
		{Name: "inotify", File: theirs[1]}, {Name: "filter", File: s.filter},
	}, writer, h.leaf)
	must(t, err)
	go func() {
		defer close(h.copied)
		_, _ = io.Copy(&h.stderr, reader)
		reader.Close()
	}()
	t.Cleanup(h.cleanUp)
	ours, toWorker := pair(t)
	must(t, unix.SetsockoptInt(toWorker, unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	h.worker = ours
	h.order(&ipc.CtlWorker{PID: uint32(os.Getpid()), UID: uint32(os.Getuid())}, toWorker)
	must(t, unix.Close(toWorker))
	return h
}

// brief is what the supervisor tells the helper of a sync of two targets.
func (s *stage) brief(t *testing.T, firstOpen int) []byte {
	t.Helper()
	b := keys.NewBuilder()
	b.Set("source", s.tree.root)
	b.Set("targets", "/backup/one")
	b.Set("targets", "/backup/two")
	set, err := b.Build()
	must(t, err)
	data, err := brief.Helper(set.Config(0), rsync.Options{}, rootid.Roots{}, choose.Choice{Monitor: choose.Inotify}, 0, firstOpen)
	must(t, err)
	return data
}

func pair(t *testing.T) (int, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	return fds[0], fds[1]
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	must(t, err)
	return n
}

// order is a message of the supervisor's.
func (h *helper) order(m ipc.Message, fd int) {
	h.t.Helper()
	pkt, err := ipc.Append(nil, 0, m)
	must(h.t, err)
	must(h.t, sys.SendPacket(h.control, pkt, fd, 0))
}

// send sends bytes as the worker's next packet. That the helper has gone is no
// error: who wants an answer will see it.
func (h *helper) send(pkt []byte) {
	h.t.Helper()
	switch err := sys.SendPacket(h.worker, pkt, -1, 0); err {
	case nil, unix.EPIPE, unix.ECONNRESET:
	default:
		h.t.Fatalf("send %d bytes: %v", len(pkt), err)
	}
}

// ask sends a well-made request, and gives its number.
func (h *helper) ask(m ipc.Message) uint32 {
	h.t.Helper()
	h.seq++
	pkt, err := ipc.Append(nil, h.seq, m)
	must(h.t, err)
	h.send(pkt)
	return h.seq
}

// receive gives the next packet to the worker, or io.EOF when the helper has gone.
func (h *helper) receive() (ipc.Packet, error) {
	p, err := ipc.Receive(h.worker, h.buf)
	if err == nil && p.FD >= 0 {
		h.t.Fatalf("the helper sent the worker a descriptor: %+v", p.Header)
	}
	return p, err
}

// next is a packet that must come.
func (h *helper) next() ipc.Packet {
	h.t.Helper()
	must(h.t, await(h.worker))
	p, err := h.receive()
	if err != nil {
		h.t.Fatalf("no answer: %v; %s", err, h.account())
	}
	return p
}

// await waits until there is something to be read, but not for ever.
func await(fd int) error {
	for end := time.Now().Add(patience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(end).Milliseconds()))
		switch {
		case err == unix.EINTR && time.Now().Before(end):
			continue
		case err == nil && n == 0, err == unix.EINTR:
			return fmt.Errorf("nothing came within %v", patience)
		}
		return err
	}
}

func hello() *ipc.Hello { return &ipc.Hello{Version: ipc.Version, Build: buildinfo.ID} }

func (h *helper) hello() {
	h.t.Helper()
	h.ask(hello())
	if p := h.next(); p.Header.Type != ipc.TypeHelloAnswer {
		h.t.Fatalf("Hello was answered by %+v", p.Header)
	}
}

// runner gives the helper a runner of a target, and its other end.
func (h *helper) runner(id ipc.TargetID) int {
	h.t.Helper()
	ours, theirs := pair(h.t)
	h.order(&ipc.CtlRunner{Target: id}, theirs)
	must(h.t, unix.Close(theirs))
	return ours
}

// ended waits for the helper's end.
func (h *helper) ended() (code int, sig syscall.Signal) {
	h.t.Helper()
	fd := []unix.PollFd{{Fd: int32(h.proc.PIDFD()), Events: unix.POLLIN}}
	for end := time.Now().Add(patience); ; {
		n, err := unix.Poll(fd, int(max(time.Until(end).Milliseconds(), 0)))
		if err == unix.EINTR {
			continue
		}
		if must(h.t, err); n == 0 {
			h.t.Fatalf("the helper does not end within %v", patience)
		}
		break
	}
	code, sig, err := h.proc.Wait()
	must(h.t, err)
	<-h.copied
	return code, sig
}

// account is how a helper that has gone went.
func (h *helper) account() string {
	code, sig := h.ended()
	return fmt.Sprintf("the helper ended with %d, %v:\n%s", code, sig, h.stderr.String())
}

// ends wants the helper to end by itself, in a documented way, and to say what
// it should as its last line. Nothing of a crash may be in what it says.
func (h *helper) ends(code int, last string) {
	h.t.Helper()
	got, sig := h.ended()
	text := h.stderr.String()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if got != code || sig != 0 || !strings.HasPrefix(lines[len(lines)-1], last) {
		h.t.Errorf("the helper ended with %d, signal %d, want %d and %q:\n%s", got, sig, code, last, text)
	}
	for _, crash := range []string{"panic", "goroutine ", "fatal error", "runtime error", "SIG"} {
		if strings.Contains(text, crash) {
			h.t.Errorf("the helper says %q:\n%s", crash, text)
		}
	}
}

// violated wants the helper to have ended because of the worker, and to say why.
func (h *helper) violated(why string) {
	h.t.Helper()
	h.ends(exitViolation, "<3>violation by the worker: ")
	if text := h.stderr.String(); !strings.Contains(text, why) || strings.Count(text, "<3>") != 1 {
		h.t.Errorf("the helper does not say %q:\n%s", why, text)
	}
}

// stop ends a helper that lives, as the supervisor does.
func (h *helper) stop() {
	h.t.Helper()
	must(h.t, unix.Close(h.control))
	h.closed = true
	h.ends(exitDone, "")
}

func (h *helper) cleanUp() {
	if err := h.proc.Kill(); err != nil {
		h.t.Error(err)
	}
	if _, _, err := h.proc.Wait(); err != nil {
		h.t.Error(err)
	}
	<-h.copied
	if !h.closed {
		unix.Close(h.control)
	}
	if h.worker >= 0 {
		unix.Close(h.worker)
	}
	unix.Close(h.inotify)
	for _, err := range []error{h.proc.Close(), h.leaf.Remove()} {
		if err != nil {
			h.t.Error(err)
		}
	}
}
