package ipc

import (
	"fmt"
	"io"
	"syscall"

	"lockstep/internal/sys"
)

// Packet is one received packet.
type Packet struct {
	Header  Header
	Payload []byte // shares the receiver's buffer
	FD      int    // the descriptor that came along, or -1; the receiver closes it
	// Cred is what the kernel says of the sender (unix(7), SCM_CREDENTIALS); nil
	// unless the socket has SO_PASSCRED.
	Cred *syscall.Ucred
}

// Receive reads one packet into buf (MaxPacket bytes at least). At the end of the
// conversation the error is io.EOF. A packet that was cut, or that carries
// anything but credentials and one descriptor, is an error, and what came with
// it is closed.
func Receive(fd int, buf []byte) (Packet, error) {
	n, fds, cred, err := sys.ReceivePacket(fd, buf)
	p := Packet{FD: -1, Cred: cred}
	switch {
	case err == syscall.ECONNRESET:
		err = io.EOF // the peer left packets unread
	case err != nil:
	case len(fds) > 1:
		err = fmt.Errorf("%d descriptors in one packet", len(fds))
	case n == 0:
		err = io.EOF
	default:
		p.Header, p.Payload, err = ParseHeader(buf[:n])
	}
	for _, stray := range fds {
		if err == nil {
			p.FD = stray // the only one
		} else if e := syscall.Close(stray); e != nil {
			err = fmt.Errorf("%w; close: %w", err, e)
		}
	}
	return p, err
}
