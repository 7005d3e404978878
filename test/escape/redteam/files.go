package redteam

import (
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	cwd    = unix.AT_FDCWD
	shadow = "/etc/shadow"
)

// in is a path below the directory where files may be tried to be made.
func in(name string) late {
	return func(e *Env) any {
		if e.Dir == "/" {
			return "/" + name
		}
		return e.Dir + "/" + name
	}
}

// of is a file of the victim's.
func of(name string) late {
	return func(e *Env) any { return "/proc/" + strconv.Itoa(e.Victim) + "/" + name }
}

// fd is what was prepared, page is memory, peer is a socket that the program holds.
func fd() late   { return func(e *Env) any { return e.FD } }
func page() late { return func(e *Env) any { return e.Page } }
func peer() late { return func(e *Env) any { return e.Peer } }

// file makes a file to be attacked.
func file(name string) func(*Env) error {
	return prepared(opened(unix.SYS_OPENAT, cwd, in(name), unix.O_CREAT|unix.O_RDWR, 0o600))
}

// files are acts on files that exist.
func files() []Act {
	return []Act{
		{Name: "open a secret file", Check: 5, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, shadow, unix.O_RDONLY)},
		{Name: "open a secret file by openat2", Check: 5, Call: "openat2", Do: call(unix.SYS_OPENAT2, cwd, shadow, zeros(24), 24)},
		{Name: "list the root", Check: 5, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, "/", unix.O_RDONLY|unix.O_DIRECTORY)},
		{Name: "list what is open", Check: 5, Call: "getdents64", Prepare: prepared(opened(unix.SYS_OPENAT, cwd, "/", unix.O_RDONLY|unix.O_DIRECTORY)),
			Do: call(unix.SYS_GETDENTS64, fd(), zeros(4096), 4096)},
		{Name: "open a system file for writing", Check: 5, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, "/etc/hosts", unix.O_WRONLY)},
		{Name: "look at a secret file", Check: 5, Call: "newfstatat", Do: call(unix.SYS_NEWFSTATAT, cwd, shadow, zeros(256), 0)},
		{Name: "look at a secret file by statx", Check: 5, Call: "statx", Do: call(unix.SYS_STATX, cwd, shadow, 0, unix.STATX_BASIC_STATS, zeros(256))},
		{Name: "ask whether a file is there", Check: 5, Call: "faccessat2", Do: call(unix.SYS_FACCESSAT2, cwd, shadow, 0, 0)},
		{Name: "read a link", Check: 5, Call: "readlinkat", Do: call(unix.SYS_READLINKAT, cwd, "/proc/self/exe", zeros(256), 256)},
		{Name: "ask for a file system", Check: 5, Call: "statfs", Do: call(unix.SYS_STATFS, "/etc", zeros(256))},
		{Name: "watch a directory", Check: 5, Call: "inotify_add_watch", Prepare: prepared(opened(unix.SYS_INOTIFY_INIT1, unix.IN_CLOEXEC)),
			Do: call(unix.SYS_INOTIFY_ADD_WATCH, fd(), "/etc", unix.IN_CREATE)},
		{Name: "watch a file system", Check: 5, Call: "fanotify_init", Do: call(unix.SYS_FANOTIFY_INIT, unix.FAN_CLASS_NOTIF|unix.FAN_UNLIMITED_QUEUE, unix.O_RDONLY)},
		{Name: "mark a file system", Check: 5, Call: "fanotify_mark", Prepare: prepared(opened(unix.SYS_FANOTIFY_INIT, unix.FAN_CLASS_NOTIF, unix.O_RDONLY)),
			Do: call(unix.SYS_FANOTIFY_MARK, fd(), unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, unix.FAN_OPEN, cwd, "/")},
		{Name: "ask for a handle", Check: 5, Call: "name_to_handle_at", Do: call(unix.SYS_NAME_TO_HANDLE_AT, cwd, "/etc", handle(), zeros(4), 0)},
		{Name: "open by a handle", Check: 5, Call: "open_by_handle_at", Prepare: prepared(keepHandle), Do: call(unix.SYS_OPEN_BY_HANDLE_AT, 0, page(), unix.O_RDONLY)},
		{Name: "go to a directory", Check: 5, Call: "chdir", Do: call(unix.SYS_CHDIR, "/etc")},
		{Name: "make a file", Check: 5, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, in("made"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)},
		{Name: "make a directory", Check: 5, Call: "mkdirat", Do: call(unix.SYS_MKDIRAT, cwd, in("dir"), 0o700)},
		{Name: "make a symbolic link", Check: 5, Call: "symlinkat", Do: call(unix.SYS_SYMLINKAT, shadow, cwd, in("link"))},
		{Name: "make a hard link", Check: 5, Call: "linkat", Prepare: file("old"), Do: call(unix.SYS_LINKAT, cwd, in("old"), cwd, in("new"), 0)},
		{Name: "remove a file", Check: 5, Call: "unlinkat", Prepare: file("old"), Do: call(unix.SYS_UNLINKAT, cwd, in("old"), 0)},
		{Name: "rename a file", Check: 5, Call: "renameat2", Prepare: file("old"), Do: call(unix.SYS_RENAMEAT2, cwd, in("old"), cwd, in("new"), 0)},
		{Name: "change a mode", Check: 5, Call: "fchmodat", Do: call(unix.SYS_FCHMODAT, cwd, in("."), 0o777)},
		{Name: "change an owner", Check: 5, Call: "fchownat", Do: call(unix.SYS_FCHOWNAT, cwd, in("."), 12345, 12345, 0)},
		{Name: "change times", Check: 5, Call: "utimensat", Do: call(unix.SYS_UTIMENSAT, cwd, in("."), 0, 0)},
		{Name: "cut a file", Check: 5, Call: "truncate", Prepare: file("old"), Do: call(unix.SYS_TRUNCATE, in("old"), 0)},
		{Name: "set an attribute", Check: 5, Call: "setxattr", Do: call(unix.SYS_SETXATTR, in("."), "trusted.x", "y", 1, 0)},
	}
}

