package pump

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/pace"
	"lockstep/internal/sys"
	"lockstep/monitor"
)

// eventBuffers is how much of the kernel's queue is drained ahead of the engine.
const eventBuffers = 64

// Source reads the event queue into buffers that circulate between it and the
// engine. The kernel's queue is short (fs.inotify.max_queued_events), so it is
// drained ahead of what the engine has applied.
//
// It has an epoll instance of its own: the runtime's poller would be woken by
// each single event, also while the source waits for more of them (see package pace).
type Source struct {
	buffers
	fd, poll, wake int
	asked          atomic.Bool
	wait           [2]unix.EpollEvent
}

// buffers circulate between a reader and the engine.
type buffers struct {
	Full  chan []byte // a nil buffer says: the queue was seen empty after Mark was called
	Empty chan []byte // where buffers go back
	size  int         // of each
	made  int
}

func newBuffers(size int) buffers {
	return buffers{size: size, Full: make(chan []byte, eventBuffers), Empty: make(chan []byte, eventBuffers)}
}

// Filled is where full buffers come.
func (s *buffers) Filled() <-chan []byte { return s.Full }

// Release takes a buffer back.
func (s *buffers) Release(b []byte) { s.Empty <- b[:cap(b)] }

func (s *buffers) buffer() []byte {
	select {
	case buf := <-s.Empty:
		return buf
	default:
	}
	if s.made < eventBuffers {
		s.made++
		return make([]byte, s.size)
	}
	return <-s.Empty
}

// NewSource makes a source of an inotify descriptor; Run starts it. It makes
// descriptors, so that it has to be called before the filter is entered.
func NewSource(fd int) (*Source, error) {
	s := &Source{fd: fd, poll: -1, buffers: newBuffers(monitor.ReadSize)}
	err := unix.SetNonblock(fd, true)
	if err == nil {
		s.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	}
	if err == nil {
		s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	for _, fd := range []int{s.fd, s.wake} {
		if err == nil {
			err = unix.EpollCtl(s.poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for events: %w", err)
	}
	return s, nil
}

// Decode calls to.Event for what the kernel wrote into a buffer.
func (s *Source) Decode(b []byte, to monitor.Takers) error { return monitor.Decode(b, to.Event) }

// Mark asks for a nil buffer behind everything that is in the queue now.
func (s *Source) Mark() {
	s.asked.Store(true)
	s.rouse()
}

// rouse has a reader that waits for events look at the queue again.
func (s *Source) rouse() {
	one := [8]byte{1} // in any byte order it is not zero
	// EAGAIN is the one failure: it was written too often to be read already.
	_, _ = unix.Write(s.wake, one[:])
}

// Unwatch removes a watch. It needs no privilege, only the descriptor. EINVAL
// says that the kernel removed it already, with its directory.
func (s *Source) Unwatch(wd int32) { _, _ = unix.InotifyRmWatch(s.fd, uint32(wd)) }

// Run reads until the descriptor fails.
func (s *Source) Run() error {
	var p pace.Pace
	for {
		buf := s.buffer()
		n, answers, err := s.read(buf)
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		s.Full <- buf[:n]
		if answers {
			s.asked.Store(false)
			s.Full <- nil
		}
		if wait := p.After(n, time.Now()); wait > 0 {
			pace.Rest(wait)
		}
	}
}

// read waits for events. When it sees the queue empty it answers a mark that
// was made before; if that is so behind what it has read, answers says that the
// mark is to be answered behind that: of a stream, which is read in rests, no
// read would ever find nothing.
func (s *Source) read(buf []byte) (n int, answers bool, err error) {
	for {
		asked := s.asked.Load()
		n, err := unix.Read(s.fd, buf)
		switch {
		case err == nil:
			// The kernel goes on to the queue's end as long as a record fits.
			return n, asked && n <= len(buf)-monitor.MinBuffer, nil
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EAGAIN):
			return 0, false, err
		case asked:
			s.asked.Store(false)
			s.Full <- nil
		default:
			if err := s.sleep(); err != nil {
				return 0, false, err
			}
		}
	}
}

// sleep waits until there are events or a mark is asked for.
func (s *Source) sleep() error {
	runtime.Gosched() // what was read is decoded first: a call that blocks keeps the processor for a while
	n, e := sys.EpollWait(s.poll, s.wait[:])
	if e != 0 {
		return fmt.Errorf("epoll_pwait: %w", e)
	}
	for _, ev := range s.wait[:n] {
		if ev.Fd != int32(s.wake) {
			continue
		}
		var count [8]byte
		if _, err := unix.Read(s.wake, count[:]); err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("eventfd: %w", err)
		}
	}
	return nil
}
