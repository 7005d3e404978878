package privileged

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

// target is one destination and the runner that serves it at the moment.
type target struct {
	name   string
	runner *peer // nil: none
	jobs   int
}

type job struct {
	target  *target
	runner  *peer
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
	return h.complete()
}

func (h *Helper) data(_ uint32, m *ipc.Data) ([]byte, error) {
	h.start.list = append(h.start.list, m.Bytes...)
	if len(h.start.list) > int(h.start.Size) {
		return nil, errors.New("more than was announced")
	}
	return h.complete()
}

// complete starts the job once its list is whole.
func (h *Helper) complete() ([]byte, error) {
	s := h.start
	if len(s.list) < int(s.Size) {
		return nil, nil
	}
	h.start = nil
	check := ipc.CheckList
	if s.Kind == ipc.JobInitial || s.Kind == ipc.JobPrune {
		check = ipc.CheckRules
	}
	if err := check(s.list); err != nil {
		return nil, err
	}
	id, status, err := h.launch(h.targets[s.Target], s.Kind, s.list)
	if err != nil {
		return nil, err
	}
	return h.reply(s.seq, &ipc.StartAnswer{Status: status, Job: id})
}

func (h *Helper) launch(t *target, kind ipc.JobKind, list []byte) (ipc.JobID, ipc.Status, error) {
	switch {
	case h.state == draining:
		return 0, ipc.StatusDraining, nil
	case t.runner == nil:
		return 0, ipc.StatusNoRunner, nil
	case t.jobs >= ipc.MaxJobs:
		return 0, ipc.StatusBusy, nil
	}
	fd, err := seal(list)
	if err != nil {
		return 0, 0, fault{fmt.Errorf("sealing a list: %w", err)}
	}
	id, runner := h.lastJob+1, t.runner
	err = h.tell(runner, &ipc.RunStart{Job: id, Kind: kind}, fd)
	h.closeFD(fd)
	if err != nil {
		return 0, ipc.StatusNoRunner, h.drop(t, runner, err)
	}
	h.lastJob = id
	h.jobs[id] = &job{target: t, runner: runner}
	t.jobs++
	return id, ipc.OK, nil
}

// tell sends to a runner and never waits: a runner reads at once, and what it
// can be sent (a start and a stop for each of its jobs) fits its socket.
func (h *Helper) tell(runner *peer, m ipc.Message, fd int) error {
	packet, err := h.reply(0, m)
	if err != nil {
		return err
	}
	return ipc.SendFD(runner.fd, packet, fd, syscall.MSG_DONTWAIT)
}

// seal makes a memfd of the list that nobody can change any more.
func seal(list []byte) (int, error) {
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	fd, err := unix.MemfdCreate("list", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3 knows no MFD_NOEXEC_SEAL
		fd, err = unix.MemfdCreate("list", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, err
	}
	for err == nil && len(list) > 0 {
		var n int
		if n, err = unix.Write(fd, list); err == unix.EINTR {
			err = nil
		}
		list = list[max(n, 0):]
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func (h *Helper) stop(seq uint32, m *ipc.Stop) ([]byte, error) {
	if m.Job > h.lastJob {
		return nil, fmt.Errorf("job %d was never started", m.Job)
	}
	j := h.jobs[m.Job]
	if j == nil {
		return h.reply(seq, &ipc.StopAnswer{Status: ipc.StatusGone})
	}
	if !j.stopped {
		j.stopped = true
		if err := h.tell(j.runner, &ipc.RunStop{Job: m.Job}, -1); err != nil {
			if err := h.drop(j.target, j.runner, err); err != nil {
				return nil, err
			}
		}
	}
	return h.reply(seq, &ipc.StopAnswer{})
}

// adopt makes the socket that of t's runner.
func (h *Helper) adopt(t *target, fd int) error {
	if t.runner != nil {
		if err := h.drop(t, t.runner, errors.New("it is replaced")); err != nil {
			return err
		}
	}
	var p *peer
	p = h.attach(fd, func(packet ipc.Packet, err error) ([]byte, error) {
		x, err := h.ended(p, packet, err)
		if err != nil {
			return nil, h.drop(t, p, err)
		}
		return nil, h.notify(x)
	})
	t.runner = p
	return nil
}

// ended reads a runner's packet: one of its jobs has ended.
func (h *Helper) ended(p *peer, packet ipc.Packet, err error) (*ipc.Exited, error) {
	if err != nil {
		return nil, err
	}
	if packet.FD >= 0 {
		h.closeFD(packet.FD)
		return nil, errors.New("a descriptor where none belongs")
	}
	if packet.Header != (ipc.Header{Type: ipc.TypeRunExited, Final: true}) {
		return nil, fmt.Errorf("unexpected packet %+v", packet.Header)
	}
	x, err := ipc.DecodeRunExited(packet.Payload)
	if err != nil {
		return nil, err
	}
	j := h.jobs[x.Job]
	if j == nil || j.runner != p {
		return nil, fmt.Errorf("job %d is none of its own", x.Job)
	}
	delete(h.jobs, x.Job)
	j.target.jobs--
	return &x, nil
}

// drop has nothing more to do with a runner: its jobs are lost. Its socket is
// closed once it has closed its own end.
func (h *Helper) drop(t *target, p *peer, why error) error {
	if why != io.EOF {
		h.logf("<4>the runner of %s is dropped: %v", t.name, why)
	}
	p.dead, t.runner = true, nil
	for id, j := range h.jobs {
		if j.runner != p {
			continue
		}
		delete(h.jobs, id)
		t.jobs--
		if err := h.notify(&ipc.Exited{Job: id, End: ipc.EndLost}); err != nil {
			return err
		}
	}
	return nil
}
