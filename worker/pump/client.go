// Package pump moves packets and events between descriptors and channels, so
// that the engine never waits for a descriptor.
//
// Trust: part of the worker. It looks at sizes alone.
//
// Invariants: packets leave in the order in which they were queued; a buffer
// belongs to one side at a time; the first error of a descriptor is reported
// once, and nothing follows it.
package pump

import (
	"errors"
	"fmt"
	"io"
	"os"

	"lockstep/ipc"
)

// send is one thing for the writer: a message, and after a Start its list.
// The sequence numbers were given by the engine: seq for the message, the
// following ones for the list's Data packets.
type send struct {
	seq  uint32
	msg  ipc.Message
	list []byte
}

// chunk is how much of a list goes into one Data packet: what a packet holds
// after its header and the length of the bytes.
const chunk = ipc.MaxPacket - 64

// ahead is how many packets are read before the engine has taken the first one.
// Each has a buffer of its own, of MaxPacket bytes, which is kept.
const ahead = 4

// Client is the worker's end of the boundary.
type Client struct {
	seq     uint32
	out     chan send
	Answers chan []byte // whole packets; give each back with Release
	free    chan []byte
	Errs    chan error // the end of reading or writing
}

// NewClient starts the two goroutines that move packets. outstanding bounds
// the messages the engine ever has waiting, so that queueing never blocks it.
func NewClient(conn *os.File, outstanding int) *Client {
	c := &Client{
		out:     make(chan send, outstanding),
		Answers: make(chan []byte, ahead),
		free:    make(chan []byte, ahead),
		Errs:    make(chan error, 2),
	}
	go c.write(conn)
	go c.read(conn)
	return c
}

// Request queues a message and returns the number its answer will carry.
func (c *Client) Request(m ipc.Message, list []byte) uint32 {
	c.seq++
	seq := c.seq
	c.seq += uint32((len(list) + chunk - 1) / chunk)
	c.out <- send{seq: seq, msg: m, list: list}
	return seq
}

// Release gives a packet's buffer back.
func (c *Client) Release(p []byte) {
	select {
	case c.free <- p[:cap(p)]:
	default:
	}
}

func (c *Client) write(w io.Writer) {
	buf := make([]byte, 0, ipc.MaxPacket)
	put := func(seq uint32, m ipc.Message) error {
		pkt, err := ipc.Append(buf[:0], seq, m)
		if err != nil {
			return err
		}
		_, err = w.Write(pkt)
		return err
	}
	for s := range c.out {
		err := put(s.seq, s.msg)
		for seq := s.seq; err == nil && len(s.list) > 0; {
			n := min(len(s.list), chunk)
			seq++
			err = put(seq, &ipc.Data{Bytes: s.list[:n]})
			s.list = s.list[n:]
		}
		if err != nil {
			c.Errs <- fmt.Errorf("writing to the helper: %w", err)
			return
		}
	}
}

// errTooLarge is a packet larger than the protocol allows: read(2) would cut a
// SOCK_SEQPACKET message silently, so the buffer has one byte to spare.
var errTooLarge = errors.New("the helper sent a packet that is too large")

func (c *Client) read(r io.Reader) {
	for {
		var buf []byte
		select {
		case buf = <-c.free:
		default:
			buf = make([]byte, ipc.MaxPacket+1)
		}
		n, err := r.Read(buf)
		if err == nil && n > ipc.MaxPacket {
			err = errTooLarge
		}
		if err != nil {
			c.Errs <- fmt.Errorf("reading from the helper: %w", err)
			return
		}
		c.Answers <- buf[:n]
	}
}