// handle is an empty struct file_handle with room for 128 bytes.
func handle() late {
	return func(*Env) any {
		b := make([]byte, 8+128)
		b[0] = 128
		return b
	}
}

// nodes are devices, and what /proc has of other processes.
func nodes() []Act {
	return []Act{
		{Name: "make a character device", Check: 14, Call: "mknodat", Do: call(unix.SYS_MKNODAT, cwd, in("mem"), unix.S_IFCHR|0o600, 0x101)},
		{Name: "make a block device", Check: 14, Call: "mknodat", Do: call(unix.SYS_MKNODAT, cwd, in("disk"), unix.S_IFBLK|0o600, 0x700)},
		{Name: "make a FIFO", Check: 14, Call: "mknodat", Do: call(unix.SYS_MKNODAT, cwd, in("fifo"), unix.S_IFIFO|0o600, 0)},
		{Name: "open /dev/mem", Check: 14, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, "/dev/mem", unix.O_RDONLY), Optional: true},
		{Name: "open /dev/kmsg", Check: 14, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, "/dev/kmsg", unix.O_WRONLY)},
		{Name: "open /dev/fuse", Check: 14, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, "/dev/fuse", unix.O_RDWR)},
		{Name: "type into a terminal", Check: 14, Call: "ioctl",
			Prepare: prepared(opened(unix.SYS_OPENAT, cwd, "/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY), call(unix.SYS_IOCTL, fd(), unix.TIOCSPTLCK, zeros(4)),
				opened(unix.SYS_IOCTL, fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)),
			Do: call(unix.SYS_IOCTL, fd(), unix.TIOCSTI, "x")},
		{Name: "read another process's memory file", Check: 18, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, of("mem"), unix.O_RDONLY)},
		{Name: "write its own memory file", Check: 18, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, "/proc/self/mem", unix.O_RDWR)},
		{Name: "leave by another process's root", Check: 18, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, of("root/etc"), unix.O_PATH|unix.O_DIRECTORY)},
		{Name: "name the program of core dumps", Check: 18, Call: "openat", Do: call(unix.SYS_OPENAT, cwd, "/proc/sys/kernel/core_pattern", unix.O_WRONLY)},
	}
}
