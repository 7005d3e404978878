package runner

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/plugin"
	"lockstep/runner/module"
	"lockstep/runner/told"
)

// handlers sets up who is told of changes in place of rsync.
func (r *Runner) handlers() {
	h := r.cfg.Handler
	r.teller, r.tellerErr = told.New(h, r.cfg.Program, r.cfg.Source)
	r.procs.Dir = r.cfg.Source
	switch {
	case r.tellerErr != nil:
	case (h.Module.Path != "") != r.teller.Function():
		r.tellerErr = errors.New("a mode that calls functions without a module, or the reverse")
	case h.Module.Path != "":
		r.host = &starter{r: r}
		r.module = module.New(module.Config{
			Program: r.cfg.Program, Object: h.Module, Env: r.cfg.Env, Lists: h.Mode == handler.RsyncSO.String(),
			Label: h.Label, Source: r.cfg.Source, Target: h.Destination, Timeout: r.cfg.Timeout, Grace: r.cfg.Grace,
		}, r.host, r.logf)
	}
}

// starter starts the process in which a module's functions are called: a group of
// its own, as every command is, that lives on between jobs.
type starter struct {
	r    *Runner
	last atomic.Int64 // the leader of the group; there is one at a time
}

// kill ends that group at once, if there is one.
func (s *starter) kill() error {
	return s.r.procs.Signal(int(s.last.Load()), syscall.SIGKILL)
}

// Start is that of a plugin.Starter.
func (s *starter) Start(argv, env []string, fds []int) (plugin.Process, error) {
	if err := s.r.checkProgram(); err != nil {
		return plugin.Process{}, err
	}
	pid, end, err := s.r.procs.Start(argv[0], argv, env, fds...)
	if err != nil {
		return plugin.Process{}, err
	}
	s.last.Store(int64(pid))
	ended := make(chan syscall.WaitStatus, 1)
	go func() { ended <- (<-end).Wait }()
	return plugin.Process{Signal: func(sig syscall.Signal) error { return s.r.procs.Signal(pid, sig) }, Ended: ended}, nil
}

// function calls one of a module.
func (j *job) function(f told.Function) (ipc.RunExited, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-j.stopped:
			cancel()
		case <-j.aborted:
		case <-over:
			return
		}
		select {
		case <-j.aborted: // without the grace
			cancel()
			if err := j.r.host.kill(); err != nil {
				j.r.logf("<3>job %d: %v", j.id, err)
			}
		case <-over:
		}
	}()
	return j.r.module.Call(ctx, f)
}

// handled does a job by the handler.
func (j *job) handled() ipc.RunExited {
	if j.r.tellerErr != nil {
		return refused(j.id, j.r.tellerErr)
	}
	select { // clsync's handlers are not called twice at a time
	case j.r.teller.Turn <- struct{}{}:
		defer func() { <-j.r.teller.Turn }()
	case <-j.stopped:
		return ipc.RunExited{End: ipc.EndStopped}
	case <-j.aborted:
		return ipc.RunExited{End: ipc.EndStopped}
	}
	if err := j.rewind(); err != nil {
		return refused(j.id, err)
	}
	j.r.mu.Lock()
	consent := j.r.cfg.Accept && !j.r.accepted
	j.r.mu.Unlock()
	out, err := j.r.teller.Job(j.kind, j.list, told.Host{Target: j.r.cfg.Target, Entries: j.r.cfg.Entries, Consent: consent, Over: j.over, Call: j.call, Logf: j.r.logf})
	if err != nil {
		return refused(j.id, err)
	}
	if j.kind == ipc.JobInitial && out.End == ipc.EndExited && out.Code == 0 {
		j.r.mu.Lock()
		j.r.accepted = true // consent is for one pass
		j.r.mu.Unlock()
	}
	return out
}

// call makes one call of the handler.
func (j *job) call(c told.Call) (ipc.RunExited, error) {
	if c.Function != nil {
		return j.function(*c.Function)
	}
	j.env = c.Env
	const ownStdin = 0 // /dev/null
	p, err := j.begin(c.Argv, true, ownStdin)
	if err != nil {
		return ipc.RunExited{}, err
	}
	return j.await(p), nil
}
