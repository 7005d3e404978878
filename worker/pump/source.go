package pump

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

// Source reads the event queue into buffers that circulate between it and the
// engine. The kernel's queue is short (fs.inotify.max_queued_events), so it is
// drained ahead of what the engine has applied.
type Source struct {
	f     *os.File
	Full  chan []byte // a nil buffer says: the queue was empty after Mark was called
	Empty chan []byte // where buffers go back
	asked atomic.Bool
}

// NewSource makes a source; Run starts it.
func NewSource(f *os.File) *Source {
	return &Source{f: f, Full: make(chan []byte, eventBuffers), Empty: make(chan []byte, eventBuffers)}
}

// Mark asks for a nil buffer behind everything that is in the queue now.
func (s *Source) Mark() {
	s.asked.Store(true)
	// A deadline in the past wakes a reader that waits for events, so that it
	// tries again and sees the queue empty.
	_ = s.f.SetReadDeadline(time.Unix(1, 0))
}

// Run reads until the descriptor fails or is closed.
func (s *Source) Run() error {
	conn, err := s.f.SyscallConn()
	if err != nil {
		return fmt.Errorf("reading events: %w", err)
	}
	made := 0
	for {
		var buf []byte
		select {
		case buf = <-s.Empty:
		default:
			if made < eventBuffers {
				buf = make([]byte, eventBuffer)
				made++
			} else {
				buf = <-s.Empty
			}
		}
		n, err := s.read(conn, buf)
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		s.Full <- buf[:n]
	}
}

// read waits for events. Each time it sees the queue empty it answers a mark.
func (s *Source) read(conn interface {
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
						s.Full <- nil
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
