package seccomp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/record"
	"lockstep/seccomp/bpfsim"
)

// victims are the two builds of internal/victim.
type victims struct {
	confined string
	twin     string // leaves its filter out
}

func buildVictims(t *testing.T) victims {
	t.Helper()
	dir := t.TempDir()
	v := victims{filepath.Join(dir, "victim"), filepath.Join(dir, "twin")}
	for out, tags := range map[string]string{v.confined: "", v.twin: "twin"} {
		cmd := exec.Command("go", "build", "-tags", tags, "-o", out, "./internal/victim")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build victim: %v\n%s", err, text)
		}
	}
	return v
}

// outcome is how a victim ended.
type outcome struct {
	pid    int
	status syscall.WaitStatus
	out    string
	stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("exit %d signal %d\nstdout: %s\nstderr: %s", o.status.ExitStatus(), o.status.Signal(), o.out, o.stderr)
}

func (o outcome) sigsys() bool { return o.status.Signaled() && o.status.Signal() == unix.SIGSYS }

// run starts a victim as process 1 of its own pid namespace, with the filter
// donated. Once it says READY, ready is called, when it is not nil; until that
// returns, the victim is idle.
func run(t *testing.T, f Filter, ready func(*testing.T, *os.Process), program string, args ...string) outcome {
	t.Helper()
	file, err := Compile(f)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"LOCKSTEP_FDS=filter=3", "TZ=UTC", "GODEBUG=updatemaxprocs=0,containermaxprocs=0,decoratemappings=0"}
	cmd.ExtraFiles = []*os.File{file}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		out.WriteString(lines.Text() + "\n")
		if lines.Text() != "READY" {
			continue
		}
		if ready != nil {
			ready(t, cmd.Process)
		}
		if err := stdin.Close(); err != nil {
			t.Error(err)
		}
	}
	// Its state says more than Wait's error.
	_ = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatalf("no wait status: %v", cmd.ProcessState)
	}
	return outcome{cmd.Process.Pid, status, out.String(), stderr.String()}
}

// restartSleep has the kernel go on with a sleep of an idle process by
// restart_syscall. It returns when that was called: when a thread is in it, or
// the process has died.
func restartSleep(t *testing.T, p *os.Process) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		asleep, restarted := sleeps(p)
		switch {
		case restarted, waitFor(t, p, unix.WEXITED|unix.WNOHANG):
			return
		case asleep:
			if err := p.Signal(unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			// A SIGCONT before all threads have stopped would take the stop
			// back, and no sleep would have been broken off.
			waitFor(t, p, unix.WSTOPPED|unix.WEXITED)
			if err := p.Signal(unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
		default:
			// The kernel has no event for a thread that begins to sleep, short
			// of a tracer, which would see the restart instead of the thread.
			time.Sleep(time.Millisecond)
		}
	}
	t.Error("no sleep was restarted")
}

// waitFor waits for a change of a process, and leaves it to be reaped. With
// WNOHANG it says whether there has been one.
func waitFor(t *testing.T, p *os.Process, change int) bool {
	t.Helper()
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, p.Pid, &info, change|unix.WNOWAIT, nil)
		if err == nil {
			return info.Signo != 0
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatalf("waitid: %v", err)
		}
	}
}

// sleeps says whether a thread of a process is in a sleep with an end, which is
// what the kernel restarts, and whether one is in such a sleep again. An idle
// Go program has one: of sysmon, for a minute.
func sleeps(p *os.Process) (asleep, restarted bool) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", p.Pid))
	for _, file := range files {
		// Of a thread that has ended or runs there is no number: proc(5).
		text, _ := os.ReadFile(file)
		words := strings.Fields(string(text))
		if len(words) < 5 {
			continue
		}
		switch words[0] {
		case strconv.Itoa(unix.SYS_RESTART_SYSCALL):
			restarted = true
		case strconv.Itoa(unix.SYS_FUTEX):
			asleep = asleep || words[4] != "0x0" // the fourth argument, its end
		}
	}
	return asleep, restarted
}

// killing are the roles whose filters kill whatever they do not allow.
func killing() []Role { return []Role{Worker, Helper, Resolver, Dnotify, Gate, UserWorker} }

