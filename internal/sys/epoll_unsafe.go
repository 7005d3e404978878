package sys

import (
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// EpollWait waits without a time limit.
func EpollWait(fd int, events []unix.EpollEvent) (int, unix.Errno) {
	return EpollWaitFor(fd, events, -1)
}

// EpollWaitFor waits for a time; below 0: for ever. It may end before. It is
// epoll_pwait(2), which the runtime's own poller uses as well, where x/sys takes
// epoll_wait(2) on amd64.
func EpollWaitFor(fd int, events []unix.EpollEvent, limit time.Duration) (int, unix.Errno) {
	if len(events) == 0 {
		return 0, unix.EINVAL
	}
	timeout := ^uintptr(0)
	if limit >= 0 {
		timeout = uintptr(min((limit+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
	}
	for {
		n, _, e := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), timeout, 0, 0)
		switch {
		case e != unix.EINTR:
			return int(n), e
		case limit >= 0: // how much of it is left is the caller's to know
			return 0, 0
		}
	}
}
