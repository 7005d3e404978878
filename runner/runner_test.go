package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/runner/pipes"
)

const (
	fdsVar   = "RUNNER_TEST_PRINT_FDS"
	nudgeVar = "RUNNER_TEST_WAIT_FOR_SIGCHLD"
)

// TestMain also is the small programs that print which descriptors they were
// started with, without /proc and before they open any, and that end at their
// first or second SIGCHLD.
func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv(nudgeVar)); err == nil {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGCHLD)
		for range n {
			<-c
		}
		fmt.Println("nudged")
		os.Exit(0)
	}
	if os.Getenv(fdsVar) != "" {
		var open []string
		for fd := range 1024 {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
				open = append(open, strconv.Itoa(fd))
			}
		}
		fmt.Println(strings.Join(open, " "))
		os.Exit(0)
	}
	// Orphans come to this process, as they do to process 1 of a namespace.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// fake is a Link whose other end is the test.
type fake struct {
	in  chan packet
	out chan ipc.RunExited
}

type packet struct {
	msg  any
	list *os.File
	err  error
}

func (f *fake) Receive() (any, *os.File, error) {
	p, ok := <-f.in
	if !ok {
		return nil, nil, io.EOF
	}
	return p.msg, p.list, p.err
}

func (f *fake) Send(exited ipc.RunExited) error {
	f.out <- exited
	return nil
}

// bench is a runner under test.
type bench struct {
	*fake
	t    *testing.T
	cfg  settings.Runner
	code chan int
	log  *testenv.Buffer
	next ipc.JobID
	open bool
}

func shell(t *testing.T) settings.Runner {
	return program(t, "/bin/sh")
}

func program(t *testing.T, path string) settings.Runner {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return settings.Runner{
		Program: path, ProgDev: st.Dev, ProgIno: st.Ino,
		Env:     []string{"PATH=/usr/bin:/bin"},
		Timeout: time.Minute, Grace: time.Second,
	}
}

func serve(t *testing.T, cfg settings.Runner) *bench {
	t.Helper()
	b := &bench{
		fake: &fake{in: make(chan packet), out: make(chan ipc.RunExited, 16)},
		t:    t, cfg: cfg, code: make(chan int, 1), log: &testenv.Buffer{}, open: true,
	}
	r := New(cfg, b, b.log)
	go func() { b.code <- r.Serve() }()
	t.Cleanup(func() { b.end() })
	return b
}

// script runs one shell script as a list job.
func script(t *testing.T, text string, change func(*settings.Runner)) *bench {
	t.Helper()
	cfg := shell(t)
	cfg.Argv[ipc.JobList] = []string{"sh", "-c", text}
	if change != nil {
		change(&cfg)
	}
	return serve(t, cfg)
}

// end closes the socket and returns the exit code.
func (b *bench) end() int {
	if b.open {
		b.open = false
		close(b.in)
		b.next = 0
		code := <-b.code
		b.code <- code
		return code
	}
	code := <-b.code
	b.code <- code
	return code
}

func sealed(t *testing.T, data string, seals int) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("list", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "list")
	if _, err := f.WriteString(data); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	return f
}

const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

func (b *bench) start(kind ipc.JobKind, list string) ipc.JobID {
	b.t.Helper()
	b.next++
	b.in <- packet{msg: &ipc.RunStart{Job: b.next, Kind: kind}, list: sealed(b.t, list, allSeals)}
	return b.next
}

func (b *bench) wait() ipc.RunExited {
	b.t.Helper()
	select {
	case exited := <-b.out:
		return exited
	case <-time.After(20 * time.Second):
		b.t.Fatal("no end of the job within 20 s")
		panic("unreachable")
	}
}

func (b *bench) run(kind ipc.JobKind, list string) ipc.RunExited {
	b.t.Helper()
	b.start(kind, list)
	return b.wait()
}

