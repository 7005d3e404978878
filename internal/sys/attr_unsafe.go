package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The wrappers of this file are for many entries, as those of dir_unsafe.go
// are: paths and names end with NUL, nothing is allocated, EINTR is gone on
// from. An empty buffer asks for the size.

// Readlinkat is readlinkat(2): how many bytes of the target are in buf. As many
// as it holds may be a part only.
func Readlinkat(dirFD int, path, buf []byte) (int, unix.Errno) {
	if !terminated(path) {
		return 0, unix.EINVAL
	}
	return call(unix.SYS_READLINKAT, uintptr(dirFD), unsafe.Pointer(unsafe.SliceData(path)),
		unsafe.Pointer(unsafe.SliceData(buf)), len(buf))
}

// Llistxattr is llistxattr(2).
func Llistxattr(path, buf []byte) (int, unix.Errno) {
	if !terminated(path) {
		return 0, unix.EINVAL
	}
	for {
		n, _, e := unix.Syscall(unix.SYS_LLISTXATTR, uintptr(unsafe.Pointer(unsafe.SliceData(path))),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// Flistxattr is flistxattr(2).
func Flistxattr(fd int, buf []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.Syscall(unix.SYS_FLISTXATTR, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// Lgetxattr is lgetxattr(2).
func Lgetxattr(path, name, buf []byte) (int, unix.Errno) {
	if !terminated(path) || !terminated(name) {
		return 0, unix.EINVAL
	}
	for {
		n, _, e := unix.Syscall6(unix.SYS_LGETXATTR, uintptr(unsafe.Pointer(unsafe.SliceData(path))),
			uintptr(unsafe.Pointer(unsafe.SliceData(name))),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// Fgetxattr is fgetxattr(2).
func Fgetxattr(fd int, name, buf []byte) (int, unix.Errno) {
	if !terminated(name) {
		return 0, unix.EINVAL
	}
	return call(unix.SYS_FGETXATTR, uintptr(fd), unsafe.Pointer(unsafe.SliceData(name)),
		unsafe.Pointer(unsafe.SliceData(buf)), len(buf))
}

// call is a call of a descriptor, a string, and a buffer with its size.
func call(number, fd uintptr, text, buf unsafe.Pointer, size int) (int, unix.Errno) {
	for {
		n, _, e := unix.Syscall6(number, fd, uintptr(text), uintptr(buf), uintptr(size), 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}
