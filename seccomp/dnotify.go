package seccomp

import "golang.org/x/sys/unix"

// What a directory's descriptor is told by fcntl(2): which signal is sent, and
// for what (package resolver/dnotify, which a test compares).
const (
	DnotifySignal = 40
	DnotifyMask   = 0x8000003e // DN_MODIFY to DN_ATTRIB, DN_MULTISHOT
)

// dnotify is what holding a descriptor of each directory needs beyond the
// runtime. It opens directories below its roots and lists them; it has no handle
// to open, and what it may set on a descriptor makes signals to itself alone.
func dnotify() Set {
	return Set{"dnotify", []Call{
		{Name: "tgkill", If: when(eq(2, uint32(unix.SIGURG))), Who: "preemption of its own threads; its process id is not known beforehand, and SIGURG does no harm"},
		{Name: "exit", Who: "the thread that the signals are sent to, at the end"},
		{Name: "openat2", Who: "opens a directory below its root"},
		{Name: "close", Who: "what openat2 made"},
		{Name: "fcntl", If: when(eq(1, unix.F_SETOWN_EX)), Who: "its signals go to the thread that reads them (which one lies in memory; the kernel lets it name only what it could kill)"},
		{Name: "fcntl", If: when(eq(1, unix.F_SETSIG), eq(2, DnotifySignal)), Who: "the signal"},
		{Name: "fcntl", If: when(eq(1, unix.F_NOTIFY), eq(2, DnotifyMask)), Who: "what is signalled"},
		{Name: "statx", If: when(eq(2, unix.AT_EMPTY_PATH)), Who: "which directory a descriptor is, and its times"},
		{Name: "lseek", If: when(eq(1, 0), eq(2, unix.SEEK_SET)), Who: "a directory is listed again"},
		{Name: "getdents64", Who: "lists a directory"},
		{Name: "ppoll", Who: "waits for signals, which only the thread that they are sent to can see, and for the worker"},
	}}
}
