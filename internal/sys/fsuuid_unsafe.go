package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// fsUUID is struct fsuuid2 of linux/fs.h.
type fsUUID struct {
	length uint8
	uuid   [16]byte
}

// fsIocGetFSUUID is FS_IOC_GETFSUUID, _IOR(0x15, 0, struct fsuuid2); the
// generic encoding holds on amd64 and arm64.
const fsIocGetFSUUID = 2<<30 | unsafe.Sizeof(fsUUID{})<<16 | 0x15<<8

// FSUUID returns the UUID of the file system that holds the open file fd: up
// to 16 bytes. ENOTTY or EOPNOTSUPP: the kernel (before 6.9) or the file system
// has none to tell.
func FSUUID(fd int) ([]byte, error) {
	var u fsUUID
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), fsIocGetFSUUID, uintptr(unsafe.Pointer(&u)))
	if e != 0 {
		return nil, e
	}
	if int(u.length) > len(u.uuid) {
		return nil, unix.EPROTO
	}
	return u.uuid[:u.length:u.length], nil
}
