package redteam

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// namespaces are ways to change what is seen.
func namespaces() []Act {
	return []Act{
		{Name: "mount in a user namespace of its own", Check: 11, Call: "clone", Do: forked(unix.CLONE_NEWUSER|unix.CLONE_NEWNS, []any{unix.SYS_MOUNT, "x", in("."), "tmpfs", 0, 0})},
		{Name: "make a mount namespace", Check: 11, Call: "unshare", Do: call(unix.SYS_UNSHARE, unix.CLONE_NEWNS)},
		{Name: "make a network namespace", Check: 11, Call: "unshare", Do: call(unix.SYS_UNSHARE, unix.CLONE_NEWNET)},
		{Name: "make a process in a pid namespace", Check: 11, Call: "clone", Do: forked(unix.CLONE_NEWPID)},
		{Name: "enter the host's network", Check: 11, Call: "setns", Prepare: prepared(opened(unix.SYS_OPENAT, cwd, of("ns/net"), unix.O_RDONLY)), Do: call(unix.SYS_SETNS, fd(), 0)},
		{Name: "enter a process's namespaces", Check: 11, Call: "setns", Prepare: prepared(opened(unix.SYS_PIDFD_OPEN, victim(), 0)), Do: call(unix.SYS_SETNS, fd(), unix.CLONE_NEWUTS)},
		{Name: "mount", Check: 11, Call: "mount", Do: call(unix.SYS_MOUNT, "x", in("."), "tmpfs", 0, 0)},
		{Name: "make a mount writable", Check: 11, Call: "mount", Prepare: prepared(aMount), Do: call(unix.SYS_MOUNT, "x", in("."), 0, unix.MS_REMOUNT|unix.MS_BIND, 0)},
		{Name: "unmount", Check: 11, Call: "umount2", Prepare: prepared(aMount), Do: call(unix.SYS_UMOUNT2, in("."), unix.MNT_DETACH)},
		{Name: "begin a mount", Check: 11, Call: "fsopen", Do: call(unix.SYS_FSOPEN, "tmpfs", 0)},
		{Name: "make a mount's super block", Check: 11, Call: "fsconfig", Prepare: prepared(opened(unix.SYS_FSOPEN, "tmpfs", 0)), Do: call(unix.SYS_FSCONFIG, fd(), unix.FSCONFIG_CMD_CREATE, 0, 0, 0)},
		{Name: "change a super block", Check: 11, Call: "fspick", Prepare: prepared(aMount), Do: call(unix.SYS_FSPICK, cwd, in("."), 0)},
		{Name: "copy a mount", Check: 11, Call: "open_tree", Do: call(unix.SYS_OPEN_TREE, cwd, "/", unix.OPEN_TREE_CLONE)},
		{Name: "move a mount", Check: 11, Call: "move_mount", Prepare: prepared(opened(unix.SYS_OPEN_TREE, cwd, "/", unix.OPEN_TREE_CLONE)),
			Do: call(unix.SYS_MOVE_MOUNT, fd(), "", cwd, in("."), unix.MOVE_MOUNT_F_EMPTY_PATH)},
		{Name: "set a mount's flags", Check: 11, Call: "mount_setattr", Prepare: prepared(aMount), Do: call(unix.SYS_MOUNT_SETATTR, cwd, in("."), 0, data(uint64(unix.MOUNT_ATTR_NOEXEC), uint64(0), uint64(0), uint64(0)), 32)},
		{Name: "exchange the root", Check: 11, Call: "pivot_root", Prepare: prepared(aMount), Do: call(unix.SYS_PIVOT_ROOT, in("."), in("."))},
		{Name: "change the root", Check: 11, Call: "chroot", Do: call(unix.SYS_CHROOT, in("."))},
		{Name: "name the host", Check: 11, Call: "sethostname", Do: call(unix.SYS_SETHOSTNAME, "escaped", 7)},
		{Name: "name the host's domain", Check: 11, Call: "setdomainname", Do: call(unix.SYS_SETDOMAINNAME, "escaped", 7)},
	}
}

