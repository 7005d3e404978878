package privileged

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"lockstep/internal/sys"
	"lockstep/ipc"
	"lockstep/ipc/wire"
)

// target is one destination and the runner that serves it at the moment.
type target struct {
	name   string
	runner *runner // nil: none
	jobs   int
}

type runner struct {
	fd   int
	dead bool // nothing it says counts any more
}

type job struct {
	target  *target
	runner  *runner
	stopped bool
}

// start is a Start whose list is being received.
type start struct {
	ipc.Start
	seq  uint32
	list []byte // the helper's own copy
}

func (h *Helper) begin(seq uint32, m *ipc.Start) ([]byte, error) {
	if h.targets[m.Target] == nil {
		return nil, fmt.Errorf("unknown target %d", m.Target)
	}
	h.start = &start{Start: *m, seq: seq}
	return h.data(seq, &ipc.Data{})
}

// data adds to the list, and starts the job once the list is whole.
func (h *Helper) data(_ uint32, m *ipc.Data) ([]byte, error) {
	s := h.start
	s.list = append(s.list, m.Bytes...)
	if len(s.list) < int(s.Size) {
		return nil, nil
	}
	h.start = nil
	check := ipc.CheckList
	if s.Kind == ipc.JobInitial || s.Kind == ipc.JobPrune || s.Kind == ipc.JobContent {
		check = ipc.CheckRules
	}
	err := check(s.list)
	if len(s.list) > int(s.Size) {
		err = errors.New("more than was announced")
	}
	if err != nil {
		return nil, err
	}
	answer, err := h.launch(h.targets[s.Target], s)
	if err != nil {
		return nil, fault{err}
	}
	return ipc.Append(nil, s.seq, answer)
}

func (h *Helper) launch(t *target, s *start) (*ipc.StartAnswer, error) {
	switch {
	case h.state == draining:
		return &ipc.StartAnswer{Status: ipc.StatusDraining}, nil
	case t.runner == nil:
		return &ipc.StartAnswer{Status: ipc.StatusNoRunner}, nil
	case t.jobs >= ipc.MaxJobs:
		return &ipc.StartAnswer{Status: ipc.StatusBusy}, nil
	}
	fd, err := sys.SealedMemfd("list", s.list)
	if err != nil {
		return nil, err
	}
	defer h.closeFD(fd)
	h.lastJob++
	h.jobs[h.lastJob] = &job{target: t, runner: t.runner}
	t.jobs++
	h.tell(t, &ipc.RunStart{Job: h.lastJob, Kind: s.Kind}, fd)
	return &ipc.StartAnswer{Job: h.lastJob}, nil
}

// tell sends to t's runner and never waits: a runner reads at once, and what it
// can be sent (a start and a stop for each of its jobs) fits its socket. One
// that has gone is dropped. One that is there and does not read would stay, and
// t without a runner, for ever: only the supervisor can end it, and does so when
// the helper ends.
func (h *Helper) tell(t *target, m ipc.Message, fd int) {
	packet, err := ipc.Append(nil, 0, m)
	if err == nil {
		err = sys.SendPacket(t.runner.fd, packet, fd, syscall.MSG_DONTWAIT)
	}
	switch err {
	case nil:
	case syscall.EPIPE, syscall.ECONNRESET:
		h.drop(t, err)
	default:
		h.fail(fault{fmt.Errorf("the runner of %s is stuck: %w", t.name, err)})
	}
}

func (h *Helper) stop(seq uint32, m *ipc.Stop) ([]byte, error) {
	if m.Job > h.lastJob {
		return nil, fmt.Errorf("job %d was never started", m.Job)
	}
	j := h.jobs[m.Job]
	if j == nil {
		return ipc.Append(nil, seq, &ipc.StopAnswer{Status: ipc.StatusGone})
	}
	if !j.stopped {
		j.stopped = true
		h.tell(j.target, &ipc.RunStop{Job: m.Job}, -1)
	}
	return ipc.Append(nil, seq, &ipc.StopAnswer{})
}

// adopt makes the socket that of t's runner.
func (h *Helper) adopt(t *target, fd int) {
	h.drop(t, errors.New("it is replaced"))
	r := &runner{fd: fd}
	t.runner = r
	go h.read(fd, func(p ipc.Packet, err error) ([]byte, error) {
		x, err := h.ended(r, p, err)
		if err == nil {
			return ipc.Append(nil, 0, x)
		}
		if !r.dead {
			h.drop(t, err)
		}
		return nil, errDropped
	})
}

// ended reads a runner's packet: one of its jobs has ended.
func (h *Helper) ended(r *runner, p ipc.Packet, err error) (*ipc.Exited, error) {
	h.closeFD(p.FD)
	switch {
	case r.dead:
		return nil, errDropped
	case err != nil:
		return nil, err
	case p.Header != ipc.Header{Type: ipc.TypeRunExited, Final: true} || p.FD >= 0:
		return nil, fmt.Errorf("unexpected packet %+v with descriptor %d", p.Header, p.FD)
	}
	x, err := wire.Decode[ipc.RunExited](p.Payload)
	if err != nil {
		return nil, err
	}
	j := h.jobs[x.Job]
	if j == nil || j.runner != r {
		return nil, fmt.Errorf("job %d is none of its own", x.Job)
	}
	delete(h.jobs, x.Job)
	j.target.jobs--
	return &x, nil
}

// drop has nothing more to do with t's runner: its jobs are lost. Its socket is
// closed by the goroutine that reads it.
func (h *Helper) drop(t *target, why error) {
	if t.runner == nil {
		return
	}
	if why != io.EOF {
		h.logf("<4>the runner of %s is dropped: %v", t.name, why)
	}
	for id, j := range h.jobs {
		if j.runner == t.runner {
			delete(h.jobs, id)
			t.jobs--
			h.notify(0, &ipc.Exited{Job: id, End: ipc.EndLost})
		}
	}
	t.runner.dead, t.runner = true, nil
}
