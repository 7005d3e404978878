package runner

import (
	"lockstep/ipc"
	"lockstep/runner/told"
)

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
	out, err := j.r.teller.Job(j.kind, j.list, told.Host{Target: j.r.cfg.Target, Consent: consent, Over: j.over, Call: j.call, Logf: j.r.logf})
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
	j.env = c.Env
	const ownStdin = 0 // /dev/null
	p, err := j.begin(c.Argv, true, ownStdin)
	if err != nil {
		return ipc.RunExited{}, err
	}
	return j.await(p), nil
}
