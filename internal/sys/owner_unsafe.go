package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetOwnerThread has the signals of the open file fd (F_SETSIG of fcntl(2))
// sent to one thread: F_SETOWN_EX with F_OWNER_TID. F_SETOWN names a process,
// and then any of its threads may take them.
func SetOwnerThread(fd, tid int) unix.Errno {
	owner := struct{ kind, pid int32 }{0 /* F_OWNER_TID */, int32(tid)}
	_, _, e := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), unix.F_SETOWN_EX, uintptr(unsafe.Pointer(&owner)))
	return e
}
