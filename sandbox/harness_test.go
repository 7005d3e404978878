package sandbox

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/memfd"
	"lockstep/internal/testenv"
)

// TestMain: the test binary itself is "lockstep" here.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == StageOneArg {
		StageOne()
	}
	if len(os.Args) == 3 && os.Args[1] == "supervise" {
		superviseChild(os.Args[2])
	}
	os.Exit(m.Run())
}

// report is the probe's.
type report struct {
	Args, Env              []string
	Pid, Ppid              int
	UIDs, GIDs             [3]int
	Groups                 []int
	Securebits, NoNewPrivs int
	Umask                  int
	NoFile                 uint64
	Cwd                    string
	Root                   []string
	Acts                   map[string]string
}

// probePath builds the probe once.
var probePath = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "lockstep-probe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "probe")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", &buildError{string(text), err}
	}
	src, err := os.Open(out)
	if err != nil {
		return "", err
	}
	defer src.Close()
	image, err := memfd.Image("probe", src)
	if err != nil {
		return "", err
	}
	// Kept open for the life of the test binary.
	fd, err := unix.Dup(int(image.Fd()))
	if err != nil {
		return "", err
	}
	return "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(fd), image.Close()
})

type buildError struct {
	text string
	err  error
}

func (e *buildError) Error() string { return e.err.Error() + ": " + e.text }

// jail is a launcher and what tests start with it.
type jail struct {
	t        testing.TB
	launcher *Launcher
	probe    *os.File
}

func newJail(t *testing.T) *jail {
	t.Helper()
	testenv.NeedRoot(t)
	return &jail{t: t, launcher: launcher(t), probe: probeImage(t)}
}

func probeImage(t testing.TB) *os.File {
	t.Helper()
	path, err := probePath()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func launcher(t testing.TB) *Launcher {
	t.Helper()
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	self, err := memfd.Image("lockstep", exe)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLauncher(self)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		self.Close()
	})
	return l
}

// running is a probe that has reported and waits.
type running struct {
	*Process
	report
	release *os.File // closing it lets the probe end
	out     *bufio.Reader
}

// start starts the probe in a jail and waits for its report.
func (j *jail) start(spec Spec, leaf Leaf, more ...Donation) *running {
	j.t.Helper()
	hold, release, err := os.Pipe()
	if err != nil {
		j.t.Fatal(err)
	}
	defer hold.Close()
	p, out := j.launch(spec, leaf, append([]Donation{{"hold", hold}}, more...)...)
	r := &running{Process: p, release: release, out: out}
	line, err := out.ReadString('\n')
	if err != nil || json.Unmarshal([]byte(line), &r.report) != nil {
		code, sig, werr := p.Wait()
		j.t.Fatalf("no report but %q (%v); exit code %d, signal %v, %v", line, err, code, sig, werr)
	}
	j.t.Cleanup(func() {
		release.Close()
		if err := p.Kill(); err != nil {
			j.t.Error(err)
		}
		if _, _, err := p.Wait(); err != nil {
			j.t.Error(err)
		}
		p.Close()
	})
	return r
}

// launch starts the probe and returns what it writes.
func (j *jail) launch(spec Spec, leaf Leaf, fds ...Donation) (*Process, *bufio.Reader) {
	j.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(func() { r.Close() })
	defer w.Close()
	p, err := j.launcher.Start(spec, j.probe, fds, w, leaf)
	if err != nil {
		j.t.Fatal(err)
	}
	return p, bufio.NewReader(r)
}

// fails starts the probe in a jail that cannot be built, and returns what is
// said about it.
func (j *jail) fails(spec Spec, leaf Leaf, wantCode int) string {
	j.t.Helper()
	p, out := j.launch(spec, leaf)
	text, err := io.ReadAll(out)
	if err != nil {
		j.t.Fatal(err)
	}
	code, sig, err := p.Wait()
	if err != nil || code != wantCode || sig != 0 {
		j.t.Errorf("exit code %d, signal %v, %v, want %d: %s", code, sig, err, wantCode, text)
	}
	if err := p.Close(); err != nil {
		j.t.Error(err)
	}
	if !strings.HasPrefix(string(text), "<3>stage one of ") || strings.Count(string(text), "\n") != 1 {
		j.t.Errorf("message is %q, want one <3> line", text)
	}
	return string(text)
}

// unconfined runs the probe's acts without a jail: the twin of a test.
func unconfined(t *testing.T, acts ...string) map[string]string {
	t.Helper()
	path, err := probePath()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, acts...)
	cmd.Env = []string{}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r.Acts
}

// wantActs compares what became of acts.
func wantActs(t *testing.T, who string, got, want map[string]string) {
	t.Helper()
	for act, result := range want {
		if got[act] != result {
			t.Errorf("%s: %s: %s, want %s", who, act, got[act], result)
		}
	}
}

func keys(m map[string]string) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	return ks
}

// status reads the fields of a thread's /proc status.
func status(t *testing.T, path string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		k, v, _ := strings.Cut(line, ":")
		fields[k] = strings.TrimSpace(v)
	}
	return fields
}

const allNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// workerSpec is an empty jail under a free uid.
func workerSpec(acts ...string) Spec {
	return Spec{
		Role: "worker", Argv: append([]string{"probe"}, acts...), Env: []string{"TZ=UTC"},
		UID: 64999, GID: 64998, Namespaces: allNamespaces | unix.CLONE_NEWPID,
		Rlimits: []Rlimit{{unix.RLIMIT_CORE, 0, 0}, {unix.RLIMIT_NOFILE, 32, 32}},
	}
}

// waitGone waits for the end of a process that is not a child.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 10_000)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n != 1 {
			t.Fatalf("process %d is still there: %v", pid, err)
		}
		return
	}
}

// superviseChild is a supervisor to be killed: it starts a probe, says its pid
// and its own, and waits.
func superviseChild(probe string) {
	die := func(err error) {
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
	}
	exe, err := os.Open("/proc/self/exe")
	die(err)
	self, err := memfd.Image("lockstep", exe)
	die(err)
	l, err := NewLauncher(self)
	die(err)
	image, err := os.Open(probe)
	die(err)
	hold, _, err := os.Pipe()
	die(err)
	spec := workerSpec()
	p, err := l.Start(spec, image, []Donation{{"hold", hold}}, os.Stdout, nil)
	die(err)
	_, _ = os.Stdout.WriteString(strconv.Itoa(p.PID) + "\n")
	code, sig, err := p.Wait()
	os.Stdout.WriteString("ended " + strconv.Itoa(code) + " " + sig.String() + "\n")
	die(err)
	_ = syscall.Pause()
}
