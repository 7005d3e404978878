package sandbox

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// execImage (here and not in internal/sys, since that is part of the helper,
// which must not carry what only stage one needs) is what execveat(2) needs, made ready while memory may still be
// had and the thread still has its rights.
type execImage struct {
	fd         int
	empty      *byte
	argv, envp []*byte
}

// newExec prepares the start of the program open on fd.
func newExec(fd int, argv, env []string) (*execImage, error) {
	empty, err := unix.BytePtrFromString("")
	if err != nil {
		return nil, err
	}
	argvp, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return nil, err
	}
	envp, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return nil, err
	}
	return &execImage{fd: fd, empty: empty, argv: argvp, envp: envp}, nil
}

// exec replaces the process; it returns only on failure.
func (e *execImage) exec() error {
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(e.fd), uintptr(unsafe.Pointer(e.empty)),
		uintptr(unsafe.Pointer(&e.argv[0])), uintptr(unsafe.Pointer(&e.envp[0])), unix.AT_EMPTY_PATH, 0)
	runtime.KeepAlive(e)
	return errno
}
