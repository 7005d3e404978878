// Package resolver reads the events of a whole file system, turns the handles in
// them into paths below a root, and passes on to the worker what lies below it.
//
// Trust: confined, with CAP_DAC_READ_SEARCH: what it reads (names that anybody
// on the file system has chosen) and what the worker asks is hostile. It opens
// directories by handle, and can do nothing with them but ask for their path.
// Imports: the standard library, x/sys, packages below internal, and package monitor.
//
// Invariants: nothing that is not below the root reaches the worker, not even by
// name. What is read is passed on, or an overflow in its place. What is held has
// a bound, and so has the kernel's queue, as far as this process gets to run.
package resolver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/pace"
	"lockstep/internal/sys"
	"lockstep/monitor"
	"lockstep/resolver/outbox"
)

const (
	readSize = monitor.ReadChanges
	// One read that is fuller may have left something in the queue.
	partRead = readSize - monitor.MinChanges

	// passedOn are the words that the worker hears.
	passedOn = monitor.Modify | monitor.Attrib | monitor.CloseWrite | monitor.Create | monitor.Delete | monitor.IsDir
)

// Ends are the resolver's descriptors.
type Ends struct {
	Fanotify int    // a group that reports directories, names and targets
	Worker   int    // events to the worker, marks from it
	Root     int    // the root, open for more than O_PATH
	Number   uint32 // as which the worker knows it
}

// Resolver is used by one goroutine.
type Resolver struct {
	Ends
	self   monitor.Handle // the root's own
	places *places
	box    *outbox.Box
	pace   pace.Pace
	blind  blind

	// Two sets to wait for: with nothing to send, and while the worker does not
	// read, when its marks wait.
	open, shut int
	ready      [2]unix.EpollEvent

	buf     []byte
	most    int // maxQueued
	every   int // lookEvery
	reads   int // in a row that were full
	left    int // events that are to be read before the mark is answered
	skip    int // events that are to be read and left out
	marking bool
	mark    uint32
	cookie  uint32
	hear    bool // the worker may have sent something
}

// New makes a resolver. It makes descriptors, so that it has to be called before
// the filter is entered.
func New(ends Ends) (*Resolver, error) {
	places, err := newPlaces(ends.Root)
	if err != nil {
		return nil, err
	}
	r := &Resolver{Ends: ends, places: places, buf: make([]byte, readSize), most: maxQueued, every: lookEvery, hear: true, blind: blind{least: leastBlind}}
	handle, _, err := unix.NameToHandleAt(ends.Root, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, fmt.Errorf("the root's handle: %w", err)
	}
	r.self = monitor.NewHandle(handle.Type(), handle.Bytes())
	for _, fd := range []int{ends.Fanotify, ends.Worker} {
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	if r.open, err = waitFor(ends.Fanotify, ends.Worker, unix.EPOLLIN); err == nil {
		r.shut, err = waitFor(ends.Fanotify, ends.Worker, unix.EPOLLOUT)
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for events: %w", err)
	}
	r.box = outbox.New(ends.Worker, ends.Number)
	// A handle that cannot be opened shows here, not at the first event.
	if path, inside, err := r.places.find(r.self); err != nil || !inside || len(path) > 0 {
		return nil, fmt.Errorf("the root is not found by its handle: %q, %v, %w", path, inside, err)
	}
	return r, r.places.leave()
}

// waitFor makes an epoll instance that wakes for events, and for what of the
// worker.
func waitFor(events, worker int, what uint32) (int, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, events, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(events)})
	}
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, worker, &unix.EpollEvent{Events: what, Fd: int32(worker)})
	}
	return fd, err
}

