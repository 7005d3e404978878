package privileged

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"lockstep/ipc"
)

// maxQueue is how many requests may wait for one root.
const maxQueue = 64

// task is a Watch or a Stat on its way. Its state says who may answer it: the
// thread, which sends only after it has moved it from working to sending, or
// expire, once it has moved it from working to late.
type task struct {
	seq      uint32
	watch    *ipc.Watch // nil: a Stat
	rels     []string
	at       int // the thread works on rels[at]
	answered int // below it, all is answered
	state    atomic.Int32
	sights   atomic.Int32 // by expire, of the verb under way
}

const (
	working int32 = iota
	sending       // and for ever, once the last packet is sent
	late
)

var errLate = errors.New("answered already")

// deliver sends a packet of t's answer, unless expire has answered.
func (r *root) deliver(t *task, packet []byte) error {
	if !t.state.CompareAndSwap(working, sending) {
		return errLate
	}
	r.h.send(packet)
	if t.answered = t.at; t.at < len(t.rels) {
		t.sights.Store(0)
		t.state.Store(working)
	}
	return nil
}

// assign gives a task to its root's thread. One that is late gets no more.
func (h *Helper) assign(id ipc.RootID, t *task) ([]byte, error) {
	r := h.roots[id]
	if r == nil {
		return nil, fmt.Errorf("unknown root %d", id)
	}
	if c := r.current.Load(); c != nil && c.state.Load() == late {
		return ipc.Append(nil, t.seq, t.refusal(ipc.StatusTimeout))
	}
	r.load.Add(1)
	select {
	case r.queue <- t:
		h.arm()
		return nil, nil
	default:
		r.load.Add(-1)
		return ipc.Append(nil, t.seq, t.refusal(ipc.StatusBusy))
	}
}

// arm has expire run soon.
func (h *Helper) arm() {
	if !h.armed {
		h.armed = true
		h.timer.Reset(h.cfg.Deadline / 2)
	}
}

// refusal answers for all paths of t that are not answered yet.
func (t *task) refusal(s ipc.Status) ipc.Message {
	if t.watch == nil {
		return &ipc.StatAnswer{Stats: slices.Repeat([]ipc.PathStat{{Status: s}}, len(t.rels))}
	}
	var a ipc.WatchAnswer
	for i := t.answered; i < len(t.rels); i++ {
		a.Dirs = append(a.Dirs, ipc.Dir{Index: uint16(i), Status: s, WD: -1})
	}
	return &a
}

// expire answers in place of threads that have not come back from the file
// system within the deadline, which it notices at one and a half of it at the
// latest, and for what waits behind them. It comes every half deadline, and
// counts, so that the threads need not look at the clock for every verb.
func (h *Helper) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.armed = false
	for _, r := range h.roots {
		if r.load.Load() == 0 {
			continue
		}
		h.arm()
		t := r.current.Load()
		if t == nil || t.sights.Add(1) < 3 || !t.state.CompareAndSwap(working, late) {
			continue
		}
		h.logf("<4>root %s does not answer within %v", r.Name, h.cfg.Deadline)
		for ; t != nil; t = r.waiting() {
			h.notify(t.seq, t.refusal(ipc.StatusTimeout))
		}
	}
}

// waiting takes a task from the queue, unless it is empty.
func (r *root) waiting() *task {
	select {
	case t := <-r.queue:
		r.load.Add(-1)
		return t
	default:
		return nil
	}
}