// TestBenign: a Go program at work lives under each of these filters.
func TestBenign(t *testing.T) {
	testenv.NeedRoot(t)
	v := buildVictims(t)
	for _, role := range killing() {
		t.Run(string(role), func(t *testing.T) {
			o := run(t, Table(role, runtime.GOARCH), restartSleep, v.confined, "benign", string(role))
			if !o.status.Exited() || o.status.ExitStatus() != 0 || !strings.HasSuffix(o.out, "DONE\n") {
				t.Errorf("the well-behaved victim ended by %v", o)
			}
		})
	}
}

// TestEachRuleIsNeeded: with any rule of such a table taken away (fallbacks apart), the well-behaved victim dies.
func TestEachRuleIsNeeded(t *testing.T) {
	testenv.NeedRoot(t)
	if testing.Short() {
		testenv.Lacks(t, "-short leaves no time for it")
	}
	v := buildVictims(t)
	for _, role := range killing() {
		f := Table(role, runtime.GOARCH)
		for i, c := range f.Allow {
			if c.Fallback || role != Worker && strings.HasPrefix(c.Who, "go: ") {
				continue
			}
			t.Run(string(role)+"-"+c.Name+describeConds(c.If), func(t *testing.T) {
				t.Parallel() // each waits for sleeps most of the time
				less := f
				less.Allow = append(append([]Call{}, f.Allow[:i]...), f.Allow[i+1:]...)
				if o := run(t, less, restartSleep, v.confined, "benign", string(role)); !o.sigsys() {
					t.Errorf("lives without the rule: %v", o)
				}
			})
		}
	}
}

// attack is a call that must end the process that makes it.
type attack struct {
	name string
	args []uint64
}

