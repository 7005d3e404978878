package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"lockstep/plugin/frame"
)

// running is one host process.
type running struct {
	process Process
	conn    *os.File
	seq     frame.Sequence

	ended  chan struct{} // closed at its end, after status is set
	status syscall.WaitStatus
}

// drain is how long an answer is waited for that a host may have written before
// it ended. Its end of the socket is closed then, unless a process has it that
// left the group.
const drain = time.Second

// await notes the end, and has a call notice.
func (h *running) await() {
	h.status = <-h.process.Ended
	close(h.ended)
	// Fails when it is closed already.
	_ = h.conn.SetDeadline(time.Now().Add(drain))
}

func (h *running) over() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// exchange sends a request and reads the answer to it.
func (h *running) exchange(ctx context.Context, timeout time.Duration, req frame.Message) (frame.Result, *Failure) {
	h.seq++
	b, err := frame.Append(nil, h.seq, req)
	if err != nil {
		return frame.Result{}, &Failure{Why: NotSent, What: err.Error()}
	}
	until := time.Time{}
	if timeout > 0 {
		until = time.Now().Add(timeout)
	}
	if err := h.conn.SetDeadline(until); err != nil {
		return frame.Result{}, &Failure{Why: NotStarted, What: err.Error()}
	}
	if h.over() { // await may have been before us
		_ = h.conn.SetDeadline(time.Now().Add(drain))
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = h.conn.SetDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-cut // or it would cut the next call
		}
	}()

	var seq frame.Sequence
	var answer frame.Message
	if _, err = h.conn.Write(b); err == nil {
		seq, answer, err = frame.ReadAnswer(h.conn)
	}
	switch {
	case errors.Is(err, frame.ErrMalformed):
		return frame.Result{}, &Failure{Why: Garbage, What: err.Error()}
	case err != nil && ctx.Err() != nil:
		return frame.Result{}, &Failure{Why: Stopped}
	case errors.Is(err, os.ErrDeadlineExceeded) && !h.over():
		return frame.Result{}, &Failure{Why: Timeout, What: fmt.Sprintf("no answer within %v", timeout)}
	case err != nil:
		return frame.Result{}, &Failure{Why: Exited, What: err.Error()} // or crashed: dispose knows
	case seq != h.seq:
		return frame.Result{}, &Failure{Why: Garbage, What: fmt.Sprintf("answer %d where %d is due", seq, h.seq)}
	}
	if fault, is := answer.(*frame.Fault); is {
		return frame.Result{}, told(fault)
	}
	return *answer.(*frame.Result), nil
}

// dispose ends a host of which a call has failed, and looks at how it had ended
// where that is the failure.
func (h *running) dispose(f *Failure, grace time.Duration) {
	if f.Why != Exited {
		h.end(grace)
		return
	}
	// Its socket is closed, so that it is ending, or the module closed it.
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-h.ended:
		if h.status.Signaled() {
			f.Why, f.Signal = Crashed, h.status.Signal()
			f.What = fmt.Sprintf("signal %d (%v)", f.Signal, f.Signal)
		} else {
			f.What = fmt.Sprintf("exit code %d", h.status.ExitStatus())
		}
	case <-timer.C:
		f.Why, f.What = Garbage, "it closed the socket to its runner"
	}
	h.end(grace)
}

// end ends the host with all of its group: SIGTERM, and SIGKILL after the grace.
// Nothing of it is left when it returns.
func (h *running) end(grace time.Duration) {
	// An error would be that of a process that is not ours any more; then it is
	// the next signal's turn, and at last the end's.
	_ = h.process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-h.ended:
	case <-timer.C:
		_ = h.process.Signal(syscall.SIGKILL)
		<-h.ended
	}
	_ = h.conn.Close()
}

// leave waits for a host that was told to end.
func (h *running) leave(grace time.Duration) *Failure {
	timer := time.NewTimer(max(grace, drain))
	defer timer.Stop()
	select {
	case <-h.ended:
		_ = h.conn.Close()
		return nil
	case <-timer.C:
		h.end(grace)
		return &Failure{Why: Timeout, What: "it did not end after clsyncapi_deinit"}
	}
}
