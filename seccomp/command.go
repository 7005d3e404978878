package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// command is what rsync needs with its C library for a local copy: measured by
// strace on rsync 3.5.0 with glibc 2.36 over whole passes, lists, prunes,
// hard links, FIFOs, sparse files, ACLs, attributes, errors and options that a
// configuration may add. Fallbacks are what other versions (rsync 3.1.3 on,
// glibc 2.28 on, musl) and amd64's older calls do in place of these.
func command() Set {
	return Set{"command", slices.Concat(commandProcess(), commandFiles(), commandAttrs(),
		processFallbacks(), fileFallbacks())}
}

// commandProcess: memory, processes, signals, waiting.
func commandProcess() []Call {
	return []Call{
		{Name: "mmap", If: when(none(2, unix.PROT_EXEC)), Who: "memory, and data of libraries"},
		{Name: "mmap", If: when(none(2, unix.PROT_WRITE)), Who: "code of libraries: executable, so never writable"},
		{Name: "mprotect", If: when(none(2, unix.PROT_EXEC)), Who: "the loader makes relocated data read-only"},
		{Name: "brk", Who: "malloc"},
		{Name: "futex", Who: "locks of the C library"},
		{Name: "arch_prctl", Arch: AMD64, If: when(eq(0, 0x1002)), Who: "the loader sets the thread pointer (ARCH_SET_FS)"},
		{Name: "set_tid_address", Who: "start of the C library"},
		{Name: "set_robust_list", Who: "start of the C library, and each fork"},
		{Name: "rseq", Who: "start of the C library from 2.35 on"},
		{Name: "getrandom", Who: "malloc's secret; names of temporary files"},
		{Name: "prlimit64", If: when(eq(0, 0)), Who: "stack size at start; limit of open files; of others (root may change those of root) none"},
		{Name: "clone", If: when(eq64(0, libcFork)), Who: "rsync forks its receiver and generator"},
		{Name: "wait4", Who: "rsync waits for them"},
		{Name: "kill", Who: "rsync's processes tell each other of errors"},
		{Name: "getpid", Who: "names of temporary files, and kill"},
		{Name: "geteuid", Who: "whether owners can be set"},
		{Name: "getegid", Who: "whether groups can be set"},
		{Name: "umask", Who: "modes of what is made"},
		{Name: "rt_sigaction", Who: "handlers for SIGCHLD, SIGTERM, SIGUSR1 and others"},
		{Name: "poll", Arch: AMD64, Who: "waits for its sockets"},
		{Name: "ppoll", Arch: ARM64, Who: "waits for its sockets"},
		{Name: "pselect6", Who: "sleeps (--bwlimit, and the wait at its end)"},
		{Name: "clock_nanosleep", Who: "sleeps"},
		{Name: "socketpair", If: when(eq(0, unix.AF_UNIX), stream(1)), Who: "connects sender and receiver; datagram sockets could be connected again, elsewhere"},
		{Name: "dup2", Arch: AMD64, Who: "puts a socket at descriptor 0 or 1"},
		{Name: "dup3", Arch: ARM64, Who: "puts a socket at descriptor 0 or 1"},
		{Name: "dup", Fallback: true, Who: "directory streams: other versions, and programs of handlers"},
		{Name: "ioctl", If: when(eq(1, unix.TCGETS)), Fallback: true, Who: "whether a descriptor is a terminal: builds that ask although none is"},
	}
}