// aMount mounts something that can be attacked; the twin has its own mounts.
func aMount(e *Env) syscall.Errno {
	_, errno := e.call(unix.SYS_MOUNT, "x", in("."), "tmpfs", 0, 0)
	return errno
}

// kernel are large interfaces of the kernel.
func kernel() []Act {
	return []Act{
		{Name: "make a map of BPF", Check: 12, Call: "bpf", Do: call(unix.SYS_BPF, unix.BPF_MAP_CREATE, data(uint32(unix.BPF_MAP_TYPE_ARRAY), uint32(4), uint32(4), uint32(1), make64(7)), 72), Optional: true},
		{Name: "load a program of BPF", Check: 12, Call: "bpf", Do: call(unix.SYS_BPF, unix.BPF_PROG_LOAD,
			data(uint32(unix.BPF_PROG_TYPE_SOCKET_FILTER), uint32(2), data(uint64(0xb7), uint64(0x95)), "GPL", make64(6)), 72)},
		{Name: "watch the whole processor", Check: 12, Call: "perf_event_open", Do: call(unix.SYS_PERF_EVENT_OPEN, data(uint32(unix.PERF_TYPE_SOFTWARE), uint32(112), make64(13)), -1, 0, -1, 0), Optional: true},
		{Name: "stop the kernel at faults", Check: 12, Call: "userfaultfd", Do: call(unix.SYS_USERFAULTFD, 0), Optional: true},
		{Name: "make a ring of calls", Check: 12, Call: "io_uring_setup", Do: call(unix.SYS_IO_URING_SETUP, 1, zeros(120)), Optional: true},
		{Name: "add a key", Check: 12, Call: "add_key", Do: call(unix.SYS_ADD_KEY, "user", "lockstep", "x", 1, -2)},
		{Name: "have a key made", Check: 12, Call: "keyctl", Do: call(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, "lockstep")},
		{Name: "make a memory file", Check: 12, Call: "memfd_create", Do: call(unix.SYS_MEMFD_CREATE, "x", 0)},
		{Name: "see calls of its threads", Check: 16, Call: "seccomp", Prepare: noGain, Do: filtered(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)},
		{Name: "add a filter", Check: 16, Call: "seccomp", Prepare: noGain, Do: filtered(0)},
		{Name: "add rules of Landlock", Check: 16, Call: "landlock_create_ruleset", Do: call(unix.SYS_LANDLOCK_CREATE_RULESET, data(uint64(1), uint64(0)), 16, 0)},
	}
}

// make64 are so many zeros of 8 bytes.
func make64(n int) []any { return make([]any, n) }

// noGain is what a filter takes where root's rights are not enough.
func noGain(*Env) error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }

// filtered installs a filter that allows everything.
func filtered(flags int) func(*Env) syscall.Errno {
	return call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, data(uint64(1), data(uint64(0x7fff0000<<32|6))))
}

