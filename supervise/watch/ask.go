package watch

import (
	"errors"
	"time"

	"lockstep/ipc/status"
)

// askTime bounds how long a person at the prompt waits for a worker.
const askTime = time.Minute

var errNoAnswer = errors.New("the worker has not answered in time")

// ask has run call f, and waits until a report says so.
func (r *root) ask(f func() error, until func(status.Report) bool) error {
	w := wait{until, make(chan struct{})}
	r.do(func() error {
		r.waits = append(r.waits, w)
		return f()
	})
	limit := time.NewTimer(askTime)
	defer limit.Stop()
	select {
	case <-w.done:
		return nil
	case <-limit.C:
		return errNoAnswer
	case <-r.stop:
		return nil
	}
}

// verifyNow compares the tree with the file system, and tells the numbers.
func (r *root) verifyNow() error {
	var before uint64
	return r.ask(func() error {
		before, r.asked = r.last.Verified, true
		return r.order(status.CommandVerify)
	}, func(now status.Report) bool { return now.Verified > before })
}

// rebuildNow forgets all that is known of the root, and begins again.
func (r *root) rebuildNow() error {
	begun := false
	return r.ask(func() error {
		err := r.end()
		if err != nil || r.stopping {
			return err
		}
		begun = true
		return r.start()
	}, func(now status.Report) bool { return begun && now.Ready == 1 })
}
