package redteam

import (
	"encoding/binary"
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/door"
)

// a late argument is known only when the act is made.
type late func(*Env) any

// call makes one raw system call. Strings and bytes are passed by their address.
func call(nr uintptr, args ...any) func(*Env) syscall.Errno {
	return func(e *Env) syscall.Errno {
		_, errno := e.call(nr, args...)
		return errno
	}
}

// then makes several, and stops at the first that fails.
func then(calls ...func(*Env) syscall.Errno) func(*Env) syscall.Errno {
	return func(e *Env) syscall.Errno {
		for _, c := range calls {
			if errno := c(e); errno != 0 {
				return errno
			}
		}
		return 0
	}
}

// opened keeps what a call returns as the act's descriptor.
func opened(nr uintptr, args ...any) func(*Env) syscall.Errno {
	return func(e *Env) syscall.Errno {
		r, errno := e.call(nr, args...)
		if errno == 0 {
			e.FD = int(r)
		}
		return errno
	}
}

// prepared turns calls into a preparation.
func prepared(calls ...func(*Env) syscall.Errno) func(*Env) error {
	return func(e *Env) error {
		if errno := then(calls...)(e); errno != 0 {
			return errors.New(Name(errno))
		}
		return nil
	}
}

func (e *Env) call(nr uintptr, args ...any) (uintptr, syscall.Errno) {
	var a [6]uintptr
	for i, arg := range args {
		a[i] = e.word(arg)
	}
	r, _, errno := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return r, errno
}

// word is an argument as a register holds it.
func (e *Env) word(arg any) uintptr {
	switch v := arg.(type) {
	case late:
		return e.word(v(e))
	case int:
		return uintptr(v)
	case uintptr:
		return v
	case uint64:
		return uintptr(v)
	case string:
		return e.word(append([]byte(v), 0))
	case []byte:
		e.keep = append(e.keep, v) // the heap does not move
		return uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	}
	panic("an argument of a kind that no call takes")
}

// bytes are numbers of 4 or 8 bytes one behind the other, and addresses of what
// lies elsewhere.
func (e *Env) bytes(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch v := p.(type) {
		case nil:
			b = binary.NativeEndian.AppendUint64(b, 0)
		case []any:
			b = append(b, e.bytes(v...)...)
		case uint16:
			b = binary.NativeEndian.AppendUint16(b, v)
		case uint32:
			b = binary.NativeEndian.AppendUint32(b, v)
		case uint64:
			b = binary.NativeEndian.AppendUint64(b, v)
		default:
			b = binary.NativeEndian.AppendUint64(b, uint64(e.word(v)))
		}
	}
	return b
}

// data is an argument made of several parts.
func data(parts ...any) late {
	return func(e *Env) any { return e.bytes(parts...) }
}

// zeros is room for an answer.
func zeros(n int) late { return func(*Env) any { return make([]byte, n) } }

// keepHandle keeps the handle of what descriptor 0 is, /dev/null.
func keepHandle(e *Env) syscall.Errno {
	h := e.word(handle())
	_, errno := e.call(unix.SYS_NAME_TO_HANDLE_AT, 0, "", h, zeros(4), unix.AT_EMPTY_PATH)
	e.Page = h
	return errno
}

// forked has a child of such a clone make calls; it returns the child's error. The
// child has one thread, and does nothing but these calls.
func forked(flags uintptr, calls ...[]any) func(*Env) syscall.Errno {
	return func(e *Env) syscall.Errno {
		words := make([][7]uintptr, len(calls))
		for i, c := range calls {
			for j, arg := range c {
				words[i][j] = e.word(arg)
			}
		}
		pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			child(words)
		}
		return reap(e, pid)
	}
}

func child(words [][7]uintptr) {
	for i := range words {
		w := &words[i]
		if _, _, errno := syscall.RawSyscall6(w[0], w[1], w[2], w[3], w[4], w[5], w[6]); errno != 0 {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(errno), 0, 0)
		}
	}
	syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
}

// reap waits for a child, whose exit code is an error.
func reap(e *Env, pid uintptr) syscall.Errno {
	status := make([]byte, 4)
	if _, errno := e.call(unix.SYS_WAIT4, pid, status, 0, 0); errno != 0 {
		return errno
	}
	return syscall.Errno(status[1])
}

func vforked(e *Env) syscall.Errno {
	pid := door.Vfork()
	if int(pid) < 0 {
		return syscall.Errno(-int(pid))
	}
	return reap(e, pid)
}

// foreign makes a call by i386's door.
func foreign(nr uintptr) syscall.Errno {
	if r := int32(door.Int80(nr)); r < 0 {
		return syscall.Errno(-r)
	}
	return 0
}
