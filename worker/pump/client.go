// Package pump moves packets and events between descriptors and channels, so
// that the engine never waits for a descriptor.
//
// Trust: part of the worker. It decodes what the helper sends, and looks at no
// value in it.
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
	"lockstep/ipc/wire"
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

// Answer is one message from the other side.
type Answer struct {
	Seq     uint32 // the request's; 0 for a notice
	Final   bool   // the last message of its answer
	Message ipc.Message
}

// outstanding bounds the messages the engine ever has waiting, so that queueing
// never blocks it.
const outstanding = 1024

// ahead is how many answers are read before the engine has taken the first one.
const ahead = 4

// Client is the worker's end of the boundary.
type Client struct {
	seq     uint32
	out     chan send
	answers chan Answer
	errs    chan error
}

// NewClient starts the two goroutines that move packets.
func NewClient(conn *os.File) *Client {
	c := &Client{
		out:     make(chan send, outstanding),
		answers: make(chan Answer, ahead),
		errs:    make(chan error, 2),
	}
	go c.write(conn)
	go c.read(conn)
	return c
}

// Answers is where answers and notices come.
func (c *Client) Answers() <-chan Answer { return c.answers }

// Errs tells the end of reading or writing.
func (c *Client) Errs() <-chan error { return c.errs }

// Request queues a message and returns the number its answer will carry.
func (c *Client) Request(m ipc.Message, list []byte) uint32 {
	c.seq++
	seq := c.seq
	c.seq += uint32((len(list) + chunk - 1) / chunk)
	c.out <- send{seq: seq, msg: m, list: list}
	return seq
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
			c.errs <- fmt.Errorf("writing to the helper: %w", err)
			return
		}
	}
}

// errTooLarge is a packet larger than the protocol allows: read(2) would cut a
// SOCK_SEQPACKET message silently, so the buffer has one byte to spare.
var errTooLarge = errors.New("the helper sent a packet that is too large")

func (c *Client) read(r io.Reader) {
	buf := make([]byte, ipc.MaxPacket+1)
	for {
		n, err := r.Read(buf)
		if err == nil && n > ipc.MaxPacket {
			err = errTooLarge
		}
		var a Answer
		if err == nil {
			a, err = decode(buf[:n])
		}
		if err != nil {
			c.errs <- fmt.Errorf("reading from the helper: %w", err)
			return
		}
		c.answers <- a
	}
}

// decode reads one packet. What it returns shares no memory with it.
func decode(pkt []byte) (Answer, error) {
	h, b, err := ipc.ParseHeader(pkt)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Seq: h.Seq, Final: h.Final}
	switch h.Type {
	case ipc.TypeHelloAnswer:
		a.Message, err = message[ipc.HelloAnswer](b)
	case ipc.TypeWatchAnswer:
		a.Message, err = message[ipc.WatchAnswer](b)
	case ipc.TypeStatAnswer:
		a.Message, err = message[ipc.StatAnswer](b)
	case ipc.TypeStartAnswer:
		a.Message, err = message[ipc.StartAnswer](b)
	case ipc.TypeStopAnswer:
		a.Message, err = message[ipc.StopAnswer](b)
	case ipc.TypeDrainAnswer:
		a.Message, err = message[ipc.DrainAnswer](b)
	case ipc.TypeExited:
		a.Message, err = message[ipc.Exited](b)
	case ipc.TypeShutdown:
		a.Message, err = message[ipc.Shutdown](b)
	default:
		err = fmt.Errorf("a message of unknown type %d", h.Type)
	}
	return a, err
}

func message[T any, M interface {
	*T
	ipc.Message
}](b []byte) (ipc.Message, error) {
	v, err := wire.Decode[T, M](b)
	return M(&v), err
}
