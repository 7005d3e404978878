// Package privileged is the helper: the few verbs that the worker may have done
// on the watched trees, and the hand-over of its lists to the runners.
//
// Trust: it holds CAP_DAC_READ_SEARCH; every byte from the worker and from a
// runner, and every name in a tree, is hostile. The supervisor is trusted.
//
// Invariants: Serve's goroutine owns all state but that of the roots' threads
// (root) and never waits for a file system, a runner or the worker; a path is
// resolved by openat2 below its root and never twice; handlers return, and Serve
// alone decides what an error means.
package privileged

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"lockstep/ipc"
)

// Exit codes of the program.
const (
	ExitDone      = 0
	ExitInternal  = 70
	ExitViolation = 76
)

// errDone ends Serve without a fault. A fault ends it too, with ExitInternal;
// any other error is the worker's violation.
var errDone = errors.New("done")

type fault struct{ error }

// Helper is the helper's state.
type Helper struct {
	cfg     ipc.HelperConfig
	log     io.Writer // whole lines, each with its level as in sd-daemon(3)
	table   map[ipc.Type]request
	roots   map[ipc.RootID]*root
	targets map[ipc.TargetID]*target
	jobs    map[ipc.JobID]*job
	events  chan event
	notices chan []byte // for the worker, in packets
	done    chan struct{}
	base    time.Time
	timer   *time.Timer // runs while a root has work
	armed   bool

	state    state
	stopping bool // the supervisor wants no more Start
	worker   ipc.CtlWorker
	workerFD int // -1 before CtlWorker
	seq      uint32
	lastJob  ipc.JobID
	start    *start // the list of this Start is being received
}

// peer is a socket with the goroutine that reads it. No socket but control is
// there when the filter closes the door on epoll_ctl(2), so they are read with
// calls that block.
type peer struct {
	fd    int
	serve func(ipc.Packet, error) ([]byte, error)
	next  chan []byte // the answer, or nil; closed when the peer is dropped
	dead  bool
}

type event struct {
	peer   *peer
	packet ipc.Packet
	err    error
}

// New starts the threads of the roots, which have to be there before the filter:
// it has no unshare(2). inotify is the descriptor on which watches are placed.
func New(cfg ipc.HelperConfig, inotify int, log io.Writer) (*Helper, error) {
	h := &Helper{
		cfg: cfg, log: log, table: requests(), state: greeting, workerFD: -1,
		roots:   make(map[ipc.RootID]*root),
		targets: make(map[ipc.TargetID]*target),
		jobs:    make(map[ipc.JobID]*job),
		events:  make(chan event),
		// What is not read is bounded: the socket's buffer holds less than
		// 512 answers to Start, and a root has at most maxQueue to be late with.
		notices: make(chan []byte, 1024+len(cfg.Roots)*(maxQueue+1)+len(cfg.Targets)*ipc.MaxJobs),
		done:    make(chan struct{}),
		base:    time.Now(),
		timer:   time.NewTimer(0),
	}
	for _, t := range cfg.Targets {
		h.targets[t.ID] = &target{name: t.Name}
	}
	if _, err := h.hello(0, &ipc.Hello{Version: ipc.Version, Build: cfg.Build}); err != nil {
		return nil, err // what every worker would be told cannot be sent
	}
	h.state = greeting
	for _, c := range cfg.Roots {
		r := newRoot(c, inotify, h)
		started := make(chan error)
		go r.run(started)
		if err := <-started; err != nil {
			close(h.done)
			return nil, fmt.Errorf("root %s: %w", c.Name, err)
		}
		h.roots[c.ID] = r
	}
	return h, nil
}

// Serve answers until the supervisor closes control, or the worker has gone or
// committed a violation. It returns the program's exit code.
func (h *Helper) Serve(control int) int {
	defer close(h.done)
	h.attach(control, h.control)
	for {
		var err error
		select {
		case e := <-h.events:
			err = h.handle(e)
		case <-h.timer.C:
			err = h.expire()
		}
		var f fault
		switch {
		case err == nil:
		case errors.Is(err, errDone):
			return ExitDone
		case errors.As(err, &f):
			h.logf("<3>%v", err)
			return ExitInternal
		default:
			h.logf("<3>violation by the worker: %v", err)
			return ExitViolation
		}
	}
}

func (h *Helper) handle(e event) error {
	if e.peer == nil {
		return e.err
	}
	var answer []byte
	var err error
	if !e.peer.dead {
		answer, err = e.peer.serve(e.packet, e.err)
	} else if e.packet.FD >= 0 {
		h.closeFD(e.packet.FD)
	}
	switch {
	case err != nil:
		return err
	case e.peer.dead:
		close(e.peer.next)
	default:
		e.peer.next <- answer
	}
	return nil
}

// attach starts to read a socket. Its goroutine sends the answers too, so that
// a worker that does not read them is not listened to any more.
func (h *Helper) attach(fd int, serve func(ipc.Packet, error) ([]byte, error)) *peer {
	p := &peer{fd: fd, serve: serve, next: make(chan []byte)}
	go func() {
		buf := make([]byte, ipc.MaxPacket)
		for {
			packet, err := ipc.ReceiveFD(fd, buf)
			if !h.post(event{p, packet, err}) {
				return
			}
			select {
			case <-h.done:
				return
			case answer, more := <-p.next:
				if !more {
					h.closeFD(fd)
					return
				}
				if answer != nil {
					h.send(answer)
				}
			}
		}
	}()
	return p
}

// post hands an event to Serve, or tells that Serve has ended.
func (h *Helper) post(e event) bool {
	select {
	case h.events <- e:
		return true
	case <-h.done:
		return false
	}
}

// send gives the worker a packet, and waits while it does not read. When it has
// gone, its socket's reader says so.
func (h *Helper) send(packet []byte) {
	err := ipc.SendFD(h.workerFD, packet, -1, 0)
	if err != nil && err != syscall.EPIPE && err != syscall.ECONNRESET {
		h.post(event{err: fault{fmt.Errorf("sending to the worker: %w", err)}})
	}
}

// notify has m, or a packet, sent when the worker reads.
func (h *Helper) notify(m ipc.Message) error {
	packet, err := h.reply(0, m)
	if err != nil {
		return err
	}
	return h.queue(packet)
}

func (h *Helper) queue(packet []byte) error {
	select {
	case h.notices <- packet:
		return nil
	default:
		return errors.New("it does not read its answers")
	}
}

func (h *Helper) reply(seq uint32, m ipc.Message) ([]byte, error) {
	packet, err := ipc.Append(nil, seq, m)
	if err != nil {
		return nil, fault{err}
	}
	return packet, nil
}

// closeFD closes what came from outside or was made here, and is still open.
func (h *Helper) closeFD(fd int) {
	if err := syscall.Close(fd); err != nil {
		h.logf("<4>close: %v", err)
	}
}

// logf writes one line. When that fails, the supervisor that reads the lines
// has gone, and control says so.
func (h *Helper) logf(format string, args ...any) {
	_, _ = h.log.Write(append(fmt.Appendf(nil, format, args...), '\n'))
}
