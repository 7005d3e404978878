package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"lockstep/internal/memfd"
)

// fdsVar names the environment variable that tells which descriptor is which.
const fdsVar = "LOCKSTEP_FDS"

// StageOneArg is the hidden first argument with which lockstep's main calls
// StageOne.
const StageOneArg = "stage-one"

// Leaf is the control group that a process is born into.
type Leaf interface {
	// FD is the cgroup v2 directory, or -1 when there is none.
	FD() int
	// Join are the cgroup.procs files of v1 groups, open for writing.
	Join() []*os.File
}

// Launcher starts processes. One thread makes them all, and lives as long as
// the launcher: the death signal that each asks for is sent when the thread
// that cloned it ends, not the process (prctl(2), PR_SET_PDEATHSIG).
type Launcher struct {
	self   *os.File // the sealed image of lockstep
	null   *os.File
	parent *os.File // a pidfd of this process
	calls  chan func()
	done   sync.Once
}

// NewLauncher makes a launcher; self is the sealed image of lockstep, in which
// stage one lives, and stays the caller's.
func NewLauncher(self *os.File) (*Launcher, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("launcher: pidfd_open: %w", err), null.Close())
	}
	l := &Launcher{self: self, null: null, parent: os.NewFile(uintptr(fd), "supervisor"), calls: make(chan func())}
	go func() {
		// Never unlocked: when the goroutine ends, its thread does.
		runtime.LockOSThread()
		for call := range l.calls {
			call()
		}
	}()
	return l, nil
}

// Close ends the launcher, and with its thread the processes that it has
// started and that still run. No Start may be under way or follow.
func (l *Launcher) Close() error {
	var err error
	l.done.Do(func() {
		close(l.calls)
		err = errors.Join(l.null.Close(), l.parent.Close())
	})
	return err
}

// Start clones a process into leaf (nil: this process's own groups) and has it
// become the program of image, jailed as spec says. fds and stderr stay the
// caller's. It returns once stage one is running; what fails in there shows as
// exit code 71 or 75, and as a line on stderr.
func (l *Launcher) Start(spec Spec, image *os.File, fds []Donation, stderr *os.File, leaf Leaf) (*Process, error) {
	data, err := spec.encode()
	if err != nil {
		return nil, err
	}
	specFile, err := memfd.Sealed("lockstep-spec", data)
	if err != nil {
		return nil, err
	}
	defer specFile.Close()
	t := table{files: []uintptr{l.null.Fd(), stderr.Fd(), stderr.Fd()}}
	for _, d := range fds {
		t.add(d.Name, d.File.Fd())
	}
	for _, o := range spec.Opens {
		t.add(o.Name, l.null.Fd())
	}
	if slices.ContainsFunc(t.names, isOwn) {
		return nil, fmt.Errorf("start %s: a donation has a name of stage one's own descriptors", spec.Role)
	}
	self := t.add(nameSelf, l.self.Fd())
	t.add(nameImage, image.Fd())
	t.add(nameSpec, specFile.Fd())
	t.add(nameParent, l.parent.Fd())
	attr := &syscall.SysProcAttr{Cloneflags: spec.Namespaces, Pdeathsig: syscall.SIGKILL, Setsid: true}
	if leaf != nil {
		for i, f := range leaf.Join() {
			t.add(nameJoin+strconv.Itoa(i), f.Fd())
		}
		if fd := leaf.FD(); fd >= 0 {
			attr.UseCgroupFD, attr.CgroupFD = true, fd
		}
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Role, err)
	}
	// Descriptors are handed over as numbers: their files must outlive the fork.
	defer runtime.KeepAlive([]any{image, stderr, fds, leaf})
	return l.fork(spec.Role, self, t, attr)
}

// fork does the clone and exec of stage one on the launcher's thread.
func (l *Launcher) fork(role string, self int, t table, attr *syscall.SysProcAttr) (*Process, error) {
	pidfd := -1
	attr.PidFD = &pidfd
	pa := &syscall.ProcAttr{Env: []string{fdsVar + "=" + t.list()}, Files: t.files, Sys: attr}
	var pid int
	var err error
	done := make(chan struct{})
	l.calls <- func() {
		defer close(done)
		// The number is the child's: its descriptors are in place before exec.
		pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(self), []string{"lockstep", StageOneArg, role}, pa)
	}
	<-done
	if err != nil {
		return nil, fmt.Errorf("start %s: clone and exec: %w", role, err)
	}
	p := &Process{PID: pid, ended: make(chan struct{})}
	if pidfd >= 0 {
		p.pidfd = os.NewFile(uintptr(pidfd), "pidfd of "+role)
	}
	if err := p.checkPIDFD(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	return p, nil
}

// table is a descriptor table in the making.
type table struct {
	files []uintptr
	names []string // of files[3:]
}

// add appends a descriptor and returns its number in the child.
func (t *table) add(name string, fd uintptr) int {
	t.files = append(t.files, fd)
	t.names = append(t.names, name)
	return len(t.files) - 1
}

// check refuses names that LOCKSTEP_FDS cannot tell apart.
func (t *table) check() error {
	seen := make(map[string]bool)
	for _, name := range t.names {
		if name == "" || strings.ContainsAny(name, "=,\x00") || seen[name] {
			return fmt.Errorf("descriptor name %q is empty, not a plain word, or used twice", name)
		}
		seen[name] = true
	}
	return nil
}

// list is the value of LOCKSTEP_FDS.
func (t *table) list() string {
	items := make([]string, len(t.names))
	for i, name := range t.names {
		items[i] = name + "=" + strconv.Itoa(3+i)
	}
	return strings.Join(items, ",")
}

// Process is a process that Start has made.
type Process struct {
	PID   int // in the supervisor's pid namespace
	pidfd *os.File

	once  sync.Once
	ended chan struct{}
	code  int
	sig   syscall.Signal
	err   error
}

// checkPIDFD ends a process that cannot be held by a pidfd (before Linux 5.2).
func (p *Process) checkPIDFD() error {
	if p.pidfd != nil {
		return nil
	}
	err := unix.Kill(p.PID, unix.SIGKILL)
	_, _, werr := p.Wait()
	return errors.Join(errors.New("the kernel gave no pidfd: Linux 5.2 or later is needed"), err, werr)
}

// PIDFD is the process's pidfd, readable once it has ended; valid until Close.
func (p *Process) PIDFD() int { return int(p.pidfd.Fd()) }

// Kill sends SIGKILL; nil also when the process has ended.
func (p *Process) Kill() error {
	err := unix.PidfdSendSignal(int(p.pidfd.Fd()), unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return nil
}

// Wait waits for the process's end and reaps it: its exit code, or -1 and the
// signal that killed it. It may be called more than once, and at the same time.
func (p *Process) Wait() (code int, sig syscall.Signal, err error) {
	p.once.Do(func() {
		defer close(p.ended)
		var ws unix.WaitStatus
		for {
			// The number is ours until it is reaped, which is done here only.
			_, p.err = unix.Wait4(p.PID, &ws, 0, nil)
			if !errors.Is(p.err, unix.EINTR) {
				break
			}
		}
		if p.err != nil {
			p.code, p.err = -1, fmt.Errorf("wait for process %d: %w", p.PID, p.err)
			return
		}
		p.code = ws.ExitStatus() // -1 unless it has exited
		if ws.Signaled() {
			p.sig = ws.Signal()
		}
	})
	<-p.ended
	return p.code, p.sig, p.err
}

// Close gives up the pidfd.
func (p *Process) Close() error { return p.pidfd.Close() }
