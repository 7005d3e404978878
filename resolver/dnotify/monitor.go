package dnotify

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/resolver/outbox"
)

// Root is a tree to be watched.
type Root struct {
	Number uint32 // the worker's name for it
	FD     int    // its directory, open in any way
	Cross  bool   // what is mounted below belongs to it
}

// Config is what a monitor is made of.
type Config struct {
	Roots  []Root
	Socket int               // SOCK_SEQPACKET to the worker
	Say    func(line string) // for the log; no byte of it comes from a name
}

// Stats are totals since the start.
type Stats struct {
	Directories int // held now
	Signals     int // of directories
	Overflows   int // of the queue of signals
	Moves       int // directories found in another place
}

// Monitor watches the trees. All of it runs on one thread: see Run.
type Monitor struct {
	config  Config
	signals *signals
	limit   int // how many directories may be held
	tid     int
	listing []byte

	places []*place
	tree   tree
	listed uint32 // number of the present listing
	out    reports
	marked []*node // signalled since the last update
	work   []*node // to be listed in this one
	failed map[*node]struct{}
	retry  time.Time // when to look at them again

	lost     bool      // the kernel's queue was full
	starting bool      // the worker has seen nothing yet, so nothing has changed
	next     time.Time // no update before
	stats    Stats
}

// New makes a monitor. Descriptors are made here, so that a filter can be
// entered before Run.
func New(c Config) (*Monitor, error) {
	files, err := openFiles()
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(c.Socket, true); err != nil {
		return nil, fmt.Errorf("dnotify: the worker's socket: %w", err)
	}
	s, err := newSignals()
	if err != nil {
		return nil, err
	}
	return &Monitor{
		config: c, signals: s, limit: files - spare, listing: make([]byte, 64<<10),
		out: reports{socket: c.Socket}, failed: map[*node]struct{}{}, starting: true,
	}, nil
}

// Run watches until the worker has gone (ErrGone) or something fails. It takes a
// thread of its own: the kernel's signals are sent to that one, and only it can
// read them.
//
// Marks are answered from when all directories are watched. Who needs to know
// that nothing is missed from some moment on asks for one.
func (m *Monitor) Run() error {
	return onOwnThread(func(tid int) error {
		m.tid = tid
		err := m.start()
		for err == nil {
			err = m.turn()
		}
		return err
	})
}

// start watches what is there.
func (m *Monitor) start() error {
	for _, r := range m.config.Roots {
		fd, err := openBelow(r.FD, ".", r.Cross)
		if err != nil {
			return fmt.Errorf("dnotify: root %d: %w", r.Number, err)
		}
		who, _, err := identity(fd)
		if err != nil {
			return fmt.Errorf("dnotify: root %d: %w", r.Number, err)
		}
		p := &place{number: r.Number, cross: r.Cross, byID: map[id]*node{}}
		if p.top, err = m.hold(p, fd, who); err != nil {
			return err
		}
		m.places = append(m.places, p)
		m.again(p.top)
	}
	err := m.update(patient)
	m.starting = false
	return err
}

// patient gives up what has had its grace; hurried gives up all: what was
// signalled has been looked at, and nothing is to come that belongs to it.
func patient(now time.Time) time.Time { return now }
func hurried(now time.Time) time.Time { return now.Add(2 * grace) }

// The pace of updates under a stream of changes: the worker lists each directory
// that it is told of, so telling it of one a thousand times a second is of no
// use. A change after a quiet time waits for nothing.
const (
	leastPause = 4 * time.Millisecond
	mostPause  = time.Second
	// mostMarks is how many marks may wait to be sent before no more are read.
	mostMarks = 16
)

// turn waits for something to do, and does it.
func (m *Monitor) turn() error {
	full, err := m.out.flush()
	if err != nil {
		return err
	}
	asked, err := m.wait(full)
	if err != nil {
		return err
	}
	if err := m.drain(); err != nil {
		return err
	}
	if asked {
		return m.answer()
	}
	began := time.Now()
	m.retryFailed(began)
	due := m.pending() && !began.Before(m.next)
	if !due && (len(m.tree.orphans) == 0 || began.Before(m.tree.orphans[0].until)) {
		return nil
	}
	if err := m.update(patient); err != nil {
		return err
	}
	now := time.Now()
	m.next = now.Add(min(max(now.Sub(began), leastPause), mostPause))
	return nil
}

// pending says whether there is something for an update to do.
func (m *Monitor) pending() bool { return m.lost || len(m.marked) > 0 }

// wait returns when there may be something to do; asked says that the worker
// asks for a mark, or has gone.
func (m *Monitor) wait(full bool) (asked bool, err error) {
	socket := unix.PollFd{Fd: int32(m.out.socket)}
	if full {
		socket.Events |= unix.POLLOUT
	}
	if m.out.marks < mostMarks {
		socket.Events |= unix.POLLIN
	}
	fds, until := [2]unix.PollFd{socket, {Fd: int32(m.signals.fd), Events: unix.POLLIN}}, time.Time{}
	if m.pending() {
		// The update has to wait, and signals are no reason to wake for: they
		// are read every leastPause.
		fds[1].Events = 0
		until = m.next
	}
	if o := m.tree.orphans; len(o) > 0 && (until.IsZero() || o[0].until.Before(until)) {
		until = o[0].until
	}
	if len(m.failed) > 0 && (until.IsZero() || m.retry.Before(until)) {
		until = m.retry
	}
	var timeout *unix.Timespec
	if !until.IsZero() {
		left := max(time.Until(until), 0)
		if m.pending() {
			left = min(left, leastPause)
		}
		t := unix.NsecToTimespec(int64(left))
		timeout = &t
	}
	if _, err := unix.Ppoll(fds[:], timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("dnotify: ppoll: %w", err)
	}
	if fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0 {
		return false, ErrGone
	}
	return fds[0].Revents&(unix.POLLIN|unix.POLLHUP) != 0, nil
}

// answer reads what marks are asked for. The signals have been read after the
// worker wrote, so that an update now covers all that happened before.
func (m *Monitor) answer() error {
	var marks []uint32
	for m.out.marks+len(marks) < mostMarks {
		mark, there, err := outbox.Asked(m.out.socket)
		switch {
		case errors.Is(err, io.EOF):
			return ErrGone
		case err != nil:
			return fmt.Errorf("dnotify: %w", err)
		}
		if !there {
			break
		}
		marks = append(marks, mark)
	}
	if len(marks) == 0 {
		return nil
	}
	if err := m.drain(); err != nil {
		return err
	}
	if err := m.update(hurried); err != nil {
		return err
	}
	for _, mark := range marks {
		m.out.answer(mark)
	}
	return nil
}

// send lets the worker begin before an update has ended.
func (m *Monitor) send() error {
	_, err := m.out.flush()
	return err
}

func (m *Monitor) say(line string) {
	if m.config.Say != nil {
		m.config.Say("dnotify: " + line)
	}
}
