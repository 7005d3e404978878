package redteam

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	pageSize = 4096
	anonymus = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	noFD     = -1
	rw       = unix.PROT_READ | unix.PROT_WRITE
	rx       = unix.PROT_READ | unix.PROT_EXEC
	none     = 0
)

// aPage maps a page that can be written.
func aPage(e *Env) syscall.Errno {
	at, errno := e.call(unix.SYS_MMAP, 0, pageSize, rw, anonymus, noFD, 0)
	e.Page = at
	return errno
}

// memory are ways to bring code or others' memory in.
func memory() []Act {
	return []Act{
		{Name: "map memory to write and execute", Check: 9, Call: "mmap", Do: call(unix.SYS_MMAP, 0, pageSize, rw|rx, anonymus, noFD, 0)},
		{Name: "map code of a file", Check: 9, Call: "mmap", Prepare: prepared(opened(unix.SYS_OPENAT, cwd, program, unix.O_RDONLY)),
			Do: call(unix.SYS_MMAP, 0, pageSize, rx, unix.MAP_PRIVATE, fd(), 0)},
		{Name: "make written memory executable", Check: 9, Call: "mprotect", Prepare: prepared(aPage), Do: call(unix.SYS_MPROTECT, page(), pageSize, rx)},
		{Name: "make memory executable by a key's call", Check: 9, Call: "pkey_mprotect", Prepare: prepared(aPage), Do: call(unix.SYS_PKEY_MPROTECT, page(), pageSize, rx, -1)},
		{Name: "map written code of a memory file", Check: 9, Call: "mmap", Prepare: prepared(opened(unix.SYS_MEMFD_CREATE, "x", unix.MFD_CLOEXEC), call(unix.SYS_FTRUNCATE, fd(), pageSize)),
			Do: call(unix.SYS_MMAP, 0, pageSize, rx, unix.MAP_SHARED, fd(), 0)},
		{Name: "make what is readable executable", Check: 9, Call: "personality", Do: call(unix.SYS_PERSONALITY, 0x0400000)},
		{Name: "lock memory", Check: 9, Call: "mlock", Prepare: prepared(aPage), Do: call(unix.SYS_MLOCK, page(), pageSize)},
		{Name: "lock all memory", Check: 9, Call: "mlockall", Do: call(unix.SYS_MLOCKALL, unix.MCL_CURRENT)},
		{Name: "lift the ban on executable memory", Check: 9, Call: "prctl", Do: call(unix.SYS_PRCTL, unix.PR_SET_MDWE, 0, 0, 0, 0)},
		{Name: "attach the host's shared memory", Check: 9, Call: "shmat", Do: attach},
		{Name: "open the host's message queue", Check: 9, Call: "mq_open", Do: call(unix.SYS_MQ_OPEN, late(func(e *Env) any { return e.Queue }), unix.O_RDONLY, 0, 0)},
	}
}

// attach maps a segment; the call's answer is an address.
func attach(e *Env) syscall.Errno {
	_, errno := e.call(unix.SYS_SHMAT, e.Segment, 0, unix.SHM_RDONLY)
	return errno
}
