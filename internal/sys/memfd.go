package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// SealedMemfd makes a memfd of data that nobody can change any more
// (memfd_create(2), fcntl(2) F_ADD_SEALS). Its offset is behind the data: who
// reads it by read(2) goes to the beginning first. It needs no system call but
// those two, write(2) and, on an error, close(2).
func SealedMemfd(name string, data []byte) (int, error) {
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3 knows no MFD_NOEXEC_SEAL
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, fmt.Errorf("memfd_create: %w", err)
	}
	for err == nil && len(data) > 0 {
		var n int
		if n, err = unix.Write(fd, data); err == unix.EINTR {
			n, err = 0, nil
		}
		data = data[max(n, 0):]
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err == nil {
		return fd, nil
	}
	if e := unix.Close(fd); e != nil {
		err = fmt.Errorf("%w; close: %w", err, e)
	}
	return -1, fmt.Errorf("memfd %s: %w", name, err)
}
