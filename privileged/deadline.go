package privileged

import (
	"fmt"
	"slices"
	"time"

	"lockstep/ipc"
)

// assign gives a task to its root's thread. One that is late gets no more.
func (h *Helper) assign(id ipc.RootID, t *task) ([]byte, error) {
	r := h.roots[id]
	if r == nil {
		return nil, fmt.Errorf("unknown root %d", id)
	}
	if c := r.current.Load(); c != nil && c.state.Load() == late {
		return h.refuse(t, ipc.StatusTimeout)
	}
	r.load.Add(1)
	select {
	case r.queue <- t:
	default:
		r.load.Add(-1)
		return h.refuse(t, ipc.StatusBusy)
	}
	if !h.armed {
		h.armed = true
		h.timer.Reset(h.cfg.Deadline / 2)
	}
	return nil, nil
}

// refuse answers for all paths of t that are not answered yet.
func (h *Helper) refuse(t *task, s ipc.Status) ([]byte, error) {
	if t.watch == nil {
		return h.reply(t.seq, &ipc.StatAnswer{Stats: slices.Repeat([]ipc.PathStat{{Status: s}}, len(t.rels))})
	}
	var a ipc.WatchAnswer
	for i := t.answered; i < len(t.rels); i++ {
		a.Dirs = append(a.Dirs, ipc.Dir{Index: uint16(i), Status: s, WD: -1})
	}
	return h.reply(t.seq, &a)
}

// expire answers in place of threads that have not come back from the file
// system within the deadline, which are noticed at one and a half of it at the
// latest, and for what waits behind them.
func (h *Helper) expire() error {
	h.armed = false
	for _, r := range h.roots {
		if r.load.Load() == 0 {
			continue
		}
		if !h.armed {
			h.armed = true
			h.timer.Reset(h.cfg.Deadline / 2)
		}
		t := r.current.Load()
		if t == nil || time.Duration(h.now()-t.since.Load()) < h.cfg.Deadline || !t.state.CompareAndSwap(working, late) {
			continue
		}
		h.logf("<4>root %s does not answer within %v", r.Name, h.cfg.Deadline)
		for ; t != nil; t = r.waiting() {
			packet, err := h.refuse(t, ipc.StatusTimeout)
			if err == nil {
				err = h.queue(packet)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
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

// now is the time since the start, which no step of the clock disturbs.
func (h *Helper) now() int64 { return int64(time.Since(h.base)) }
