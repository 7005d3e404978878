package redteam

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// program is one that every host has, and that ends at once.
const program = "/usr/bin/true"

// argv is the argument of execve.
func argv(words ...string) late {
	parts := make([]any, len(words)+1)
	for i, w := range words {
		parts[i] = w
	}
	return data(parts...)
}

// programs are ways to execute, and to make processes.
func programs() []Act {
	const emptyPath = unix.AT_EMPTY_PATH
	return []Act{
		{Name: "execute a program", Check: 6, Call: "execve", Do: call(unix.SYS_EXECVE, program, argv(program), argv()), Twin: executed},
		{Name: "execute a shell", Check: 6, Call: "execve", Do: call(unix.SYS_EXECVE, "/usr/bin/sh", argv("sh", "-c", "exit 0"), argv()), Twin: executed},
		{Name: "execute by execveat", Check: 6, Call: "execveat", Do: call(unix.SYS_EXECVEAT, cwd, program, argv(program), argv(), 0), Twin: executed},
		{Name: "execute what is open", Check: 6, Call: "execveat", Prepare: prepared(opened(unix.SYS_OPENAT, cwd, program, unix.O_PATH)),
			Do: call(unix.SYS_EXECVEAT, fd(), "", argv(program), argv(), emptyPath), Twin: executed},
		{Name: "execute what it wrote", Check: 6, Call: "execve", Prepare: prepared(written), Do: call(unix.SYS_EXECVE, in("program"), argv("x"), argv()), Twin: executed},
		{Name: "execute memory", Check: 6, Call: "execveat", Prepare: prepared(opened(unix.SYS_MEMFD_CREATE, "x", unix.MFD_CLOEXEC), call(unix.SYS_WRITE, fd(), exits(), 4096)),
			Do: call(unix.SYS_EXECVEAT, fd(), "", argv("x"), argv(), emptyPath), Twin: executed},
		{Name: "make a process", Check: 7, Call: "clone", Do: forked(0)},
		{Name: "make a process by clone3", Check: 7, Call: "clone3", Do: cloned3},
	}
}

// executed is the outcome of an act that became another program.
const executed = "executed"

// written makes a file that can be executed.
func written(e *Env) syscall.Errno {
	return then(opened(unix.SYS_OPENAT, cwd, in("program"), unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o755), call(unix.SYS_WRITE, fd(), exits(), 4096),
		call(unix.SYS_CLOSE, fd()))(e)
}

// exits is a whole program, of amd64, that ends with 0: a header of a file, one of
// a segment, and exit_group(0).
func exits() late {
	return func(*Env) any {
		le := binary.LittleEndian
		b := append([]byte("\x7fELF\x02\x01\x01\x00"), make([]byte, 8)...)
		b = le.AppendUint16(b, 2)  // executable
		b = le.AppendUint16(b, 62) // amd64
		b = le.AppendUint32(b, 1)
		b = le.AppendUint64(b, 0x400078) // begins behind the headers
		b = le.AppendUint64(b, 64)       // where the segment's header is
		b = le.AppendUint64(b, 0)
		b = le.AppendUint32(b, 0)
		for _, n := range []uint16{64, 56, 1, 64, 0, 0} {
			b = le.AppendUint16(b, n)
		}
		b = le.AppendUint32(b, 1) // to be loaded
		b = le.AppendUint32(b, 5) // read and execute
		for _, n := range []uint64{0, 0x400000, 0x400000, 4096, 4096, 4096} {
			b = le.AppendUint64(b, n)
		}
		b = append(b, 0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05) // xor edi,edi; mov eax,231; syscall
		return append(b, make([]byte, 4096-len(b))...)
	}
}

// cloned3 is fork by clone3.
func cloned3(e *Env) syscall.Errno {
	args := e.bytes(uint64(0), uint64(0), uint64(0), uint64(0), uint64(unix.SIGCHLD), uint64(0), uint64(0), uint64(0))
	at := e.word(args)
	pid, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, at, uintptr(len(args)), 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		child(nil)
	}
	return reap(e, pid)
}

// forkedBy is the same by a call without arguments.
func forkedBy(nr uintptr) func(*Env) syscall.Errno {
	return func(e *Env) syscall.Errno {
		pid, _, errno := syscall.RawSyscall(nr, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			child(nil)
		}
		return reap(e, pid)
	}
}
