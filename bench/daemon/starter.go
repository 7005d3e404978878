package daemon

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"

	"lockstep/bench/meter"
)

// Starter starts processes inside a control group, from a thread that lives as
// long as we do: a child ends with the thread that started it (pdeathsig), and
// in a v1 hierarchy it is born in that thread's group.
type Starter struct {
	jobs chan job
}

type job struct {
	cmd   *exec.Cmd
	group *meter.Group
	done  chan error
}

// NewStarter starts the thread.
func NewStarter() *Starter {
	s := &Starter{jobs: make(chan job)}
	go func() {
		runtime.LockOSThread()
		for j := range s.jobs {
			j.done <- start(j.cmd, j.group)
		}
	}()
	return s
}

// Start starts cmd in group; cmd dies when this process does.
func (s *Starter) Start(cmd *exec.Cmd, group *meter.Group) error {
	j := job{cmd, group, make(chan error, 1)}
	s.jobs <- j
	return <-j.done
}

func start(cmd *exec.Cmd, group *meter.Group) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if fd := group.FD(); fd >= 0 {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, fd
		return cmd.Start()
	}
	leave, err := group.Enter()
	if err != nil {
		return err
	}
	return errors.Join(cmd.Start(), leave())
}
