package worker

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	eventBuffer  = 64 << 10 // bytes of one read of the event queue
	eventBuffers = 64       // how much of the kernel's queue is drained ahead of the engine
)

// source reads the event queue into buffers that circulate between it and the
// engine. The kernel's queue is short (fs.inotify.max_queued_events), so it is
// drained ahead of what the engine has applied.
type source struct {
	f     *os.File
	full  chan []byte // a nil buffer says: the queue was empty after mark was called
	empty chan []byte
	asked atomic.Bool
}

// mark asks for a nil buffer behind everything that is in the queue now.
func (s *source) mark() {
	s.asked.Store(true)
	// A deadline in the past wakes a reader that waits for events, so that it
	// tries again and sees the queue empty.
	_ = s.f.SetReadDeadline(time.Unix(1, 0))
}

func (s *source) run() error {
	conn, err := s.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	made := 0
	for {
		var buf []byte
		select {
		case buf = <-s.empty:
		default:
			if made < eventBuffers {
				buf = make([]byte, eventBuffer)
				made++
			} else {
				buf = <-s.empty
			}
		}
		n, err := s.read(conn, buf)
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		s.full <- buf[:n]
	}
}

// read waits for events. Each time it sees the queue empty it answers a mark.
func (s *source) read(conn interface {
	Read(f func(fd uintptr) bool) error
}, buf []byte) (n int, err error) {
	for {
		wait := conn.Read(func(fd uintptr) bool {
			for {
				n, err = unix.Read(int(fd), buf)
				switch err {
				case unix.EINTR:
					continue
				case unix.EAGAIN:
					if s.asked.Swap(false) {
						s.full <- nil
					}
					return false
				}
				return true
			}
		})
		if errors.Is(wait, os.ErrDeadlineExceeded) {
			if err := s.f.SetReadDeadline(time.Time{}); err != nil {
				return 0, err
			}
			continue
		}
		if wait != nil {
			return 0, wait
		}
		return n, err
	}
}

// barrier has the root told that its pass has ended, once every event up to
// now was applied.
func (e *engine) barrier(r *root) {
	e.passed = append(e.passed, r)
	e.source.mark()
}

// caughtUp is reached when a mark comes back. One mark answers for one root:
// a pass that ended after the mark was made needs another.
func (e *engine) caughtUp() {
	if len(e.passed) == 0 {
		return
	}
	e.passed[0].track.Pass(false)
	if e.passed = e.passed[1:]; len(e.passed) > 0 {
		e.source.mark()
	}
}
