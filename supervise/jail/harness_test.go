package jail

import (
	"context"
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
	"lockstep/internal/memfd"
	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/polled"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/host"
	"lockstep/supervise/resolve"
)

// TestMain: the test binary itself is "lockstep" here.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == sandbox.StageOneArg {
		sandbox.StageOne()
	}
	if len(os.Args) > 4 && os.Args[1] == userArg {
		code, err := superviseAsUser(os.Args[2], os.Args[3], os.Args[4], os.Args[5:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// A free uid and gid: nothing of this machine's belongs to them.
const testUID, testGID = 64871, 64872

// runnerImage is the real runner, built once.
var runnerImage = sync.OnceValues(func() (*os.File, error) {
	dir, err := os.MkdirTemp("", "lockstep-runner-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "lockstep-runner")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "lockstep/cmd/lockstep-runner")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the runner: %w\n%s", err, text)
	}
	src, err := os.Open(out)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return memfd.Image("lockstep-runner", src)
})

// remote is a source, the target that it is copied to, and how.
type remote struct {
	src     string
	jail    Remote
	options rsync.Options
	cfg     settings.Runner
	filter  seccomp.Filter
	spec    func(*sandbox.Spec) // changes the jail, for a twin
}

// newRemote is a remote target with everything as the supervisor has it.
func newRemote(t *testing.T, kind rsync.Kind, to rsync.Remote, path string) *remote {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	if kind == rsync.SSH {
		testenv.NeedTool(t, "ssh")
	}
	command, err := host.Inspect("/usr/bin/rsync")
	if err != nil {
		t.Fatal(err)
	}
	to.Kind = kind
	r := &remote{src: realDir(t), options: rsync.Options{Source: Source, Target: path, Remote: to, ACLs: true, Xattrs: rsync.XattrsUser}}
	must(t, os.Chmod(r.src, 0o700)) // root's: it takes a capability to read it
	r.jail = Remote{Kind: kind, Port: to.Port, UID: testUID, GID: testGID}
	if r.jail.Hosts, err = resolve.Host(t.Context(), to.Host); err != nil {
		t.Fatal(err)
	}
	if r.jail.Command, err = host.InspectRemote(command, kind, host.DefaultSSH); err != nil {
		t.Fatal(err)
	}
	r.cfg = settings.Runner{Build: "dev", Program: command.Program, ProgDev: command.Dev, ProgIno: command.Ino,
		Source: Source, Env: RemoteEnv(), MaxDeletePercent: 50, MaxDeleteEntries: 1000, Timeout: 5 * time.Minute, Grace: time.Second}
	r.filter = seccomp.Table(seccomp.Remote, runtime.GOARCH)
	return r
}

// running is a runner in its jail, and the helper's end of its socket.
type running struct {
	t      *testing.T
	proc   *sandbox.Process
	conn   *os.File
	stderr *testenv.Buffer
	job    ipc.JobID
}

// start has the launcher build the jail and start the runner in it.
func (r *remote) start(t *testing.T) *running {
	t.Helper()
	for kind := ipc.JobKind(1); kind < ipc.NumJobKinds; kind++ {
		r.cfg.Argv[kind] = rsync.Argv(kind, r.options)
	}
	r.cfg.Probe = rsync.Probe(r.options)
	var st unix.Stat_t
	must(t, unix.Stat(r.src, &st))
	spec := RemoteRunner(Machine{}, Tree{Host: r.src, Dev: st.Dev, Ino: st.Ino}, r.jail)
	if r.spec != nil {
		r.spec(&spec)
	}
	return launch(t, spec, r.filter, r.cfg)
}

// launch has the launcher build a jail and start a runner in it.
func launch(t *testing.T, spec sandbox.Spec, table seccomp.Filter, cfg settings.Runner) *running {
	t.Helper()
	image, err := runnerImage()
	must(t, err)
	filter, err := seccomp.Compile(table)
	must(t, err)
	defer filter.Close()
	encoded, err := wire.Append(nil, &cfg)
	must(t, err)
	config, err := memfd.Sealed("config", encoded)
	must(t, err)
	defer config.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	must(t, err)
	theirs := os.NewFile(uintptr(pair[1]), "runner")
	defer theirs.Close()
	reader, writer, err := os.Pipe()
	must(t, err)
	defer writer.Close()
	run := &running{t: t, conn: os.NewFile(uintptr(pair[0]), "helper"), stderr: &testenv.Buffer{}}
	run.proc, err = launcher(t).Start(spec, image, []sandbox.Donation{{Name: "helper", File: theirs}, {Name: "config", File: config}, {Name: "filter", File: filter}}, writer, leaf(t))
	must(t, err)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(run.stderr, reader)
	}()
	t.Cleanup(func() {
		run.conn.Close()
		if err := run.proc.Kill(); err != nil {
			t.Error(err)
		}
		if _, _, err := run.proc.Wait(); err != nil {
			t.Error(err)
		}
		<-copied
		run.proc.Close()
		reader.Close()
	})
	return run
}

func launcher(t *testing.T) *sandbox.Launcher {
	t.Helper()
	exe, err := os.Open("/proc/self/exe")
	must(t, err)
	defer exe.Close()
	self, err := memfd.Image("lockstep", exe)
	must(t, err)
	l, err := sandbox.NewLauncher(self)
	must(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		self.Close()
	})
	return l
}

