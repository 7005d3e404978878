package seccomp

import (
	"slices"

	"golang.org/x/sys/unix"
)

// denied are calls that end a runner or its command at once: no program that
// we start ever makes them, and each serves somebody who wants out. Calls that
// are newer than the installed libseccomp cannot be named; they are answered
// as the rest is, by ENOSYS.
func denied() Set {
	return Set{"denied", slices.Concat(deniedSystem(), deniedReach(), []Call{
		{Name: "socket", If: when(not(0, unix.AF_UNIX)), Who: "the network, netlink, AF_ALG, packets; (AF_UNIX: ENOSYS)"},
	})}
}

// deniedRemote are those of the runner of a remote target. Its C library asks
// for more sockets than it needs (AF_UNIX for a name service, AF_NETLINK for
// the interfaces, SOCK_DGRAM to sort addresses), and does without: ENOSYS.
func deniedRemote() Set {
	return Set{"denied", slices.Concat(deniedSystem(), deniedReach(), []Call{
		{Name: "socket", If: when(all(0, 32)), Who: "families from 32 on: AF_ALG, AF_VSOCK, AF_XDP, AF_SMC and others; a history of kernel bugs"},
		{Name: "socket", If: when(eq64(0, unix.AF_PACKET)), Who: "packets of all"},
		{Name: "socket", If: when(eq64(0, unix.AF_KEY)), Who: "keys of IPsec; a history of kernel bugs"},
	})}
}

// deniedSystem: changing the system, its mounts and its name spaces.
func deniedSystem() []Call {
	return []Call{
		{Name: "mount", Who: "changes what the jail shows"},
		{Name: "umount2", Who: "changes what the jail shows"},
		{Name: "pivot_root", Who: "leaves the jail's root"},
		{Name: "chroot", Who: "leaves the jail's root by the old trick of a kept descriptor"},
		{Name: "fsopen", Who: "mounts"},
		{Name: "fsconfig", Who: "mounts"},
		{Name: "fsmount", Who: "mounts"},
		{Name: "fspick", Who: "mounts"},
		{Name: "open_tree", Who: "mounts"},
		{Name: "move_mount", Who: "mounts"},
		{Name: "mount_setattr", Who: "makes read-only mounts writable"},
		{Name: "unshare", Who: "a user namespace brings all capabilities"},
		{Name: "setns", Who: "enters another namespace"},
		{Name: "clone", If: when(all(0, unix.CLONE_NEWUSER)), Who: "a user namespace brings all capabilities"},
		{Name: "clone", If: when(all(0, unix.CLONE_NEWNS)), Who: "new namespace"},
		{Name: "clone", If: when(all(0, unix.CLONE_NEWPID)), Who: "new namespace"},
		{Name: "clone", If: when(all(0, unix.CLONE_NEWNET)), Who: "new namespace"},
		{Name: "clone", If: when(all(0, unix.CLONE_NEWIPC)), Who: "new namespace"},
		{Name: "clone", If: when(all(0, unix.CLONE_NEWUTS)), Who: "new namespace"},
		{Name: "clone", If: when(all(0, unix.CLONE_NEWCGROUP)), Who: "new namespace"},
		{Name: "init_module", Who: "code into the kernel"},
		{Name: "finit_module", Who: "code into the kernel"},
		{Name: "delete_module", Who: "code out of the kernel"},
		{Name: "kexec_load", Who: "another kernel"},
		{Name: "kexec_file_load", Who: "another kernel"},
		{Name: "reboot", Who: "stops the host"},
		{Name: "swapon", Who: "memory of all into a file"},
		{Name: "swapoff", Who: "memory of all"},
		{Name: "acct", Who: "the kernel writes a file of choice"},
		{Name: "quotactl", Who: "quotas of others"},
		{Name: "quotactl_fd", Who: "quotas of others"},
		{Name: "settimeofday", Who: "the host's clock"},
		{Name: "clock_settime", Who: "the host's clock"},
		{Name: "adjtimex", Who: "the host's clock"},
		{Name: "clock_adjtime", Who: "the host's clock"},
		{Name: "sethostname", Who: "the host's name"},
		{Name: "setdomainname", Who: "the host's name"},
		{Name: "syslog", Who: "the kernel's log"},
		{Name: "vhangup", Who: "terminals of others"},
		{Name: "iopl", Arch: AMD64, Who: "ports of the hardware"},
		{Name: "ioperm", Arch: AMD64, Who: "ports of the hardware"},
		{Name: "modify_ldt", Arch: AMD64, Who: "segments; a history of kernel bugs"},
		{Name: "uselib", Arch: AMD64, Who: "a history of kernel bugs"},
	}
}

// deniedReach: other processes, handles, keys, sockets, and large interfaces
// with a history of kernel bugs.
func deniedReach() []Call {
	return []Call{
		{Name: "ptrace", Who: "takes over another process"},
		{Name: "process_vm_readv", Who: "reads another process's memory"},
		{Name: "process_vm_writev", Who: "writes another process's memory"},
		{Name: "process_madvise", Who: "another process's memory"},
		{Name: "pidfd_getfd", Who: "takes another process's descriptor"},
		{Name: "kcmp", Who: "kernel addresses"},
		{Name: "perf_event_open", Who: "watches others; a history of kernel bugs"},
		{Name: "bpf", Who: "code into the kernel"},
		{Name: "userfaultfd", Who: "stops the kernel at will, which makes its races easy to win"},
		{Name: "io_uring_setup", Who: "calls that no filter sees"},
		{Name: "io_uring_enter", Who: "calls that no filter sees"},
		{Name: "io_uring_register", Who: "calls that no filter sees"},
		{Name: "add_key", Who: "keys of the kernel"},
		{Name: "request_key", Who: "keys of the kernel"},
		{Name: "keyctl", Who: "keys of the kernel"},
		{Name: "open_by_handle_at", Who: "opens what lies outside the jail, on the same file system"},
		{Name: "name_to_handle_at", Who: "makes handles for it"},
		{Name: "fanotify_init", Who: "watches whole file systems"},
		{Name: "fanotify_mark", Who: "watches whole file systems"},
		{Name: "lookup_dcookie", Who: "names outside the jail"},
		{Name: "memfd_create", Who: "a program that lies in no mount, where noexec and Landlock do not hold"},
		{Name: "memfd_secret", Who: "memory that nobody can audit"},
		{Name: "execveat", Who: "executes a descriptor, past the paths of the jail"},
		{Name: "seccomp", Who: "a listener would let it see and answer calls"},
		{Name: "personality", Who: "makes all readable memory executable"},
		{Name: "mbind", Who: "a history of kernel bugs"},
		{Name: "move_pages", Who: "another process's memory"},
		{Name: "migrate_pages", Who: "another process's memory"},
		{Name: "ioctl", If: when(eq(1, unix.TIOCSTI)), Who: "types into the terminal of whoever started us"},
		{Name: "ioctl", If: when(eq(1, 0x541c)), Who: "the same on a console (TIOCLINUX)"},
	}
}
