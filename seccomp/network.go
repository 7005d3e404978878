package seccomp

import "golang.org/x/sys/unix"

// network is what rsync and ssh need beyond command to reach a peer by TCP, and
// what the program between them needs to give its capabilities up: measured by
// strace on rsync 3.5.0 and OpenSSH 9.2 with glibc 2.36.
//
// Landlock decides to which port they connect, and knows TCP alone. So a socket
// of another protocol is not made (SOCK_STREAM is also MPTCP's and SCTP's), and
// no call is allowed that connects by sending (MSG_FASTOPEN): sendto is not at
// all, sendmsg with the runner's flags only.
func network() Set {
	return Set{"network", []Call{
		{Name: "socket", If: when(eq(0, unix.AF_INET), stream(1), eq(2, unix.IPPROTO_TCP)), Who: "rsync, ssh: the connection"},
		{Name: "socket", If: when(eq(0, unix.AF_INET6), stream(1), eq(2, unix.IPPROTO_TCP)), Who: "rsync, ssh: the connection, by IPv6"},
		{Name: "connect", Who: "rsync, ssh: the connection; Landlock knows the port"},
		{Name: "getsockopt", Who: "rsync, ssh: whether the connection was made (SO_ERROR)"},
		{Name: "getpeername", Fallback: true, Who: "ssh: its messages name the peer"},
		{Name: "getsockname", Who: "ssh: whether the connection is a socket, and of which family"},
		{Name: "setsockopt", If: when(eq(1, unix.SOL_SOCKET), eq(2, unix.SO_KEEPALIVE)), Who: "ssh: a peer that is gone is noticed"},
		{Name: "setsockopt", If: when(eq(1, unix.IPPROTO_IP), eq(2, unix.IP_TOS)), Who: "ssh: IPQoS"},
		{Name: "setsockopt", If: when(eq(1, unix.IPPROTO_IPV6), eq(2, unix.IPV6_TCLASS)), Who: "ssh: IPQoS"},
		{Name: "setsockopt", If: when(eq(1, unix.IPPROTO_TCP), eq(2, unix.TCP_NODELAY)), Who: "ssh, and rsync by --sockopts: small packets go at once"},
		{Name: "getuid", Who: "ssh: its line of /etc/passwd"},
		{Name: "epoll_create1", If: when(eq(0, unix.EPOLL_CLOEXEC)), Who: "connect: its runtime's poller, made at start, because what rsync gives it does not block"},
		{Name: "eventfd2", If: when(eq(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)), Who: "connect: the same"},
		{Name: "prctl", If: when(eq(0, unix.PR_CAP_AMBIENT), eq(1, unix.PR_CAP_AMBIENT_CLEAR_ALL)), Who: "connect: gives up what ssh must not have"},
		{Name: "prctl", If: when(eq(0, unix.PR_CAP_AMBIENT), eq(1, unix.PR_CAP_AMBIENT_IS_SET)), Who: "connect: reads that back"},
		{Name: "capset", Who: "connect: gives up what ssh must not have; nothing can be gained by it"},
		{Name: "capget", Who: "connect: reads that back"},
	}}
}