// commandFiles: reading and writing trees.
func commandFiles() []Call {
	return []Call{
		{Name: "openat", Who: "files and directories"},
		{Name: "close", Who: "files and directories"},
		{Name: "fcntl", Who: "close-on-exec and non-blocking descriptors"},
		{Name: "lseek", Who: "reads and writes at a place"},
		{Name: "pread64", Who: "the loader reads headers"},
		{Name: "newfstatat", Who: "what a path is; fstat of the C library from 2.33 on"},
		{Name: "getdents64", Who: "lists a directory"},
		{Name: "getcwd", Who: "where it is"},
		{Name: "chdir", Who: "goes to source and target"},
		{Name: "fchdir", Who: "goes back"},
		{Name: "ftruncate", Who: "sparse and in-place files"},
		{Name: "fsync", Who: "--fsync"},
		{Name: "mkdirat", Who: "makes a directory"},
		{Name: "mknodat", Who: "makes a FIFO; device nodes need CAP_MKNOD and the device group's leave"},
		{Name: "symlinkat", Who: "makes a symbolic link"},
		{Name: "linkat", Who: "makes a hard link"},
		{Name: "unlinkat", Who: "deletes"},
		{Name: "renameat", Who: "puts a finished file in its place"},
		{Name: "readlinkat", Who: "reads a symbolic link"},
		{Name: "access", Arch: AMD64, Who: "the loader's preload file; whether a temporary name is free"},
		{Name: "faccessat", Arch: ARM64, Who: "the same"},
		{Name: "readlink", Arch: AMD64, Who: "reads a symbolic link"},
		{Name: "unlink", Arch: AMD64, Who: "deletes"},
		{Name: "rmdir", Arch: AMD64, Who: "deletes a directory"},
	}
}

// commandAttrs: owners, modes, times, attributes (ACLs are attributes, too).
func commandAttrs() []Call {
	return []Call{
		{Name: "fchmod", Who: "mode"},
		{Name: "fchmodat", Fallback: true, Who: "mode, by a name: other versions, and programs of handlers"},
		{Name: "fchown", Fallback: true, Who: "owner, of a file that is open: other versions"},
		{Name: "fchownat", Who: "owner"},
		{Name: "utimensat", Who: "times to the nanosecond"},
		{Name: "getxattr", Who: "attributes"},
		{Name: "lgetxattr", Who: "attributes"},
		{Name: "fgetxattr", Who: "attributes"},
		{Name: "llistxattr", Who: "attributes"},
		{Name: "flistxattr", Who: "attributes"},
		{Name: "fsetxattr", Who: "attributes"},
		{Name: "fremovexattr", Who: "attributes"},
	}
}

// processFallbacks: what other versions call, and nothing that they can do
// without: those calls get ENOSYS and are done in another way. (So clone3,
// copy_file_range, openat2 of some builds, and the like.)
func processFallbacks() []Call {
	return []Call{
		{Name: "tgkill", Fallback: true, Who: "abort of the C library"},
		{Name: "mremap", Fallback: true, Who: "realloc of large blocks"},
		{Name: "fork", Arch: AMD64, Fallback: true, Who: "musl"},
		{Name: "clone", If: when(eq64(0, uint64(unix.SIGCHLD))), Fallback: true, Who: "fork of musl"},
		{Name: "waitid", Fallback: true, Who: "wait of other C libraries"},
		{Name: "getrlimit", Fallback: true, Who: "limits, older"},
		{Name: "alarm", Arch: AMD64, Fallback: true, Who: "time-outs"},
		{Name: "setitimer", Fallback: true, Who: "time-outs"},
		{Name: "rt_sigsuspend", Fallback: true, Who: "waits for a signal"},
		{Name: "pause", Arch: AMD64, Fallback: true, Who: "waits for a signal"},
		{Name: "select", Arch: AMD64, Fallback: true, Who: "waits for its sockets, older"},
		{Name: "ppoll", Arch: AMD64, Fallback: true, Who: "waits for its sockets, newer"},
		{Name: "sched_getaffinity", Fallback: true, Who: "number of threads of compression and checksums"},
		{Name: "sysinfo", Fallback: true, Who: "size of memory, for qsort"},
		{Name: "uname", Fallback: true, Who: "version of the kernel, at start"},
		{Name: "getppid", Fallback: true, Who: "names of temporary files"},
		{Name: "getuid", Fallback: true, Who: "whether it is root"},
		{Name: "getgid", Fallback: true, Who: "groups"},
		{Name: "getgroups", Fallback: true, Who: "groups"},
		{Name: "getpgrp", Arch: AMD64, Fallback: true, Who: "progress: whether it is in the foreground"},
		{Name: "getpgid", Fallback: true, Who: "the same"},
		{Name: "time", Arch: AMD64, Fallback: true, Who: "the vDSO falls back to it"},
		{Name: "gettimeofday", Fallback: true, Who: "the vDSO falls back to it"},
		{Name: "getrusage", Fallback: true, Who: "--stats"},
		{Name: "times", Fallback: true, Who: "--stats"},
		{Name: "pipe", Arch: AMD64, Fallback: true, Who: "pipes, older"},
		{Name: "getsockopt", Fallback: true, Who: "whether its input is a socket"},
		{Name: "ioctl", If: when(eq(1, unix.TIOCGWINSZ)), Fallback: true, Who: "width of the terminal"},
	}
}

