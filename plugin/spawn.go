package plugin

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Starter starts the host. A program that reaps all its children, as the runner
// does, has one of its own; Children is for all others.
type Starter interface {
	// Start runs argv[0] as the leader of a new process group, with fds as its
	// descriptors from 0 on and no other.
	Start(argv, env []string, fds []int) (Process, error)
}

// Process is the leader of a process group.
type Process struct {
	// Signal signals the group. It is no error when nobody is there any more.
	Signal func(syscall.Signal) error
	// Ended gets the leader's end, once, when the rest of its group has been
	// killed.
	Ended <-chan syscall.WaitStatus
}

// Children starts hosts as children of this process, and waits for them alone.
type Children struct{}

// child is a leader that may have been reaped.
type child struct {
	mu  sync.Mutex
	pid int // 0: it was, and its number may be another's
}

// Start is Starter's.
func (Children) Start(argv, env []string, fds []int) (Process, error) {
	files := make([]uintptr, len(fds))
	for i, fd := range fds {
		files[i] = uintptr(fd)
	}
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir: "/", Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return Process{}, fmt.Errorf("start %s: %w", argv[0], err)
	}
	c := &child{pid: pid}
	ended := make(chan syscall.WaitStatus, 1)
	go func() { ended <- c.wait() }()
	return Process{Signal: c.signal, Ended: ended}, nil
}

func (c *child) signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == 0 {
		return nil
	}
	if err := syscall.Kill(-c.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %d to process group %d: %w", sig, c.pid, err)
	}
	return nil
}

// wait waits for the leader, kills its group, and only then gives its number
// back to the kernel.
func (c *child) wait() syscall.WaitStatus {
	for {
		err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break // ECHILD: somebody else reaps; see below
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// ESRCH: nobody is left. EPERM: they have become somebody else, and are out
	// of our reach.
	_ = syscall.Kill(-c.pid, syscall.SIGKILL)
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(c.pid, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	c.pid = 0
	return status
}
