package ipc

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Cred is what the kernel says of a packet's sender (unix(7), SCM_CREDENTIALS).
type Cred struct {
	PID int32
	UID uint32
}

// Packet is one received packet.
type Packet struct {
	Header  Header
	Payload []byte // shares the receiver's buffer
	FD      int    // the descriptor that came along, or -1; the receiver closes it
	Cred    *Cred  // nil unless the socket has SO_PASSCRED
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

// SendFD is Send on a descriptor that the poller does not know. Errors are of
// type syscall.Errno.
func SendFD(fd int, pkt []byte, passed, flags int) error {
	var oob []byte
	if passed >= 0 {
		oob = syscall.UnixRights(passed)
	}
	for {
		// A SOCK_SEQPACKET socket takes all of a packet or nothing.
		_, err := syscall.SendmsgN(fd, pkt, oob, nil, flags|syscall.MSG_NOSIGNAL)
		if err != syscall.EINTR {
			return err
		}
	}
}

// ReceiveFD is Receive on a descriptor that the poller does not know. At the
// end of the conversation the error is io.EOF. A packet that was cut, or that
// carries anything but credentials and one descriptor, is an error, and what
// came with it is closed.
func ReceiveFD(fd int, buf []byte) (Packet, error) {
	var n, oobn, flags int
	var err error
	var oob [64]byte // more than one descriptor and the credentials need
	for {
		n, oobn, flags, _, err = syscall.Recvmsg(fd, buf, oob[:], syscall.MSG_CMSG_CLOEXEC)
		if err != syscall.EINTR {
			break
		}
	}
	p := Packet{FD: -1}
	if err == syscall.ECONNRESET {
		return p, io.EOF // the peer left packets unread
	}
	if err != nil {
		return p, err
	}
	strays, err := p.control(oob[:oobn])
	switch {
	case err != nil:
	case flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0:
		err = fmt.Errorf("packet was cut (flags %#x)", flags)
	case n == 0:
		err = io.EOF
	default:
		p.Header, p.Payload, err = ParseHeader(buf[:n])
	}
	if err == nil {
		return p, nil
	}
	for _, stray := range strays {
		if e := syscall.Close(stray); e != nil {
			err = fmt.Errorf("%w; close: %w", err, e)
		}
	}
	return Packet{FD: -1}, err
}

// control takes in what came beside the data. It returns every descriptor.
func (p *Packet) control(oob []byte) (fds []int, err error) {
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range msgs {
		if cred, e := syscall.ParseUnixCredentials(&msgs[i]); e == nil {
			p.Cred = &Cred{PID: cred.Pid, UID: cred.Uid}
			continue
		}
		more, e := syscall.ParseUnixRights(&msgs[i])
		if fds = append(fds, more...); e != nil || len(fds) != 1 {
			err = fmt.Errorf("control data where none belongs")
			continue
		}
		p.FD = fds[0]
	}
	return fds, err
}
