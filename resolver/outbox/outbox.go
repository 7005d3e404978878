// Package outbox sends events to the worker in packets, and holds a bounded
// number of them for one that is slow.
//
// Trust: linked into the resolver. What arrives on its socket is hostile.
// Imports: the standard library, x/sys, internal/sys and package monitor.
//
// Invariants: what is added is sent, in order, or an overflow is sent in its
// place, after the last that was left out had been read from the kernel: so what
// the worker looks at when it reads that overflow shows the effect of all of
// them. A mark is sent behind everything that was added before it. What is told of
// the root itself is never left out: no overflow stands for it.
package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
)

const (
	packet = monitor.PacketSize // most bytes of one packet

	// Limit is how many bytes are held for a worker that does not read.
	Limit = 8 << 20
)

// Box is used by one goroutine.
type Box struct {
	fd   int
	root uint32

	full   [][]byte // packets that could not be sent yet
	filled []byte   // the packet that follows them
	spare  [][]byte
	lost   bool         // what is added is left out: filled holds an overflow
	self   []monitor.Op // of the root itself, each once: not known to be sent
	mark   bool         // filled or full holds a mark, of this number
	number uint32
}

// New makes a box for a socket that does not block; root is the number that an
// overflow tells.
func New(fd int, root uint32) *Box {
	return &Box{fd: fd, root: root, filled: make([]byte, 0, packet)}
}

// Add adds one event.
func (b *Box) Add(e monitor.PathEvent) {
	if !b.lost {
		b.add(e)
	}
}

func (b *Box) add(e monitor.PathEvent) {
	if len(b.filled)+monitor.MaxPathRecord > packet {
		if len(b.full)+1 >= Limit/packet {
			b.Lose()
			return
		}
		b.full = append(b.full, b.filled)
		b.filled = make([]byte, 0, packet)
		if n := len(b.spare); n > 0 {
			b.filled, b.spare = b.spare[n-1], b.spare[:n-1]
		}
	}
	b.filled = monitor.AppendPath(b.filled, e)
}

// Lose gives up all that is held, and what is added until the overflow that
// stands for it has been sent.
func (b *Box) Lose() {
	if b.lost {
		return
	}
	b.lost = true
	b.full, b.spare, b.filled = nil, nil, b.filled[:0]
	b.filled = monitor.AppendPath(b.filled, monitor.PathEvent{Root: b.root, Mask: monitor.Overflow})
	for _, word := range b.self {
		b.add(monitor.PathEvent{Root: b.root, Mask: word | monitor.IsDir})
	}
	if b.mark {
		b.filled = monitor.AppendPath(b.filled, monitor.PathEvent{Cookie: b.number})
	}
}

// Self adds that something has happened to the root itself.
func (b *Box) Self(word monitor.Op) {
	again := slices.Contains(b.self, word)
	if !again {
		b.self = append(b.self, word)
	}
	if !b.lost || !again { // a packet has room for a few
		b.add(monitor.PathEvent{Root: b.root, Mask: word | monitor.IsDir})
	}
}

// Lost says that what is added is left out.
func (b *Box) Lost() bool { return b.lost }

// Empty says that everything has been sent.
func (b *Box) Empty() bool { return len(b.full) == 0 && len(b.filled) == 0 }

// Mark adds a mark: at most one between two times at which the box is Empty.
func (b *Box) Mark(number uint32) {
	b.mark, b.number = true, number
	b.add(monitor.PathEvent{Cookie: number})
}

// Flush sends what the socket takes. EPIPE says that the worker has gone.
func (b *Box) Flush() error {
	for !b.Empty() {
		next := b.filled
		if len(b.full) > 0 {
			next = b.full[0]
		}
		// Such a socket takes all of a packet or nothing.
		_, err := unix.Write(b.fd, next)
		switch {
		case err == nil:
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		default:
			return fmt.Errorf("sending events: %w", err)
		}
		if len(b.full) > 0 {
			b.full[0] = nil
			b.full = b.full[1:]
			if len(b.spare) == 0 {
				b.spare = append(b.spare, next[:0])
			}
			continue
		}
		b.filled = b.filled[:0]
		b.lost, b.mark, b.self = false, false, b.self[:0]
	}
	return nil
}

// Asked reads the number of a mark that the worker asks for; false says that it
// asks for none now. io.EOF: it has gone. Any other error is a violation.
func Asked(fd int) (number uint32, asked bool, err error) {
	var buf [5]byte // one more than a mark has, to see that there is no more
	for {
		n, err := unix.Read(fd, buf[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, false, nil
		case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
			return 0, false, io.EOF
		case err != nil:
			return 0, false, fmt.Errorf("reading from the worker: %w", err)
		case n != 4:
			return 0, false, errors.New("violation: the worker sent what is no mark")
		}
		return binary.LittleEndian.Uint32(buf[:]), true, nil
	}
}
