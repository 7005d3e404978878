package dnotify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
)

// times tell whether a directory's entries are still those that were listed:
// each change of them sets both, and setting one back sets the other.
type times struct{ modified, changed unix.StatxTimestamp }

// tick is how long a file system may give equal times to different moments: two
// seconds at most (FAT).
const tick = 2500 * time.Millisecond

// settled says whether t, read at now and found again later, proves that nothing
// happened in between: not when it may be of the tick in which it was read. A
// clock that was set back makes it false as well.
func (t times) settled(now time.Time) bool {
	at := time.Unix(t.changed.Sec, int64(t.changed.Nsec))
	return now.Sub(at) > tick
}

// entry is a name in a directory that may be a directory.
type entry struct {
	name string
	hint uint64 // d_ino
}

const maxName = 255 // of a name in a record

// identity asks the kernel what the open directory fd is.
func identity(fd int) (id, times, error) {
	var st unix.Statx_t
	const what = unix.STATX_INO | unix.STATX_MNT_ID | unix.STATX_MTIME | unix.STATX_CTIME
	if e := sys.Statx(fd, []byte{0}, unix.AT_EMPTY_PATH, what, &st); e != 0 {
		return id{}, times{}, e
	}
	return id{uint64(st.Dev_major)<<32 | uint64(st.Dev_minor), st.Ino, st.Mnt_id}, times{st.Mtime, st.Ctime}, nil
}

// openBelow opens the directory name of the open directory fd.
func openBelow(fd int, name string, cross bool) (int, error) {
	resolve := uint64(unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS)
	if !cross {
		resolve |= unix.RESOLVE_NO_XDEV
	}
	child, e := sys.Openat2(fd, append([]byte(name), 0), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK, resolve)
	if e != 0 {
		return -1, e
	}
	return child, nil
}

// notOurs says whether err is what an honest tree answers to openBelow: the name
// is gone, is no directory, or another file system is mounted there.
func notOurs(err error) bool {
	for _, e := range []unix.Errno{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// subdirectories reads the whole of the open directory fd and calls each for the
// entries that may be directories; the name is valid until it returns. A
// directory that was removed is an empty one.
func subdirectories(fd int, buf []byte, each func(name []byte, hint uint64)) error {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return err
	}
	for {
		n, e := sys.Getdents(fd, buf)
		switch {
		case e == unix.ENOENT:
			return nil
		case e != 0:
			return e
		case n == 0:
			return nil
		}
		if err := entries(buf[:n], each); err != nil {
			return err
		}
	}
}

// Where in struct linux_dirent64.
const (
	atIno    = 0
	atReclen = 16
	atType   = 18
	atName   = 19
)

var errDirent = errors.New("a directory entry that is not whole")

// entries goes through what getdents64(2) has written.
func entries(buf []byte, each func(name []byte, hint uint64)) error {
	for len(buf) > 0 {
		if len(buf) < atName {
			return errDirent
		}
		size := int(binary.NativeEndian.Uint16(buf[atReclen:]))
		if size < atName || size > len(buf) {
			return errDirent
		}
		name, _, ended := bytes.Cut(buf[atName:size], []byte{0})
		if !ended || len(name) == 0 || bytes.IndexByte(name, '/') >= 0 {
			return errDirent
		}
		kind, hint := buf[atType], binary.NativeEndian.Uint64(buf[atIno:])
		buf = buf[size:]
		if s := string(name); s != "." && s != ".." && (kind == unix.DT_DIR || kind == unix.DT_UNKNOWN) {
			each(name, hint)
		}
	}
	return nil
}
