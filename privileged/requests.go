package privileged

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"lockstep/ipc"
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
		ipc.TypeHello: {"Hello", greeting, on(ipc.DecodeHello, (*Helper).hello)},
		ipc.TypeWatch: {"Watch", running | draining, on(ipc.DecodeWatch, (*Helper).watch)},
		ipc.TypeStat:  {"Stat", running | draining, on(ipc.DecodeStat, (*Helper).stat)},
		ipc.TypeStart: {"Start", running | draining, on(ipc.DecodeStart, (*Helper).begin)},
		ipc.TypeData:  {"Data", running | draining, on(ipc.DecodeData, (*Helper).data)},
		ipc.TypeStop:  {"Stop", running | draining, on(ipc.DecodeStop, (*Helper).stop)},
		ipc.TypeDrain: {"Drain", running | draining, on(ipc.DecodeDrain, (*Helper).drain)},
	}
}

// on joins a decoder and a handler. The handler gives the answer's packet, or
// none when a thread of a root or a later request will.
func on[T any](decode func([]byte) (T, error), serve func(*Helper, uint32, *T) ([]byte, error)) func(*Helper, uint32, []byte) ([]byte, error) {
	return func(h *Helper, seq uint32, payload []byte) ([]byte, error) {
		m, err := decode(payload)
		if err != nil {
			return nil, err
		}
		return serve(h, seq, &m)
	}
}

// request serves a packet from the worker. An error that is no fault is a
// violation: no honest worker can have sent the packet.
func (h *Helper) request(p ipc.Packet, err error) ([]byte, error) {
	if err == io.EOF && h.state == draining {
		return nil, errDone
	}
	if errno := syscall.Errno(0); err == io.EOF || errors.As(err, &errno) {
		return nil, fault{fmt.Errorf("the worker's socket: %w", err)}
	}
	if err != nil {
		return nil, err
	}
	if p.FD >= 0 {
		h.closeFD(p.FD)
		return nil, errors.New("a descriptor where none belongs")
	}
	// The kernel has checked them, and a socket can be inherited or passed on.
	if p.Cred == nil || uint32(p.Cred.PID) != h.worker.PID || p.Cred.UID != h.worker.UID {
		return nil, fmt.Errorf("packet from another process: %+v", p.Cred)
	}
	if h.seq++; p.Header.Seq != h.seq || !p.Header.Final {
		return nil, fmt.Errorf("packet with number %d instead of %d, or without its flag", p.Header.Seq, h.seq)
	}
	r, known := h.table[p.Header.Type]
	if !known {
		return nil, fmt.Errorf("request of unknown type %d", p.Header.Type)
	}
	if r.in&h.state == 0 || (h.start != nil) != (p.Header.Type == ipc.TypeData) {
		return nil, fmt.Errorf("request %s is not permitted now", r.name)
	}
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
		h.state = draining
	}
	answer := &ipc.HelloAnswer{Targets: h.cfg.Targets, Config: h.cfg.Worker}
	for _, r := range h.cfg.Roots {
		answer.Roots = append(answer.Roots, r.Root)
	}
	return h.reply(seq, answer)
}

func (h *Helper) watch(seq uint32, m *ipc.Watch) ([]byte, error) {
	return h.assign(m.Root, &task{seq: seq, watch: m, rels: m.Rels})
}

func (h *Helper) stat(seq uint32, m *ipc.Stat) ([]byte, error) {
	return h.assign(m.Root, &task{seq: seq, rels: m.Rels})
}

func (h *Helper) drain(seq uint32, _ *ipc.Drain) ([]byte, error) {
	h.state = draining
	return h.reply(seq, &ipc.DrainAnswer{})
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
	if (p.FD >= 0) != (p.Header.Type != ipc.TypeCtlShutdown) {
		return fmt.Errorf("type %d with descriptor %d", p.Header.Type, p.FD)
	}
	switch p.Header.Type {
	case ipc.TypeCtlWorker:
		m, err := ipc.DecodeCtlWorker(p.Payload)
		if err == nil && h.workerFD >= 0 {
			err = errors.New("a second worker")
		}
		if err != nil {
			return err
		}
		h.worker, h.workerFD = m, p.FD
		h.attach(p.FD, h.request)
		go func() {
			for {
				select {
				case n := <-h.notices:
					h.send(n)
				case <-h.done:
					return
				}
			}
		}()
		return nil
	case ipc.TypeCtlRunner:
		m, err := ipc.DecodeCtlRunner(p.Payload)
		if err == nil && h.targets[m.Target] == nil {
			err = errors.New("unknown target")
		}
		if err != nil {
			return err
		}
		return h.adopt(h.targets[m.Target], p.FD)
	case ipc.TypeCtlShutdown:
		if _, err := ipc.DecodeCtlShutdown(p.Payload); err != nil {
			return err
		}
		if h.stopping = true; h.state == running {
			h.state = draining
		}
		return h.notify(&ipc.Shutdown{})
	}
	return fmt.Errorf("type %d", p.Header.Type)
}
