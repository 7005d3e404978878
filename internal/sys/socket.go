package sys

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// SendPacket is sendmsg(2) of one packet on a SOCK_SEQPACKET socket, with a
// descriptor when passed is not -1. Such a socket takes all of a packet or
// nothing. A peer that has gone is EPIPE and no signal.
func SendPacket(fd int, pkt []byte, passed, flags int) error {
	var oob []byte
	if passed >= 0 {
		oob = unix.UnixRights(passed)
	}
	for {
		err := unix.Sendmsg(fd, pkt, oob, nil, flags|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// ReceivePacket is recvmsg(2) of one packet. Beside it may come descriptors,
// which are closed on execve, and the sender's credentials (nil unless the
// socket has SO_PASSCRED). Anything else, and a packet or control data that was
// cut, is an error. The descriptors are the caller's to close, on an error too.
func ReceivePacket(fd int, buf []byte) (n int, fds []int, cred *syscall.Ucred, err error) {
	var oobn, flags int
	var oob [64]byte // the credentials and one descriptor need 56
	for {
		n, oobn, flags, _, err = unix.Recvmsg(fd, buf, oob[:], unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, nil, nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	for i := range msgs {
		if c, e := unix.ParseUnixCredentials(&msgs[i]); e == nil {
			cred = &syscall.Ucred{Pid: c.Pid, Uid: c.Uid, Gid: c.Gid}
			continue
		}
		more, e := unix.ParseUnixRights(&msgs[i])
		if fds = append(fds, more...); e != nil {
			err = errors.Join(err, fmt.Errorf("control data of unknown type %d", msgs[i].Header.Type))
		}
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.Join(err, fmt.Errorf("packet was cut (flags %#x)", flags))
	}
	return n, fds, cred, err
}
