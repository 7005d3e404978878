// Package procs starts process groups and reaps them, and all orphans.
//
// Trust: part of the runner, in its jail.
//
// Invariants: there is one in a process; a group's number is signalled only while its
// leader has not been reaped, and what a leader left in its group is dead when its
// end is told.
package procs

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Status is how a process ended.
type Status struct {
	Wait  syscall.WaitStatus
	Usage syscall.Rusage
}

// Procs starts process groups and reaps. As process 1 of its namespace the
// runner gets every orphan, so that it waits for any child and not for one.
type Procs struct {
	// Alone: this is process 1 of a namespace that has nobody else's processes.
	// Precondition: Reap has not been called.
	Alone bool
	Dir   string // where commands start

	children chan os.Signal

	mu      sync.Mutex
	leaders map[int]chan<- Status // process groups that are alive, by their leader
}

// reaping says that this process has its reaper. A second one would take the
// first one's children, and its jobs would never end.
var reaping atomic.Bool

// New makes one, and asks the Go runtime for SIGCHLD.
func New() *Procs {
	if reaping.Swap(true) {
		panic("runner: a process can have one runner at a time")
	}
	p := &Procs{children: make(chan os.Signal, 1), leaders: make(map[int]chan<- Status), Dir: "/"}
	signal.Notify(p.children, syscall.SIGCHLD)
	return p
}

// Close ends Reap, which ends the reaper's time. No process group may be alive.
func (p *Procs) Close() {
	signal.Stop(p.children) // from here on nothing is sent
	close(p.children)
}

// Start runs the program as the leader of a new process group, in Dir, with the
// descriptors as its 0, 1, 2 and so on, and no other. Its end comes on the
// channel, once, when the rest of its group has been killed.
func (p *Procs) Start(program string, argv, env []string, fds ...int) (int, <-chan Status, error) {
	// The runner's own descriptors are close-on-exec; this is for any that
	// came in by a mistake made elsewhere.
	if err := unix.CloseRange(3, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 0, nil, fmt.Errorf("close_range: %w", err)
	}
	files := make([]uintptr, len(fds))
	for i, fd := range fds {
		files[i] = uintptr(fd)
	}
	// Held over fork and registration: the reaper must know the pid.
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, err := syscall.ForkExec(program, argv, &syscall.ProcAttr{
		Dir:   p.Dir,
		Env:   env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", program, err)
	}
	end := make(chan Status, 1)
	p.leaders[pid] = end
	return pid, end, nil
}

// Signal sends a signal to the group of a leader that has not been reaped. A
// group that has just ended is no error.
func (p *Procs) Signal(leader int, sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, alive := p.leaders[leader]; !alive {
		return nil
	}
	if err := syscall.Kill(-leader, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %d to process group %d: %w", sig, leader, err)
	}
	return nil
}

// Used is the processor time that a process has taken, without what it started; 0 of
// one that has ended.
func Used(pid int) time.Duration {
	var t unix.Timespec
	// MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of <linux/posix-timers.h>.
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Reap serves SIGCHLD until Close. One signal may stand for many children; none
// is missed: the kernel makes a zombie before it signals, and the channel has
// room for a signal that comes while the children are looked at.
func (p *Procs) Reap() {
	defer reaping.Store(false)
	for range p.children {
		for p.reapOne() {
		}
	}
}

func (p *Procs) reapOne() bool {
	// Held over wait4 and kill: a group's number cannot be given to a new
	// group before the old one has been killed.
	p.mu.Lock()
	defer p.mu.Unlock()
	var s Status
	pid, err := syscall.Wait4(-1, &s.Wait, syscall.WNOHANG, &s.Usage)
	if errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false // ECHILD or none that has ended
	}
	end, isLeader := p.leaders[pid]
	if !isLeader {
		return true // an orphan
	}
	// What the command left behind in its group ends with it. ESRCH: nothing.
	// EPERM cannot be: it runs under our own uid.
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	delete(p.leaders, pid)
	if p.Alone && len(p.leaders) == 0 {
		// What left its group as well: all but ourselves, in this namespace.
		_ = syscall.Kill(-1, syscall.SIGKILL)
	}
	end <- s
	return true
}
