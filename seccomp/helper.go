package seccomp

import "golang.org/x/sys/unix"

// helper is what the verbs on the watched trees need beyond the runtime. There
// is no open that could leave a root: openat2 alone, always with the RESOLVE
// flags of internal/sys (they lie in memory, where a filter cannot look; the
// jail bounds a helper that lies about them).
func helper() Set {
	const sealable = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	return Set{"helper", []Call{
		{Name: "tgkill", If: when(eq(2, uint32(unix.SIGURG))), Who: "preemption of its own threads; its process id is not known beforehand, and SIGURG does no harm"},
		{Name: "exit", Who: "the thread of a root, which may wake at the end before the process has ended"},
		{Name: "recvmsg", If: when(eq(2, unix.MSG_CMSG_CLOEXEC)), Who: "requests with the kernel's credentials; sockets from the supervisor (no MSG_OOB: a history of kernel bugs)"},
		{Name: "sendmsg", If: when(eq(2, unix.MSG_NOSIGNAL)), Who: "answers; a job's sealed list for the runner"},
		{Name: "sendmsg", If: when(eq(2, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)), Who: "a start or stop for a runner, which must not make the helper wait"},
		{Name: "openat2", Who: "resolves a Rel below its root"},
		{Name: "close", Who: "what openat2 and memfd_create made"},
		{Name: "fchdir", Who: "a watch is placed on \".\" of the pinned directory"},
		{Name: "inotify_add_watch", Who: "places a watch"},
		{Name: "getdents64", Who: "lists a directory"},
		{Name: "statx", If: when(eq(2, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)), Who: "what an entry of a listed directory is"},
		{Name: "statx", If: when(eq(2, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_EMPTY_PATH)), Who: "what a pinned descriptor is"},
		{Name: "memfd_create", If: when(eq(1, sealable|unix.MFD_NOEXEC_SEAL)), Who: "a job's list"},
		{Name: "memfd_create", If: when(eq(1, sealable)), Fallback: true, Who: "the same before Linux 6.3"},
		{Name: "fcntl", If: when(eq(1, unix.F_ADD_SEALS)), Who: "seals a job's list"},
	}}
}