// Run serves until the worker goes, which is no error, or something fails.
func (r *Resolver) Run() error {
	for {
		err := r.step()
		if errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// step reads once, passes on what it can, and waits when there is nothing left.
func (r *Resolver) step() error {
	n, err := r.read()
	if err != nil {
		return err
	}
	if err := r.changes(r.buf[:n]); err != nil {
		return err
	}
	more := n > partRead
	if err := r.bound(more); err != nil {
		return err
	}
	r.blindly()
	if r.marking && r.skip <= 0 && (!more || r.left <= 0) {
		r.marking = false
		r.box.Mark(r.mark)
	}
	// Behind an overflow there must be nothing of which it was to tell.
	if r.skip <= 0 {
		if err := r.box.Flush(); err != nil {
			return err
		}
	}
	if more {
		return nil
	}
	if n > 0 {
		if rest := r.pace.After(n, time.Now()); rest > 0 {
			pace.Rest(rest)
		}
	}
	return r.wait()
}

// read reads the queue; 0: it is empty.
func (r *Resolver) read() (int, error) {
	for {
		n, err := unix.Read(r.Fanotify, r.buf)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case !errors.Is(err, unix.EINTR):
			return 0, fmt.Errorf("reading events: %w", err)
		}
	}
}

// bound keeps the kernel's queue short: when events come faster than they can be
// resolved, those that wait are left out, and the worker looks for itself.
func (r *Resolver) bound(more bool) error {
	if !more {
		r.reads, r.skip = 0, 0
		return nil
	}
	if r.reads++; r.reads%r.every != 0 || r.skip > 0 {
		return nil
	}
	n, e := queued(r.Fanotify)
	if e != 0 {
		return fmt.Errorf("length of the queue: %w", e)
	}
	if n > r.most {
		r.skip = n
		r.lose()
	}
	return nil
}

// wait waits for events, for a mark or, with something to send, for room.
func (r *Resolver) wait() error {
	set := r.shut
	if r.box.Empty() {
		set = r.open
		if r.hear {
			if asked, err := r.asked(); asked || err != nil {
				return err
			}
			r.hear = false
		}
	}
	limit := time.Duration(-1)
	if r.blind.due {
		limit = r.blind.wait(time.Now())
	}
	n, e := sys.EpollWaitFor(set, r.ready[:], limit)
	if e != 0 {
		return fmt.Errorf("epoll_pwait: %w", e)
	}
	for _, ev := range r.ready[:n] {
		r.hear = r.hear || ev.Fd == int32(r.Worker)
	}
	return nil
}

// asked takes a mark that the worker asks for.
func (r *Resolver) asked() (bool, error) {
	number, asked, err := outbox.Asked(r.Worker)
	if err != nil || !asked {
		return false, err
	}
	n, e := queued(r.Fanotify)
	if e != 0 {
		return false, fmt.Errorf("length of the queue: %w", e)
	}
	r.marking, r.mark, r.left = true, number, n
	return true, nil
}

// changes passes on what was read.
func (r *Resolver) changes(buf []byte) error {
	if len(buf) == 0 {
		return nil
	}
	if err := monitor.DecodeChanges(buf, r.change); err != nil {
		return err
	}
	return r.places.leave()
}

// change passes one change on, if it is below the root.
func (r *Resolver) change(c monitor.Change) {
	r.left--
	r.skip--
	if c.Mask.Has(monitor.Rename|monitor.Overflow) && c.Mask.Has(monitor.IsDir|monitor.Overflow) {
		r.places.forget()
	}
	if c.Mask.Has(monitor.IsDir) && bytes.Equal(c.Target, r.self) {
		r.own(c.Mask) // no overflow stands for that: the worker would look at what is no longer the root
	}
	if r.box.Lost() {
		return
	}
	rename := c.Mask.Has(monitor.Rename)
	switch {
	case c.Mask.Has(monitor.Overflow),
		c.Dir == nil && c.Target == nil,
		rename && (c.Dir == nil || c.NewDir == nil):
		r.lose() // the kernel does not say what has changed
		return
	case c.Dir == nil:
		if c.Mask.Has(content) {
			r.blind.wrote()
		}
		return
	}
	if rename {
		r.rename(c)
		return
	}
	if mask := c.Mask & passedOn; mask&^monitor.IsDir != 0 {
		r.pass(c.Dir, monitor.PathEvent{Mask: mask, PID: c.PID, Name: c.Name})
	}
}

// own is about the root itself, whose name is in a directory outside.
func (r *Resolver) own(mask monitor.Op) {
	switch {
	case mask.Has(monitor.Rename):
		r.box.Self(monitor.MoveSelf)
	case mask.Has(monitor.Delete):
		r.box.Self(monitor.DeleteSelf)
	}
}

// rename passes on what of a rename is below the root: both ends, or one.
func (r *Resolver) rename(c monitor.Change) {
	if r.cookie++; r.cookie == 0 {
		r.cookie = 1
	}
	dir := c.Mask & monitor.IsDir
	r.pass(c.Dir, monitor.PathEvent{Mask: monitor.MovedFrom | dir, Cookie: r.cookie, PID: c.PID, Name: c.Name})
	r.pass(c.NewDir, monitor.PathEvent{Mask: monitor.MovedTo | dir, Cookie: r.cookie, PID: c.PID, Name: c.NewName})
}

// pass passes an event on whose directory is below the root.
func (r *Resolver) pass(dir monitor.Handle, e monitor.PathEvent) {
	path, inside, err := r.places.find(dir)
	if err != nil {
		// A fault of a disk, mostly, or no memory. What the directory was is not
		// known: the worker looks for itself.
		r.say(err)
		r.lose()
		return
	}
	if inside {
		e.Root, e.Dir = r.Number, path
		r.box.Add(e)
	}
}

// lose has the worker look for itself, and forgets what events that are left out
// may have changed.
func (r *Resolver) lose() {
	r.places.forget()
	r.box.Lose()
	r.blind.due = false // it looks later than what it is owed for was done
}

func (r *Resolver) say(err error) {
	fmt.Fprintf(os.Stderr, "<4>a directory's place is not known, so that the source is compared whole: %v\n", err)
}
