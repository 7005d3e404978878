// Package privileged is the helper: the few verbs that the worker may have done
// on the watched trees, and the hand-over of its lists to the runners.
//
// Trust: it holds CAP_DAC_READ_SEARCH; every byte from the worker and from a
// runner, and every name in a tree, is hostile. The supervisor is trusted.
//
// Invariants: nothing waits for a file system, a runner or the worker while it
// holds Helper.mu; a path is resolved by openat2 below its root, in one call;
// handlers return, and Serve alone decides what an error means.
package privileged

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"syscall"
	"time"

	"lockstep/internal/sys"
	"lockstep/ipc"
)

// Exit codes of the program.
const (
	ExitDone      = 0
	ExitInternal  = 70
	ExitViolation = 76
)

// errDone ends the helper, errDropped only the reading of one socket. A fault,
// and errGone, end the helper with ExitInternal. Any other error is the worker's violation.
var (
	errDone    = errors.New("done")
	errDropped = errors.New("dropped")
	errGone    = errors.New("the worker has gone")
)

type fault struct{ error }

// Helper is the helper's state.
type Helper struct {
	cfg   ipc.HelperConfig
	log   io.Writer // whole lines, each with its level as in sd-daemon(3)
	table map[ipc.Type]request
	roots map[ipc.RootID]*root
	end   chan error
	done  chan struct{} // closed when Serve returns

	mu       sync.Mutex // guards what follows
	state    state
	stopping bool // the supervisor wants no more Start
	worker   ipc.CtlWorker
	workerFD int // -1 before CtlWorker, then never changed
	seq      uint32
	start    *start // the list of this Start is being received
	targets  map[ipc.TargetID]*target
	jobs     map[ipc.JobID]*job
	lastJob  ipc.JobID
	timer    *time.Timer // runs expire while a root has work
	armed    bool
}

// New starts the threads of the roots, which have to be there before the filter:
// it has no unshare(2). inotify is the descriptor on which watches are placed.
func New(cfg ipc.HelperConfig, inotify int, log io.Writer) (*Helper, error) {
	h := &Helper{
		cfg: cfg, log: log, table: requests(), state: greeting, workerFD: -1,
		roots:   make(map[ipc.RootID]*root),
		targets: make(map[ipc.TargetID]*target),
		jobs:    make(map[ipc.JobID]*job),
		end:     make(chan error, 1),
		done:    make(chan struct{}),
	}
	for _, t := range cfg.Targets {
		h.targets[t.ID] = &target{name: t.Name}
	}
	for _, c := range cfg.Roots {
		r := &root{HelperRoot: c, h: h, inotify: inotify}
		started := make(chan error)
		go r.run(started)
		if err := <-started; err != nil {
			close(h.done)
			return nil, fmt.Errorf("root %s: %w", c.Name, err)
		}
		h.roots[c.ID] = r
	}
	h.timer = time.AfterFunc(cfg.Deadline, h.expire)
	return h, nil
}

// Serve answers until the supervisor closes control, or the worker has gone or
// committed a violation. It returns the program's exit code.
func (h *Helper) Serve(control int) int {
	defer close(h.done)
	go h.read(control, h.control)
	err := <-h.end
	var f fault
	switch {
	case err == errDone:
		return ExitDone
	case err == errGone:
		h.logf("<6>%v", err)
		return ExitInternal
	case errors.As(err, &f):
		h.logf("<3>%v", err)
		return ExitInternal
	}
	h.logf("<3>violation by the worker: %v", err)
	return ExitViolation
}

// read has a socket's packets served, and sends the worker what comes of it: a
// worker that does not read is not listened to. No socket but control is there
// when the filter closes the door on epoll_ctl(2), so the calls block.
func (h *Helper) read(fd int, serve func(ipc.Packet, error) ([]byte, error)) {
	buf := make([]byte, ipc.MaxPacket)
	for {
		p, err := ipc.Receive(fd, buf)
		h.mu.Lock()
		answer, err := serve(p, err)
		h.mu.Unlock()
		switch {
		case err == errDropped:
			h.closeFD(fd)
			return
		case err != nil:
			h.fail(err)
			return
		case answer != nil:
			h.send(answer)
		default:
			runtime.Gosched() // a root's thread goes first: a call that blocks keeps the processor
		}
	}
}

// fail has Serve return; the first reason counts.
func (h *Helper) fail(err error) {
	select {
	case h.end <- err:
	default:
	}
}

// send gives the worker a packet, and waits while it does not read. When it has
// gone, the reader of its socket says so.
func (h *Helper) send(packet []byte) {
	err := sys.SendPacket(h.workerFD, packet, -1, 0)
	if err != nil && err != syscall.EPIPE && err != syscall.ECONNRESET {
		h.fail(fault{fmt.Errorf("sending to the worker: %w", err)})
	}
}

// notify has m sent by a goroutine of its own. What may wait at a time is
// bounded: the tasks of the roots, the jobs of the targets, and one Shutdown.
func (h *Helper) notify(seq uint32, m ipc.Message) {
	packet, err := ipc.Append(nil, seq, m)
	if err != nil {
		h.fail(fault{err})
		return
	}
	go h.send(packet)
}

// closeFD closes what was made here or came along, when there is something.
func (h *Helper) closeFD(fd int) {
	if fd < 0 {
		return
	}
	if err := syscall.Close(fd); err != nil {
		h.logf("<4>close: %v", err)
	}
}

// logf writes one line. When that fails, the supervisor that reads the lines
// has gone, and control says so.
func (h *Helper) logf(format string, args ...any) {
	_, _ = h.log.Write(append(fmt.Appendf(nil, format, args...), '\n'))
}
