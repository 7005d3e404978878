package seccomp

import "golang.org/x/sys/unix"

// threadFlags are those of a thread of the C library (pthread_create(3)).
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM |
	unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID

// programs is what shells, and the programs that scripts mostly are made of, need
// beyond the command that copies. They do without what is in no table, as on an
// older kernel; and they have no socket but pairs of streams.
func programs() Set {
	return Set{"programs", []Call{
		{Name: "vfork", Arch: AMD64, Who: "shells start programs"},
		{Name: "clone", If: when(eq64(0, threadFlags)), Who: "threads: sort, xz, interpreters"},
		{Name: "madvise", Who: "malloc; stacks of threads"},
		{Name: "setsid", Who: "a session of its own (setsid)"},
		{Name: "getsid", Who: "the same"},
		{Name: "getresuid", Who: "who it is"},
		{Name: "getresgid", Who: "who it is"},
		{Name: "setresuid", Who: "make spawns with its own ids; to others' it has no right"},
		{Name: "setresgid", Who: "the same"},
		{Name: "getpriority", Who: "nice"},
		{Name: "setpriority", Who: "nice; to more it has no right"},
		{Name: "rt_sigtimedwait", Who: "waits for a signal"},
		{Name: "rt_sigpending", Who: "traps of shells"},
		{Name: "flock", Who: "one at a time (flock)"},
		{Name: "fadvise64", Who: "cat and cp read ahead"},
		{Name: "copy_file_range", Who: "cp copies"},
		{Name: "sendfile", Who: "copies"},
		{Name: "mkdir", Arch: AMD64, Who: "makes a directory"},
		{Name: "fallocate", Who: "rsync --preallocate; cp, where a file has holes"},
		{Name: "ioctl", If: when(eq(1, unix.FICLONE)), Who: "cp --reflink"},
		{Name: "ioctl", If: when(eq(1, unix.TCGETS)), Who: "shells: whether a descriptor is a terminal"},
		{Name: "ioctl", If: when(eq(1, unix.TIOCGPGRP)), Who: "shells, rsync --progress: whether it is in the foreground"},
		{Name: "sync_file_range", Who: "dd, and others that write much"},
		{Name: "syncfs", Who: "sync -f"},
		{Name: "epoll_create1", Who: "the host of a module: the Go runtime's first timer, after a large call; other event loops"},
		{Name: "eventfd2", Who: "the same"},
	}}
}
