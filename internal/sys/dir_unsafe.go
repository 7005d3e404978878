package sys

import (
	"bytes"
	"encoding/binary"
	"iter"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The wrappers of this file take paths as bytes that end with NUL and allocate
// nothing, since they run once for every directory and entry of a tree. A path
// without a NUL at its end is EINVAL. All go on after EINTR.

// Openat2 is openat2(2) with flags, to which O_CLOEXEC is added, and resolve.
func Openat2(dirFD int, path []byte, flags, resolve uint64) (int, unix.Errno) {
	if !terminated(path) {
		return -1, unix.EINVAL
	}
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT2, uintptr(dirFD),
			uintptr(unsafe.Pointer(unsafe.SliceData(path))),
			uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
		if e == 0 {
			return int(fd), 0
		}
		if e != unix.EINTR {
			return -1, e
		}
	}
}

// Statx is statx(2). A path of one NUL with AT_EMPTY_PATH means dirFD itself.
func Statx(dirFD int, path []byte, flags, mask int, st *unix.Statx_t) unix.Errno {
	if !terminated(path) {
		return unix.EINVAL
	}
	for {
		_, _, e := unix.Syscall6(unix.SYS_STATX, uintptr(dirFD),
			uintptr(unsafe.Pointer(unsafe.SliceData(path))),
			uintptr(flags), uintptr(mask), uintptr(unsafe.Pointer(st)), 0)
		if e != unix.EINTR {
			return e
		}
	}
}

// InotifyAddWatch is inotify_add_watch(2).
func InotifyAddWatch(fd int, path []byte, mask uint32) (int32, unix.Errno) {
	if !terminated(path) {
		return -1, unix.EINVAL
	}
	for {
		wd, _, e := unix.Syscall(unix.SYS_INOTIFY_ADD_WATCH, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(path))), uintptr(mask))
		if e == 0 {
			return int32(wd), 0
		}
		if e != unix.EINTR {
			return -1, e
		}
	}
}

// Fchdir is fchdir(2). It concerns the whole process, but for a thread that has
// called unshare(CLONE_FS).
func Fchdir(fd int) unix.Errno {
	for {
		_, _, e := unix.Syscall(unix.SYS_FCHDIR, uintptr(fd), 0, 0)
		if e != unix.EINTR {
			return e
		}
	}
}

// Getdents reads the next entries of an open directory into buf (getdents64(2)):
// how many bytes, 0 at the end. See Dirents.
func Getdents(fd int, buf []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.Syscall(unix.SYS_GETDENTS64, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
		if e == 0 {
			return int(n), 0
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// Where d_type and the name are in struct linux_dirent64: after d_ino (8), d_off
// (8) and d_reclen (2).
const (
	atType = 18
	atName = 19
)

// Dirents goes through what Getdents read: each name with the NUL at its end,
// but not "." and "..", and its d_type (DT_UNKNOWN: the file system does not
// tell). A record that is not whole is a nil name, and the last.
func Dirents(buf []byte) iter.Seq2[[]byte, byte] {
	return func(yield func([]byte, byte) bool) {
		for len(buf) > 0 {
			name, size := dirent(buf)
			if name == nil {
				yield(nil, unix.DT_UNKNOWN)
				return
			}
			kind := buf[atType]
			buf = buf[size:]
			if s := string(name); s != ".\x00" && s != "..\x00" && !yield(name, kind) {
				return
			}
		}
	}
}

func dirent(buf []byte) (name []byte, size int) {
	if len(buf) < atName {
		return nil, 0
	}
	size = int(binary.NativeEndian.Uint16(buf[16:]))
	if size < atName || size > len(buf) {
		return nil, 0
	}
	end := bytes.IndexByte(buf[atName:size], 0)
	if end < 0 {
		return nil, 0
	}
	return buf[atName : atName+end+1], size
}

func terminated(path []byte) bool { return len(path) > 0 && path[len(path)-1] == 0 }
