package seccomp

import "golang.org/x/sys/unix"

// gate is what taking connections and answering them needs beyond the runtime.
// Clients are read and written by plain read and write; it can make no socket,
// and connect to none.
func gate() Set {
	return Set{"gate", []Call{
		{Name: "tgkill", If: when(eq(0, 1), eq(2, uint32(unix.SIGURG))), Who: "preemption of its own threads; it is process 1 of its namespace"},
		{Name: "accept4", If: when(eq(3, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)), Who: "a client of the control socket"},
		{Name: "getsockopt", If: when(eq(1, unix.SOL_SOCKET), eq(2, unix.SO_PEERCRED)), Who: "who the client is"},
		{Name: "getsockopt", If: when(eq(1, unix.SOL_SOCKET), eq(2, unix.SO_PEERGROUPS)), Who: "and of which groups"},
		{Name: "fcntl", If: when(eq(1, unix.F_GETFL)), Who: "os.NewFile: whether the client's socket blocks"},
		{Name: "epoll_ctl", Who: "a client comes into the poller and leaves it"},
		{Name: "close", Who: "a client that has gone"},
	}}
}