func TestExitAndTail(t *testing.T) {
	b := script(t, "echo out; echo err >&2; cat; exit 7", nil)
	got := b.run(ipc.JobList, "./a\x00")
	if got.Job != 1 || got.End != ipc.EndExited || got.Code != 7 || string(got.Tail) != "out\nerr\n./a\x00" {
		t.Errorf("%+v %q", got, got.Tail)
	}
	if got.Wall == 0 || got.MaxRSS == 0 {
		t.Errorf("no account: %+v", got)
	}
	// The same list again, after it was read to its end.
	list := sealed(t, "again", allSeals)
	if _, err := list.Seek(0, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	b.in <- packet{msg: &ipc.RunStart{Job: 9, Kind: ipc.JobList}, list: list}
	if got := b.wait(); got.Job != 9 || !bytes.HasSuffix(got.Tail, []byte("again")) {
		t.Errorf("%+v %q", got, got.Tail)
	}
	if code := b.end(); code != ExitDone {
		t.Errorf("exit code %d", code)
	}
}

func TestOutputIsBounded(t *testing.T) {
	b := script(t, "head -c 3000000 /dev/zero | tr '\\0' x; printf end", nil)
	got := b.run(ipc.JobList, "")
	if len(got.Tail) != ipc.MaxTail || !bytes.HasSuffix(got.Tail, []byte("xxend")) {
		t.Errorf("%d bytes, end %q", len(got.Tail), got.Tail[max(0, len(got.Tail)-8):])
	}
}

func TestShowOutput(t *testing.T) {
	b := script(t, "echo shown; printf part; echo not >&2", func(c *settings.Runner) { c.ShowOutput = true })
	got := b.run(ipc.JobList, "")
	if log := b.log.String(); log != "<6>shown\n<6>part\n" {
		t.Errorf("log %q", log)
	}
	// What is shown is no warning: it stays out of the tail.
	if string(got.Tail) != "not\n" {
		t.Errorf("tail %q", got.Tail)
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	t.Setenv("RUNNER_TEST_SECRET", "x")
	b := script(t, "env; pwd", func(c *settings.Runner) { c.Env = []string{"PATH=/usr/bin:/bin", "A=b"} })
	got := strings.Fields(string(b.run(ipc.JobList, "").Tail))
	slices.Sort(got)
	if want := []string{"/", "A=b", "PATH=/usr/bin:/bin", "PWD=/"}; !slices.Equal(got, want) &&
		!slices.Equal(got, append(slices.Clone(want), "_=/usr/bin/env")) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDescriptors(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// One that is not close-on-exec, as a mistake elsewhere would leave it.
	leak, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	cfg := program(t, self)
	// Without it the Go runtime keeps its cgroup's cpu files open.
	cfg.Env = []string{fdsVar + "=1", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}
	cfg.Argv[ipc.JobList] = []string{"fds"}
	b := serve(t, cfg)
	if got := b.run(ipc.JobList, ""); string(got.Tail) != "0 1 2\n" {
		t.Errorf("descriptors %q of the command, want 0 1 2", got.Tail)
	}
}

func TestGroupDiesWithItsLeader(t *testing.T) {
	b := script(t, "sleep 1000 & echo $!; exit 3", nil)
	// A busy machine may take pipes.DrainTime for the shell alone, but not each time.
	for range 5 {
		begin := time.Now()
		got := b.run(ipc.JobList, "")
		took := time.Since(begin)
		if got.End != ipc.EndExited || got.Code != 3 {
			t.Errorf("%+v", got)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(got.Tail)))
		if err != nil {
			t.Fatal(err)
		}
		waitGone(t, pid)
		if took < pipes.DrainTime {
			return
		}
	}
	t.Error("the output was waited for before the group was killed")
}

// waitGone waits until a process is neither alive nor a zombie: killed and
// reaped by the runner under test.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	// A pidfd hangs up when its process has been reaped. Linux before 6.9 does
	// not tell: there it is seen when the time is over. One that cannot be had
	// is of a process that is gone, or is being reaped right now.
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		defer unix.Close(fd)
		hangUp := []unix.PollFd{{Fd: int32(fd)}}
		end := time.Now().Add(5 * time.Second)
		for left := time.Until(end); left > 0; left = time.Until(end) {
			if _, err := unix.Poll(hangUp, int(left.Milliseconds())+1); !errors.Is(err, unix.EINTR) {
				break
			}
		}
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

func TestEscapeeDoesNotHoldTheJob(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "flag")
	b := script(t, "setsid -f sh -c 'echo $$; : >"+flag+"; exec sleep 1000'; until [ -e "+flag+" ]; do sleep 0.01; done", nil)
	begin := time.Now()
	got := b.run(ipc.JobList, "")
	// run itself bounds it from above, far below the escapee's 1000 s: a machine
	// that is busy may take longer than pipes.DrainTime to start a shell.
	if took := time.Since(begin); got.End != ipc.EndExited || took < pipes.DrainTime {
		t.Errorf("%+v after %v", got, took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(got.Tail)))
	if err != nil {
		t.Fatal(err)
	}
	// In the jail the namespace's end kills it.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
	waitGone(t, pid)
}

func TestSignalled(t *testing.T) {
	b := script(t, "kill -9 $$", nil)
	if got := b.run(ipc.JobList, ""); got.End != ipc.EndSignalled || got.Code != 9 {
		t.Errorf("%+v", got)
	}
}

func TestTimeout(t *testing.T) {
	b := script(t, "exec sleep 1000", func(c *settings.Runner) { c.Timeout = 50 * time.Millisecond })
	if got := b.run(ipc.JobList, ""); got.End != ipc.EndTimeout || got.Code != uint8(syscall.SIGTERM) {
		t.Errorf("%+v", got)
	}
}

func TestTimeoutOfADeafCommand(t *testing.T) {
	// It is deaf from its birth: one that had yet to run trap(1) could be hit.
	signal.Ignore(syscall.SIGTERM)
	defer signal.Reset(syscall.SIGTERM)
	b := script(t, "exec sleep 1000", func(c *settings.Runner) {
		c.Timeout, c.Grace = 50*time.Millisecond, 100*time.Millisecond
	})
	if got := b.run(ipc.JobList, ""); got.End != ipc.EndTimeout || got.Code != uint8(syscall.SIGKILL) {
		t.Errorf("%+v", got)
	}
}

func TestStop(t *testing.T) {
	b := script(t, "exec sleep 1000", nil)
	id := b.start(ipc.JobList, "")
	b.in <- packet{msg: &ipc.RunStop{Job: id + 7}} // unknown: ended already
	b.in <- packet{msg: &ipc.RunStop{Job: id}}
	b.in <- packet{msg: &ipc.RunStop{Job: id}}
	if got := b.wait(); got.End != ipc.EndStopped {
		t.Errorf("%+v", got)
	}
}

func TestEndKillsAll(t *testing.T) {
	b := script(t, "exec sleep 1000", nil)
	b.start(ipc.JobList, "")
	b.start(ipc.JobList, "")
	if code := b.end(); code != ExitDone {
		t.Errorf("exit code %d", code)
	}
	for range 2 {
		if got := b.wait(); got.End != ipc.EndStopped {
			t.Errorf("%+v", got)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Run("another file", func(t *testing.T) {
		b := script(t, "exit 0", func(c *settings.Runner) { c.ProgIno++ })
		if got := b.run(ipc.JobList, ""); got.End != ipc.EndRefused || !bytes.Contains(got.Tail, []byte("is not the file")) {
			t.Errorf("%+v %q", got, got.Tail)
		}
	})
	t.Run("no such file", func(t *testing.T) {
		b := script(t, "exit 0", func(c *settings.Runner) { c.Program = filepath.Join(t.TempDir(), "x") })
		if got := b.run(ipc.JobList, ""); got.End != ipc.EndRefused {
			t.Errorf("%+v", got)
		}
	})
	t.Run("not executable", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := program(t, path)
		cfg.Argv[ipc.JobList] = []string{"x"}
		if got := serve(t, cfg).run(ipc.JobList, ""); got.End != ipc.EndRefused {
			t.Errorf("%+v", got)
		}
	})
	t.Run("no command", func(t *testing.T) {
		b := script(t, "exit 0", nil)
		for _, kind := range []ipc.JobKind{ipc.JobNone, ipc.JobAttr, ipc.NumJobKinds, 255} {
			if got := b.run(kind, ""); got.End != ipc.EndRefused {
				t.Errorf("kind %d: %+v", kind, got)
			}
		}
	})
	t.Run("too many", func(t *testing.T) {
		b := script(t, "exec sleep 1000", nil)
		for range ipc.MaxJobs {
			b.start(ipc.JobList, "")
		}
		if got := b.run(ipc.JobList, ""); got.End != ipc.EndRefused || got.Job != ipc.MaxJobs+1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestViolations(t *testing.T) {
	for name, p := range map[string]packet{
		"unsealed":       {msg: &ipc.RunStart{Job: 1, Kind: ipc.JobList}, list: sealed(t, "", 0)},
		"half sealed":    {msg: &ipc.RunStart{Job: 1, Kind: ipc.JobList}, list: sealed(t, "", unix.F_SEAL_WRITE)},
		"no list":        {msg: &ipc.RunStart{Job: 1, Kind: ipc.JobList}},
		"no memfd":       {msg: &ipc.RunStart{Job: 1, Kind: ipc.JobList}, list: plainFile(t)},
		"too large":      {msg: &ipc.RunStart{Job: 1, Kind: ipc.JobList}, list: sealed(t, strings.Repeat("x", ipc.MaxList+1), allSeals)},
		"job zero":       {msg: &ipc.RunStart{Kind: ipc.JobList}, list: sealed(t, "", allSeals)},
		"unknown":        {msg: &ipc.Hello{}},
		"broken message": {err: errors.New("broken")},
	} {
		t.Run(name, func(t *testing.T) {
			b := script(t, "exit 0", nil)
			b.in <- p
			b.open = false
			if code := b.end(); code != ExitViolation {
				t.Errorf("exit code %d, want %d", code, ExitViolation)
			}
			if log := b.log.String(); !strings.HasPrefix(log, "<3>violation") {
				t.Errorf("log %q", log)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		b := script(t, "exec sleep 1000", nil)
		b.start(ipc.JobList, "")
		b.next--
		b.start(ipc.JobList, "")
		b.open = false
		if code := b.end(); code != ExitViolation {
			t.Errorf("exit code %d", code)
		}
	})
}

func plainFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}