func attacks() []attack {
	const cwd = ^uint64(99) // AT_FDCWD
	return []attack{
		{"execve", nil}, {"execveat", []uint64{3}}, {"openat", []uint64{cwd}}, {"openat2", []uint64{cwd}},
		{"clone", []uint64{uint64(unix.SIGCHLD)}}, {"clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}}, {"clone3", nil},
		{"mmap", []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS, ^uint64(0)}},
		{"mmap", []uint64{0, 4096, unix.PROT_READ, unix.MAP_SHARED | unix.MAP_ANONYMOUS, ^uint64(0)}},
		{"mmap", []uint64{0, 4096, unix.PROT_READ, unix.MAP_PRIVATE, 0}},
		{"mprotect", []uint64{0, 4096, unix.PROT_EXEC}}, {"pkey_mprotect", nil}, {"mremap", nil}, {"personality", []uint64{0xffffffff}},
		{"socket", []uint64{unix.AF_UNIX, unix.SOCK_STREAM}}, {"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM}}, {"socketpair", nil}, {"connect", nil}, {"bind", nil}, {"listen", nil}, {"accept4", []uint64{0}}, {"setsockopt", nil}, {"recvmsg", nil}, {"sendto", nil},
		{"ptrace", []uint64{unix.PTRACE_ATTACH, 1}}, {"process_vm_readv", nil}, {"pidfd_open", []uint64{1}}, {"pidfd_getfd", nil},
		{"kill", []uint64{1, 0}}, {"tgkill", []uint64{1, 1, uint64(unix.SIGKILL)}}, {"tkill", []uint64{1, 0}}, {"rt_sigqueueinfo", nil},
		{"madvise", []uint64{0, 0, unix.MADV_MERGEABLE}}, {"futex", []uint64{0, 6 | 128}},
		{"unshare", []uint64{unix.CLONE_NEWUSER}}, {"setns", nil}, {"mount", nil}, {"pivot_root", nil}, {"chroot", nil}, {"open_tree", nil},
		{"bpf", nil}, {"perf_event_open", nil}, {"userfaultfd", nil}, {"io_uring_setup", nil}, {"keyctl", nil},
		{"seccomp", []uint64{unix.SECCOMP_SET_MODE_FILTER}}, {"prctl", []uint64{unix.PR_SET_DUMPABLE, 1}}, {"capset", nil}, {"setresuid", nil}, {"ioctl", []uint64{0, unix.TIOCSTI}},
		{"open_by_handle_at", nil}, {"open_by_handle_at", []uint64{0, 0, unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC}}, {"init_module", nil}, {"epoll_ctl", nil}, {"epoll_create1", nil}, {"prlimit64", nil},
		{"rt_sigaction", nil}, {"fcntl", []uint64{0, unix.F_SETOWN, 1}}, {"fcntl", []uint64{0, unix.F_SETSIG, uint64(unix.SIGKILL)}}, {"dup", nil}, {"sched_getaffinity", nil}, {"exit", nil},
	}
}

func (a attack) words(t *testing.T) []string {
	words := []string{"call", strconv.Itoa(int(nr(t, a.name, runtime.GOARCH)))}
	for _, arg := range a.args {
		words = append(words, strconv.FormatUint(arg, 10))
	}
	return words
}

// TestKernelKills: each attack ends its process after the attempt was marked, and the kernel's record names the call; the unconfined twin returns
// from it.
func TestKernelKills(t *testing.T) {
	testenv.NeedRoot(t)
	v := buildVictims(t)
	log := record.Open(t)
	for _, role := range killing() {
		f := Table(role, runtime.GOARCH)
		m := newModel(t, f)
		for _, a := range attacks() {
			d := a.data(t, f.Arch)
			if m.verdict(d) == retAllow {
				continue // the role's own
			}
			t.Run(fmt.Sprintf("%s-%s-%x", role, a.name, a.args), func(t *testing.T) {
				o := run(t, f, nil, v.confined, a.words(t)...)
				if !o.sigsys() || o.out != "ATTEMPT\n" {
					t.Fatalf("ended by %v", o)
				}
				expect(t, log, o.pid, d)
			})
		}
	}
}

// TestTwinLives: the same attempts return when nothing confines them, so that
// TestKernelKills is a test of the filter.
func TestTwinLives(t *testing.T) {
	testenv.NeedRoot(t)
	v := buildVictims(t)
	f := Table(Worker, runtime.GOARCH)
	for _, a := range attacks() {
		switch {
		case a.name == "tgkill", a.name == "clone", a.name == "clone3", a.name == "exit":
			continue // it would kill or split the twin itself
		}
		o := run(t, f, nil, v.twin, a.words(t)...)
		if o.status.ExitStatus() != 0 || !strings.HasPrefix(o.out, "ATTEMPT\nRETURNED ") || !strings.Contains(o.stderr, "NOT CONFINED") {
			t.Errorf("%s %x: %v", a.name, a.args, o)
		}
	}
}

// TestForeignDoors: a call by i386's door or with an x32 number ends the
// process whatever the number means, and the kernel's record names the
// architecture; unconfined, i386's door is open.
func TestForeignDoors(t *testing.T) {
	testenv.NeedRoot(t)
	if runtime.GOARCH != AMD64 {
		testenv.Lacks(t, "amd64 alone has these doors")
	}
	v := buildVictims(t)
	log := record.Open(t)
	for _, role := range Roles() {
		f := Table(role, AMD64)
		o := run(t, f, nil, v.confined, "call", strconv.Itoa(unix.SYS_GETPID|x32Bit))
		if !o.sigsys() || o.out != "ATTEMPT\n" {
			t.Errorf("%s: x32: %v", role, o)
			continue
		}
		expect(t, log, o.pid, bpfsim.Data{NR: unix.SYS_GETPID | x32Bit, Arch: unix.AUDIT_ARCH_X86_64})
	}
	if o := run(t, Table(Worker, AMD64), nil, v.twin, "int80"); o.out != "ATTEMPT\nRETURNED 1\n" {
		testenv.Lacks(t, "this kernel has no i386 emulation: "+o.String())
	}
	for _, role := range Roles() {
		o := run(t, Table(role, AMD64), nil, v.confined, "int80")
		if !o.sigsys() || o.out != "ATTEMPT\n" {
			t.Errorf("%s: int 0x80: %v", role, o)
			continue
		}
		expect(t, log, o.pid, bpfsim.Data{NR: 20, Arch: unix.AUDIT_ARCH_I386})
	}
}
