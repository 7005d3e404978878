package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// EpollWait waits without a time limit: epoll_pwait(2), which the runtime's own
// poller uses as well, where x/sys takes epoll_wait(2) on amd64.
func EpollWait(fd int, events []unix.EpollEvent) (int, unix.Errno) {
	if len(events) == 0 {
		return 0, unix.EINVAL
	}
	const forEver = ^uintptr(0)
	for {
		n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), forEver, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}
