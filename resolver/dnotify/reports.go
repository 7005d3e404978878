package dnotify

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
)

// ErrGone says that the worker's end of the socket is closed.
var ErrGone = errors.New("dnotify: the worker has gone")

// item is one record to be sent: a changed directory, a root that is in doubt,
// or, with neither, the answer to a mark.
type item struct {
	node  *node
	place *place
	mark  uint32
}

// reports are what the worker has not been told yet. A node and an overflow are in
// it once at most, marks are as few as the monitor has taken: it is bounded.
type reports struct {
	socket int
	items  []item
	head   int
	packet []byte // one that the socket had no room for
	path   []byte
	marks  int // how many are among items
}

func (o *reports) push(i item) {
	if o.head > 0 && o.head >= len(o.items)/2 {
		n := copy(o.items, o.items[o.head:])
		clear(o.items[n:]) // nodes that are gone are not to be kept
		o.items, o.head = o.items[:n], 0
	}
	o.items = append(o.items, i)
}

func (o *reports) report(n *node) {
	n.changed = false
	if !n.queued {
		n.queued = true
		o.push(item{node: n})
	}
}

func (o *reports) overflow(p *place) {
	if !p.overflow {
		p.overflow = true
		o.push(item{place: p})
	}
}

func (o *reports) answer(mark uint32) {
	o.marks++
	o.push(item{mark: mark})
}

// flush sends until all is sent or the socket has no room: then full.
func (o *reports) flush() (full bool, err error) {
	for {
		if len(o.packet) == 0 {
			if o.fill(); len(o.packet) == 0 {
				return false, nil
			}
		}
		_, err := unix.Write(o.socket, o.packet)
		switch {
		case err == nil:
			o.packet = o.packet[:0]
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return true, nil
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
			return false, ErrGone
		default:
			return false, fmt.Errorf("dnotify: writing to the worker: %w", err)
		}
	}
}

// fill makes the next packet.
func (o *reports) fill() {
	for o.head < len(o.items) && len(o.packet) <= monitor.PacketSize-monitor.MaxPathRecord {
		i := o.items[o.head]
		o.items[o.head] = item{}
		o.head++
		switch {
		case i.node != nil:
			o.changed(i.node)
		case i.place != nil:
			i.place.overflow = false
			o.packet = monitor.AppendPath(o.packet, monitor.PathEvent{Root: i.place.number, Mask: monitor.Overflow})
		default:
			o.marks--
			o.packet = monitor.AppendPath(o.packet, monitor.PathEvent{Cookie: i.mark})
		}
	}
}

// maxPath is the longest path below a root that the worker could name.
const maxPath = 4095

func (o *reports) changed(n *node) {
	n.queued = false
	if n.closed {
		return // its parent changed, too
	}
	path, placed := n.appendPath(o.path[:0])
	o.path = path
	if !placed {
		n.changed = true // it is reported when it is found, or nobody can reach it
		return
	}
	if len(path) <= maxPath {
		o.packet = monitor.AppendPath(o.packet, monitor.PathEvent{Root: n.of.number, Mask: monitor.Changed, Dir: path})
	}
}