// machine are ways to change the whole machine. What would harm it has arguments
// that are looked at after the caller's rights.
func machine() []Act {
	return []Act{
		{Name: "load a module", Check: 13, Call: "init_module", Do: call(unix.SYS_INIT_MODULE, zeros(64), 64, ""), Twin: "ENOEXEC", Optional: true},
		{Name: "load a module of a file", Check: 13, Call: "finit_module", Do: call(unix.SYS_FINIT_MODULE, -1, "", 0), Twin: "EBADF", Optional: true},
		{Name: "unload a module", Check: 13, Call: "delete_module", Do: call(unix.SYS_DELETE_MODULE, "lockstep_none", unix.O_NONBLOCK), Twin: "ENOENT", Optional: true},
		{Name: "load another kernel", Check: 13, Call: "kexec_load", Do: call(unix.SYS_KEXEC_LOAD, 0, 1, 0, 0), Twin: "EINVAL", Optional: true},
		{Name: "load another kernel of a file", Check: 13, Call: "kexec_file_load", Do: call(unix.SYS_KEXEC_FILE_LOAD, -1, -1, 1, "", 0), Twin: "EBADF", Optional: true},
		{Name: "restart", Check: 13, Call: "reboot", Do: call(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_RESTART, 0), Twin: "killed by hangup", Alone: true},
		{Name: "swap memory to a file", Check: 13, Call: "swapon", Do: call(unix.SYS_SWAPON, "/nonexistent", 0), Twin: "ENOENT"},
		{Name: "end swapping", Check: 13, Call: "swapoff", Do: call(unix.SYS_SWAPOFF, "/nonexistent"), Twin: "ENOENT"},
		{Name: "set the clock", Check: 13, Call: "settimeofday", Do: call(unix.SYS_SETTIMEOFDAY, 0, 0)},
		{Name: "adjust the clock", Check: 13, Call: "adjtimex", Do: call(unix.SYS_ADJTIMEX, data(uint64(unix.ADJ_TICK), make64(25))), Twin: "EINVAL"},
		{Name: "adjust a clock", Check: 13, Call: "clock_adjtime", Do: call(unix.SYS_CLOCK_ADJTIME, unix.CLOCK_REALTIME, data(uint64(unix.ADJ_TICK), make64(25))), Twin: "EINVAL"},
		{Name: "have processes accounted", Check: 13, Call: "acct", Do: call(unix.SYS_ACCT, "/nonexistent"), Twin: "ENOENT"},
		{Name: "ask for the kernel's log", Check: 13, Call: "syslog", Do: call(unix.SYS_SYSLOG, 9, 0, 0)},
		{Name: "hang terminals up", Check: 13, Call: "vhangup", Do: call(unix.SYS_VHANGUP)},
	}
}

// ids are ways to become somebody else.
func ids() []Act {
	return []Act{
		{Name: "become root", Check: 15, Call: "setuid", Do: call(unix.SYS_SETUID, 0)},
		{Name: "become another user", Check: 15, Call: "setresuid", Do: call(unix.SYS_SETRESUID, 1, 1, 1)},
		{Name: "become another group", Check: 15, Call: "setresgid", Do: call(unix.SYS_SETRESGID, 1, 1, 1)},
		{Name: "join groups", Check: 15, Call: "setgroups", Do: call(unix.SYS_SETGROUPS, 1, data(uint32(0)))},
		{Name: "take capabilities", Check: 15, Call: "capset", Do: call(unix.SYS_CAPSET, data(uint32(unix.LINUX_CAPABILITY_VERSION_3), uint32(0)),
			data(uint32(1<<unix.CAP_NET_ADMIN), uint32(1<<unix.CAP_NET_ADMIN), uint32(0), uint32(0), uint32(0), uint32(0)))},
		{Name: "keep a capability over execve", Check: 15, Call: "prctl", Prepare: inheritable, Do: call(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_NET_ADMIN, 0, 0)},
		{Name: "change securebits", Check: 15, Call: "prctl", Do: call(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, 1<<4, 0, 0, 0)},
		{Name: "change its memory's layout", Check: 15, Call: "prctl", Prepare: prepared(aPage), Do: call(unix.SYS_PRCTL, unix.PR_SET_MM, unix.PR_SET_MM_ARG_START, page(), 0, 0), Optional: true},
		{Name: "become readable for others", Check: 15, Call: "prctl", Do: call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0)},
		{Name: "outlive the supervisor", Check: 15, Call: "prctl", Do: call(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)},
	}
}

// inheritable makes a capability one that can be ambient.
func inheritable(*Env) error {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err := unix.Capget(&header, &data[0])
	if err == nil {
		data[0].Inheritable |= 1 << unix.CAP_NET_ADMIN
		err = unix.Capset(&header, &data[0])
	}
	if errno, failed := err.(syscall.Errno); failed {
		return named{errno}
	}
	return err
}

// named is an error of the kernel by its name.
type named struct{ errno syscall.Errno }

func (n named) Error() string { return Name(n.errno) }
