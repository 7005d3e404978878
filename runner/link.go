package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/polled"
	"lockstep/ipc/wire"
)

// Socket is the Link over the helper's socket (SOCK_SEQPACKET).
type Socket struct {
	file   *os.File // kept, so that it is not closed
	conn   syscall.RawConn
	buf    []byte
	sendMu sync.Mutex
}

// NewSocket takes the socket, which must be served by the runtime's poller.
func NewSocket(file *os.File) (*Socket, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("the helper's socket: %w", err)
	}
	return &Socket{file: file, conn: conn, buf: make([]byte, ipc.MaxPacket)}, nil
}

// Send tells the helper a job's end.
func (s *Socket) Send(exited ipc.RunExited) error {
	packet, err := ipc.Append(nil, 0, &ipc.RunEnd{Exited: exited})
	if err != nil {
		return err
	}
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	return polled.Send(s.conn, packet, -1)
}

// Receive waits for a packet. There is one descriptor with RunStart, and none
// with RunStop.
func (s *Socket) Receive() (any, *os.File, error) {
	p, err := polled.Receive(s.conn, s.buf)
	if errors.Is(err, unix.ECONNRESET) {
		return nil, nil, io.EOF // the helper died with packets unread
	}
	if err != nil {
		return nil, nil, err
	}
	msg, err := decode(p)
	if err != nil && p.FD >= 0 {
		err = errors.Join(err, unix.Close(p.FD))
	}
	if err != nil || p.FD < 0 {
		return msg, nil, err
	}
	return msg, os.NewFile(uintptr(p.FD), "list"), nil
}

func decode(p ipc.Packet) (any, error) {
	if wanted := p.Header.Type == ipc.TypeRunStart; wanted != (p.FD >= 0) {
		return nil, fmt.Errorf("a message of type %d with descriptor %d", p.Header.Type, p.FD)
	}
	switch p.Header.Type {
	case ipc.TypeRunStart:
		m, err := wire.Decode[ipc.RunStart](p.Payload)
		return &m, err
	case ipc.TypeRunStop:
		m, err := wire.Decode[ipc.RunStop](p.Payload)
		return &m, err
	}
	return nil, fmt.Errorf("a message of unknown type %d", p.Header.Type)
}
