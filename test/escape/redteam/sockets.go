package redteam

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// inet is the address of a port of this host.
func inet(e *Env) any {
	b := e.bytes(uint16(unix.AF_INET))
	b = binary.BigEndian.AppendUint16(b, uint16(e.Port))
	return append(b, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
}

// local is the address of a socket of the host's, by its path or, when that begins
// with a NUL, by its abstract name.
func local(name func(*Env) string) late {
	return func(e *Env) any { return append(e.bytes(uint16(unix.AF_UNIX)), name(e)...) }
}

// connected makes a socket and connects it.
func connected(family, protocol int, to late) func(*Env) syscall.Errno {
	return then(opened(unix.SYS_SOCKET, family, unix.SOCK_STREAM, protocol), func(e *Env) syscall.Errno {
		address := to(e).([]byte)
		_, errno := e.call(unix.SYS_CONNECT, e.FD, address, len(address))
		return errno
	})
}

// sockets are ways to reach others.
func sockets() []Act {
	path := local(func(e *Env) string { return e.Socket + "\x00" })
	abstract := local(func(e *Env) string { return "\x00" + e.Abstract })
	return []Act{
		{Name: "connect by TCP", Check: 10, Call: "socket", Do: connected(unix.AF_INET, unix.IPPROTO_TCP, inet)},
		{Name: "send by UDP", Check: 10, Call: "socket", Do: then(opened(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0),
			call(unix.SYS_SENDTO, fd(), "x", 1, 0, late(inet), 16))},
		{Name: "listen", Check: 10, Call: "socket", Do: then(opened(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP),
			call(unix.SYS_BIND, fd(), data(uint16(unix.AF_INET), uint16(0), uint64(0), uint32(0)), 16), call(unix.SYS_LISTEN, fd(), 1))},
		{Name: "make a raw socket", Check: 10, Call: "socket", Do: call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{Name: "see all packets", Check: 10, Call: "socket", Do: call(unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0x300)},
		{Name: "connect to a socket's path", Check: 10, Call: "socket", Do: connected(unix.AF_UNIX, 0, path)},
		{Name: "connect to an abstract socket", Check: 10, Call: "socket", Do: connected(unix.AF_UNIX, 0, abstract)},
		{Name: "change the network", Check: 10, Call: "socket", Do: netlink(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, linkUp)},
		{Name: "forge a record of the audit", Check: 10, Call: "socket", Do: netlink(unix.NETLINK_AUDIT, 1107, func(*Env) []byte { return []byte("op=lockstep-escape-suite") })},
		{Name: "connect what is held", Check: 10, Call: "connect", Prepare: aPeer, Do: reconnected},
		{Name: "pass a descriptor on", Check: 10, Call: "sendmsg", Prepare: aPeer, Do: passed},
		{Name: "make a pair of sockets", Check: 10, Call: "socketpair", Do: call(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_DGRAM, 0, zeros(8))},
		{Name: "have signals sent for a socket", Check: 19, Call: "fcntl", Prepare: aPeer, Do: call(unix.SYS_FCNTL, peer(), unix.F_SETOWN, victim())},
		{Name: "set an option of a socket", Check: 10, Call: "setsockopt", Prepare: aPeer, Do: call(unix.SYS_SETSOCKOPT, peer(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, data(uint32(1<<24)), 4)},
	}
}

// aPeer is a socket that the program holds; the twin, which holds none, makes one.
func aPeer(e *Env) error {
	if e.Peer != 0 {
		return nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	e.Peer, e.FD2 = pair[0], pair[1]
	return err
}

// reconnected leads a socket to another peer: a pair's can be, when it is of
// datagrams.
func reconnected(e *Env) syscall.Errno {
	address := e.bytes(uint16(unix.AF_UNIX))
	address = append(address, "\x00"+e.Abstract+"-datagrams"...)
	_, errno := e.call(unix.SYS_CONNECT, e.Peer, address, len(address))
	return errno
}

// passed sends descriptor 0.
func passed(e *Env) syscall.Errno {
	iov := e.bytes("x", uint64(1))
	control := e.bytes(uint64(unix.CmsgLen(4)), uint32(unix.SOL_SOCKET), uint32(unix.SCM_RIGHTS), uint64(0))
	message := e.bytes(nil, uint64(0), iov, uint64(1), control, uint64(len(control)), uint64(0))
	_, errno := e.call(unix.SYS_SENDMSG, e.Peer, message, unix.MSG_DONTWAIT)
	return errno
}

// netlink sends the kernel one message and waits for its answer.
func netlink(protocol int, kind uint16, payload func(*Env) []byte) func(*Env) syscall.Errno {
	return then(opened(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, protocol), func(e *Env) syscall.Errno {
		body := payload(e)
		m := e.bytes(uint32(16+len(body)), kind, uint16(unix.NLM_F_REQUEST|unix.NLM_F_ACK), uint32(1), uint32(0))
		m = append(m, body...)
		if _, errno := e.call(unix.SYS_SENDTO, e.FD, m, len(m), 0, data(uint16(unix.AF_NETLINK), uint16(0), uint64(0)), 12); errno != 0 {
			return errno
		}
		answer := make([]byte, 4096)
		if _, errno := e.call(unix.SYS_RECVFROM, e.FD, answer, len(answer), 0, 0, 0); errno != 0 {
			return errno
		}
		return syscall.Errno(-int32(binary.NativeEndian.Uint32(answer[16:])))
	})
}

// linkUp has the loopback interface up, which it is where somebody uses it.
func linkUp(e *Env) []byte {
	return e.bytes(uint16(0), uint16(0), uint32(1), uint32(unix.IFF_UP), uint32(unix.IFF_UP))
}
