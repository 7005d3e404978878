package seccomp

import "golang.org/x/sys/unix"

// Flags of the ways in which a process is made. CHILD_SETTID and CHILD_CLEARTID
// only write a number into the child's own memory.
const (
	goFork   = unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD)                    // syscall/exec_linux.go, without a pidfd
	libcFork = unix.CLONE_CHILD_SETTID | unix.CLONE_CHILD_CLEARTID | uint64(unix.SIGCHLD) // glibc's fork
)

// runner is what starting, ending and reaping one command needs beyond the
// runtime, with what the child does between clone and execve.
func runner() Set {
	return Set{"runner", []Call{
		{Name: "tgkill", If: when(eq(2, uint32(unix.SIGURG))), Who: "preemption of its own threads"},
		{Name: "exit", Who: "a thread of the survey or of a comparison ends"},
		{Name: "recvmsg", If: when(eq(2, unix.MSG_CMSG_CLOEXEC)), Who: "a request, with the descriptor of its list"},
		{Name: "sendmsg", If: when(eq(2, unix.MSG_NOSIGNAL)), Who: "how the job ended"},
		{Name: "newfstatat", Who: "the program is still the one of the start; the survey: what a name is, where the directory does not say"},
		{Name: "fstat", Who: "what a received list is; the survey: on which file system a directory is"},
		{Name: "fcntl", Who: "whether the list is sealed; pipes that do not block; the survey's second walker gets a directory"},
		{Name: "lseek", Who: "rewinds the list"},
		{Name: "openat", Who: "the survey opens source and target"},
		{Name: "openat2", Who: "the survey opens a directory below one of them, by its one name and through no link"},
		{Name: "getdents64", Who: "the survey lists directories"},
		{Name: "fstatfs", Who: "the survey: whether both trees are on a file system whose attributes can be compared"},
		{Name: "statx", Who: "the survey compares entries of both trees"},
		{Name: "readlinkat", Who: "the survey compares targets of links"},
		{Name: "flistxattr", Who: "the survey compares attributes, of directories"},
		{Name: "fgetxattr", Who: "the same"},
		{Name: "fchdir", Who: "attributes of other entries are asked for by a name in the working directory of the survey's thread"},
		{Name: "llistxattr", Who: "the survey compares attributes"},
		{Name: "lgetxattr", Who: "the same"},
		{Name: "pipe2", Who: "the command's output; a part of a list; the pipe that tells of a failed execve"},
		{Name: "epoll_ctl", Who: "the pipes come into the poller and leave it"},
		{Name: "close_range", If: when(eq(2, unix.CLOSE_RANGE_CLOEXEC)), Who: "nothing but 0 to 2 goes to the command"},
		{Name: "clone", If: when(eq64(0, goFork)), Who: "syscall.ForkExec"},
		{Name: "rt_sigaction", Who: "the child: default handlers"},
		{Name: "setpgid", Who: "the child: a process group of its own"},
		{Name: "chdir", Who: "the child: /; so the survey's threads at their end"},
		{Name: "dup3", Who: "the child: descriptors 0 to 2"},
		{Name: "prlimit64", If: when(eq(0, 0)), Fallback: true, Who: "the child: the limit of open files, where Go has raised it"},
		{Name: "execve", Who: "the child: the command"},
		{Name: "close", Who: "the list, the pipes"},
		{Name: "kill", Who: "ends the command's group"},
		{Name: "wait4", Who: "reaps"},
	}}
}
