package ipc

import (
	"fmt"
	"io"
	"os"
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

// Send writes one packet, with the descriptor passed when it is not -1.
func Send(conn syscall.RawConn, pkt []byte, passed int) error {
	var err error
	if wait := conn.Write(func(fd uintptr) bool {
		err = SendFD(int(fd), pkt, passed, 0)
		return err != syscall.EAGAIN
	}); wait != nil {
		return wait
	}
	return os.NewSyscallError("sendmsg", err)
}

// Receive reads one packet into buf (MaxPacket bytes at least); see ReceiveFD.
func Receive(conn syscall.RawConn, buf []byte) (p Packet, err error) {
	if wait := conn.Read(func(fd uintptr) bool {
		p, err = ReceiveFD(int(fd), buf)
		return err != syscall.EAGAIN
	}); wait != nil {
		return Packet{FD: -1}, wait
	}
	return p, err
}

// SendFD is Send on a descriptor that the poller does not know, with flags of
// sendmsg(2). Errors are of type syscall.Errno.
func SendFD(fd int, pkt []byte, passed, flags int) error {
	return sys.SendPacket(fd, pkt, passed, flags)
}

// ReceiveFD is Receive on a descriptor that the poller does not know. At the
// end of the conversation the error is io.EOF. A packet that was cut, or that
// carries anything but credentials and one descriptor, is an error, and what
// came with it is closed.
func ReceiveFD(fd int, buf []byte) (Packet, error) {
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