// fileFallbacks: the same for files and attributes.
func fileFallbacks() []Call {
	return []Call{
		{Name: "open", Arch: AMD64, Fallback: true, Who: "older openat"},
		{Name: "creat", Arch: AMD64, Fallback: true, Who: "older openat"},
		{Name: "stat", Arch: AMD64, Fallback: true, Who: "older newfstatat"},
		{Name: "lstat", Arch: AMD64, Fallback: true, Who: "older newfstatat"},
		{Name: "fstat", Fallback: true, Who: "older newfstatat"},
		{Name: "statx", Fallback: true, Who: "newer newfstatat; birth times"},
		{Name: "openat2", Fallback: true, Who: "confined look-ups of newer builds"},
		{Name: "statfs", Fallback: true, Who: "kind of a file system"},
		{Name: "fstatfs", Fallback: true, Who: "kind of a file system"},
		{Name: "pwrite64", Fallback: true, Who: "writes at a place"},
		{Name: "readv", Fallback: true, Who: "stdio of musl"},
		{Name: "writev", Fallback: true, Who: "stdio of musl, messages of glibc"},
		{Name: "truncate", Fallback: true, Who: "older ftruncate"},
		{Name: "fdatasync", Fallback: true, Who: "--fsync"},
		{Name: "faccessat", Arch: AMD64, Fallback: true, Who: "newer access"},
		{Name: "faccessat2", Fallback: true, Who: "newer access"},
		{Name: "mkdir", Arch: AMD64, Fallback: true, Who: "older mkdirat"},
		{Name: "rename", Arch: AMD64, Fallback: true, Who: "older renameat"},
		{Name: "renameat2", Fallback: true, Who: "newer renameat; musl"},
		{Name: "link", Arch: AMD64, Fallback: true, Who: "older linkat"},
		{Name: "symlink", Arch: AMD64, Fallback: true, Who: "older symlinkat"},
		{Name: "mknod", Arch: AMD64, Fallback: true, Who: "older mknodat"},
		{Name: "chmod", Arch: AMD64, Fallback: true, Who: "older fchmodat"},
		{Name: "chown", Arch: AMD64, Fallback: true, Who: "older fchownat"},
		{Name: "lchown", Arch: AMD64, Fallback: true, Who: "older fchownat"},
		{Name: "utime", Arch: AMD64, Fallback: true, Who: "older utimensat"},
		{Name: "utimes", Arch: AMD64, Fallback: true, Who: "older utimensat"},
		{Name: "futimesat", Arch: AMD64, Fallback: true, Who: "older utimensat"},
		{Name: "getdents", Arch: AMD64, Fallback: true, Who: "older getdents64"},
		{Name: "listxattr", Fallback: true, Who: "attributes, older"},
		{Name: "setxattr", Fallback: true, Who: "attributes, older"},
		{Name: "lsetxattr", Fallback: true, Who: "attributes, older"},
		{Name: "removexattr", Fallback: true, Who: "attributes, older"},
		{Name: "lremovexattr", Fallback: true, Who: "attributes, older"},
	}
}
