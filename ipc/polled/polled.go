// Package polled sends and receives packets on sockets that the runtime's poller
// knows, so that who waits holds no thread.
//
// Trust: linked into supervisor and runner, not into the helper, whose filter
// permits no poller. What is received is checked by ipc.Receive.
// Imports: the standard library, ipc and internal/sys only.
package polled

import (
	"os"
	"syscall"

	"lockstep/internal/sys"
	"lockstep/ipc"
)

// Send writes one packet, with the descriptor passed when it is not -1.
func Send(conn syscall.RawConn, pkt []byte, passed int) error {
	var err error
	if wait := conn.Write(func(fd uintptr) bool {
		err = sys.SendPacket(int(fd), pkt, passed, 0)
		return err != syscall.EAGAIN
	}); wait != nil {
		return wait
	}
	return os.NewSyscallError("sendmsg", err)
}

// Receive reads one packet into buf; see ipc.Receive.
func Receive(conn syscall.RawConn, buf []byte) (p ipc.Packet, err error) {
	if wait := conn.Read(func(fd uintptr) bool {
		p, err = ipc.Receive(int(fd), buf)
		return err != syscall.EAGAIN
	}); wait != nil {
		return ipc.Packet{FD: -1}, wait
	}
	return p, err
}
