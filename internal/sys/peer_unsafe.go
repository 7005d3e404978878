package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// PeerGroups is getsockopt(2), SO_PEERGROUPS: the supplementary groups that the
// other end of a stream socket had when it was connected. More than into has
// room for are ERANGE.
func PeerGroups(fd int, into []uint32) ([]uint32, error) {
	if len(into) == 0 {
		return nil, unix.ERANGE
	}
	size := uint32(len(into) * 4)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, errno
	}
	return into[:min(int(size/4), len(into))], nil
}
