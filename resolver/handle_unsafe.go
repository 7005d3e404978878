package resolver

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"lockstep/monitor"
)

// OpenFlags are the only ones with which a handle is opened, and all that the
// filter allows: a descriptor by which a directory can neither be listed nor
// anything in it be read.
const OpenFlags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC

// openHandle is open_by_handle_at(2) on the file system of mount, which must be
// a descriptor with more than O_PATH. x/sys would copy the handle.
func openHandle(mount int, h monitor.Handle) (int, unix.Errno) {
	if len(h) < 8 || uint64(binary.NativeEndian.Uint32(h)) != uint64(len(h)-8) {
		return -1, unix.EINVAL
	}
	for {
		fd, _, e := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(mount),
			uintptr(unsafe.Pointer(unsafe.SliceData(h))), OpenFlags)
		if e != unix.EINTR {
			return int(fd), e
		}
	}
}

// getcwd is getcwd(2): how many bytes, with the NUL at the end.
func getcwd(buf []byte) (int, unix.Errno) {
	n, _, e := unix.Syscall(unix.SYS_GETCWD, uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0)
	return int(n), e
}

// queued says how many events wait in a fanotify queue: FIONREAD, which counts
// their headers alone.
func queued(fd int) (int, unix.Errno) {
	const header = 24
	var size int32
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&size)))
	return int(size) / header, e
}
