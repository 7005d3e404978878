package seccomp

import "golang.org/x/sys/unix"

// resolver is what turning handles into paths needs beyond the runtime. A handle
// is opened in one way only, by which neither a file nor what a directory holds
// can be read; there is no other open.
func resolver() Set {
	const (
		handle = unix.O_PATH | unix.O_CLOEXEC // with O_DIRECTORY, whose value is the architecture's
		amd64  = handle | 0x10000
		arm64  = handle | 0x4000
	)
	return Set{"resolver", []Call{
		{Name: "tgkill", If: when(eq(2, uint32(unix.SIGURG))), Who: "preemption of its own threads; its process id is not known beforehand, and SIGURG does no harm"},
		{Name: "open_by_handle_at", Arch: AMD64, If: when(eq(2, amd64)), Who: "the directory of an event"},
		{Name: "open_by_handle_at", Arch: ARM64, If: when(eq(2, arm64)), Who: "the directory of an event"},
		{Name: "fchdir", Who: "its path is asked for there"},
		{Name: "getcwd", Who: "its path"},
		{Name: "close", Who: "what open_by_handle_at made"},
		{Name: "ioctl", If: when(eq(1, unix.TIOCINQ)), Who: "how many events wait in the queue (FIONREAD)"},
	}}
}