// leaf is a control group with a runner's device filter.
func leaf(t *testing.T) sandbox.Leaf {
	t.Helper()
	h, err := cgroup.Detect()
	must(t, err)
	g, err := h.Create(fmt.Sprintf("test-jail-%d-%d", os.Getpid(), time.Now().UnixNano()))
	must(t, err)
	l, err := g.Leaf("runner", cgroup.Limits{Devices: cgroup.DevicesBasic, Pids: 128})
	must(t, err)
	t.Cleanup(func() {
		if err := l.Remove(); err != nil {
			t.Error(err)
		}
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// run has one job done.
func (r *running) run(kind ipc.JobKind, list string) ipc.RunExited {
	r.t.Helper()
	r.begin(kind, list)
	return r.end()
}

func (r *running) begin(kind ipc.JobKind, list string) {
	r.t.Helper()
	file, err := memfd.Sealed("list", []byte(list))
	must(r.t, err)
	defer file.Close()
	r.job++
	packet, err := ipc.Append(nil, 0, &ipc.RunStart{Job: r.job, Kind: kind})
	must(r.t, err)
	raw, err := r.conn.SyscallConn()
	must(r.t, err)
	if err := polled.Send(raw, packet, int(file.Fd())); err != nil {
		r.t.Fatalf("%v\n%s", err, r.stderr)
	}
}

func (r *running) end() ipc.RunExited {
	r.t.Helper()
	must(r.t, r.conn.SetReadDeadline(time.Now().Add(6*time.Minute)))
	buf := make([]byte, ipc.MaxPacket)
	n, err := r.conn.Read(buf)
	if err != nil {
		code, sig, werr := r.proc.Wait()
		r.t.Fatalf("no answer: %v; the runner ended with %d, %v, %v\n%s", err, code, sig, werr, r.stderr)
	}
	_, payload, err := ipc.ParseHeader(buf[:n])
	must(r.t, err)
	e, err := wire.Decode[ipc.RunExited](payload)
	if err != nil || e.Job != r.job {
		r.t.Fatalf("job %d, %v", e.Job, err)
	}
	return e
}

// ok has one job done, with success and without a word.
func (r *running) ok(kind ipc.JobKind, list string) ipc.RunExited {
	r.t.Helper()
	e := r.run(kind, list)
	if e.End != ipc.EndExited || e.Code != 0 || len(e.Tail) != 0 {
		r.t.Fatalf("kind %d: end %d, code %d: %s\n%s", kind, e.End, e.Code, e.Tail, r.stderr)
	}
	return e
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return dir
}

// shell changes a tree.
func shell(t *testing.T, dir, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/bash", "-ec", script)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// rows are a document's lines "| `name` | …": the names.
func rows(t *testing.T, text, heading string) []string {
	t.Helper()
	_, rest, found := strings.Cut(text, heading)
	if !found {
		t.Fatalf("there is no %q", heading)
	}
	var names []string
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "#") {
			break
		}
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "`"); ok && strings.HasPrefix(line, "| `") {
			names = append(names, name)
		}
	}
	return names
}
