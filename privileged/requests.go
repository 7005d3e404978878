package privileged

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"lockstep/ipc"
	"lockstep/ipc/wire"
)

// state is where the conversation with the worker stands.
type state uint8

const (
	greeting state = 1 << iota // before Hello
	running
	draining // after Drain, or after the supervisor's CtlShutdown
)

// request is one thing that the worker may ask for.
type request struct {
	name  string
	in    state // where it is permitted
	serve func(h *Helper, seq uint32, payload []byte) ([]byte, error)
}

// requests is the whole surface that the helper shows to the worker.
func requests() map[ipc.Type]request {
	return map[ipc.Type]request{
		ipc.TypeHello: {"Hello", greeting, on((*Helper).hello)},
		ipc.TypeWatch: {"Watch", running | draining, on((*Helper).watch)},
		ipc.TypeStat:  {"Stat", running | draining, on((*Helper).stat)},
		ipc.TypeStart: {"Start", running | draining, on((*Helper).begin)},
		ipc.TypeData:  {"Data", running | draining, on((*Helper).data)},
		ipc.TypeStop:  {"Stop", running | draining, on((*Helper).stop)},
		ipc.TypeDrain: {"Drain", running | draining, on((*Helper).drain)},
	}
}

// on puts the decoder before a handler. The handler gives the answer's packet,
// or none when a thread of a root or a later request will.
func on[T any, M interface {
	*T
	ipc.Message
}](serve func(*Helper, uint32, M) ([]byte, error)) func(*Helper, uint32, []byte) ([]byte, error) {
	return func(h *Helper, seq uint32, payload []byte) ([]byte, error) {
		m, err := wire.Decode[T, M](payload)
		if err != nil {
			return nil, err
		}
		return serve(h, seq, &m)
	}
}

// request serves a packet from the worker. An error that is no fault is a
// violation: no honest worker can have sent the packet.
func (h *Helper) request(p ipc.Packet, err error) ([]byte, error) {
	h.closeFD(p.FD)
	r, known := h.table[p.Header.Type]
	errno := syscall.Errno(0)
	switch {
	case err == io.EOF && h.state == draining:
		return nil, errDone
	case err == io.EOF: // it died, or is being killed: no fault of the helper's
		return nil, errGone
	case errors.As(err, &errno):
		return nil, fault{fmt.Errorf("the worker's socket: %w", err)}
	case err != nil:
		return nil, err
	case p.FD >= 0:
		return nil, errors.New("a descriptor where none belongs")
	// The kernel has checked them, but a socket can be inherited or passed on.
	case p.Cred == nil || uint32(p.Cred.Pid) != h.worker.PID || p.Cred.Uid != h.worker.UID:
		return nil, fmt.Errorf("packet from another process: %+v", p.Cred)
	case p.Header.Seq != h.seq+1 || !p.Header.Final:
		return nil, fmt.Errorf("packet with number %d instead of %d, or without its flag", p.Header.Seq, h.seq+1)
	case !known:
		return nil, fmt.Errorf("request of unknown type %d", p.Header.Type)
	case r.in&h.state == 0 || (h.start != nil) != (p.Header.Type == ipc.TypeData):
		return nil, fmt.Errorf("request %s is not permitted now", r.name)
	}
	h.seq++
	answer, err := r.serve(h, h.seq, p.Payload)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", r.name, err)
	}
	return answer, nil
}

func (h *Helper) hello(seq uint32, m *ipc.Hello) ([]byte, error) {
	if m.Version != ipc.Version || m.Build != h.cfg.Build {
		return nil, fmt.Errorf("version %d, build %q: not this helper's", m.Version, m.Build)
	}
	if h.state = running; h.stopping {
		h.shutdown()
	}
	answer := &ipc.HelloAnswer{Targets: h.cfg.Targets, Config: h.cfg.Worker}
	for _, r := range h.cfg.Roots {
		answer.Roots = append(answer.Roots, r.Root)
	}
	return ipc.Append(nil, seq, answer)
}

func (h *Helper) watch(seq uint32, m *ipc.Watch) ([]byte, error) {
	return h.assign(m.Root, &task{seq: seq, watch: m, rels: m.Rels})
}

func (h *Helper) stat(seq uint32, m *ipc.Stat) ([]byte, error) {
	return h.assign(m.Root, &task{seq: seq, rels: m.Rels})
}

func (h *Helper) drain(seq uint32, _ *ipc.Drain) ([]byte, error) {
	h.state = draining
	return ipc.Append(nil, seq, &ipc.DrainAnswer{})
}

func (h *Helper) shutdown() {
	h.state = draining
	h.notify(0, &ipc.Shutdown{})
}

// control serves a packet from the supervisor.
func (h *Helper) control(p ipc.Packet, err error) ([]byte, error) {
	if err == io.EOF {
		return nil, errDone
	}
	if err == nil {
		err = h.order(p)
	}
	if err != nil {
		return nil, fault{fmt.Errorf("the supervisor's packet: %w", err)}
	}
	return nil, nil
}

func (h *Helper) order(p ipc.Packet) error {
	switch {
	case p.Header.Type == ipc.TypeCtlWorker && p.FD >= 0 && h.workerFD < 0:
		m, err := wire.Decode[ipc.CtlWorker](p.Payload)
		if err != nil {
			return err
		}
		h.worker, h.workerFD = m, p.FD
		go h.read(p.FD, h.request)
	case p.Header.Type == ipc.TypeCtlRunner && p.FD >= 0:
		m, err := wire.Decode[ipc.CtlRunner](p.Payload)
		t := h.targets[m.Target]
		if err != nil || t == nil {
			return fmt.Errorf("target %d is unknown, or: %v", m.Target, err)
		}
		h.adopt(t, p.FD)
	case p.Header.Type == ipc.TypeCtlShutdown && p.FD < 0 && len(p.Payload) == 0:
		if h.stopping = true; h.state != greeting {
			h.shutdown()
		}
	default:
		return fmt.Errorf("type %d with descriptor %d has no place here", p.Header.Type, p.FD)
	}
	return nil
}
