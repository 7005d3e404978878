// Package same says whether a whole pass of rsync would leave an entry of the
// target as it is: the same in all that the pass compares and carries.
//
// Trust: part of the runner, in its jail. Both trees are hostile and change
// while they are looked at; nothing is opened and no content is read.
//
// Invariants: what cannot be known is not the same; a name is looked up in one
// directory that is held open, and no link is followed.
package same

import (
	"bytes"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
)

// Attrs says which extended attributes are compared.
type Attrs uint8

// The choices. Access control lists are attributes here.
const (
	AttrsNone Attrs = iota
	AttrsUser       // user.* and access control lists
	AttrsAll        // all that are to be seen
)

// wanted is what a file system must tell of an entry.
const wanted = unix.STATX_TYPE | unix.STATX_MODE | unix.STATX_NLINK | unix.STATX_UID |
	unix.STATX_GID | unix.STATX_MTIME | unix.STATX_SIZE

const (
	maxLink  = 4 << 10  // of a link's target, in bytes: PATH_MAX
	maxList  = 4 << 10  // of the names of an entry's attributes; more is not compared
	maxValue = 64 << 10 // of an attribute: XATTR_SIZE_MAX
)

// Eye looks at two trees. It is one walker's; its memory is used again.
type Eye struct {
	Attrs Attrs

	a, b   unix.Statx_t
	device [2]device // of the roots
	link   [2][maxLink]byte
	list   [2][maxList]byte
	value  [2][]byte // once there is an attribute
}

type device struct{ major, minor uint32 }

func of(st *unix.Statx_t) device { return device{st.Dev_major, st.Dev_minor} }

// Roots begins with the roots of both trees. It says whether the trees can be
// compared: only where it is known that a file system lists all attributes that
// an entry has, access control lists too.
func (e *Eye) Roots(src, dst int) bool {
	for _, fd := range [2]int{src, dst} {
		var st unix.Statfs_t
		if err := unix.Fstatfs(fd, &st); err != nil {
			return false
		}
		switch int64(st.Type) {
		case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		default:
			return false
		}
	}
	if !e.stat(src, dst, []byte{0}, unix.AT_EMPTY_PATH) {
		return false
	}
	e.device = [2]device{of(&e.a), of(&e.b)}
	return true
}

// stat asks for both.
func (e *Eye) stat(src, dst int, name []byte, flags int) bool {
	flags |= unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	return sys.Statx(src, name, flags, wanted, &e.a) == 0 && e.a.Mask&wanted == wanted &&
		sys.Statx(dst, name, flags, wanted, &e.b) == 0 && e.b.Mask&wanted == wanted
}

// home says that both are on the file systems of the roots.
func (e *Eye) home() bool { return of(&e.a) == e.device[0] && of(&e.b) == e.device[1] }

// equal compares what every entry has.
func (e *Eye) equal() bool {
	a, b := &e.a, &e.b
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid &&
		a.Mtime.Sec == b.Mtime.Sec && a.Mtime.Nsec == b.Mtime.Nsec
}

// Dirs compares two directories themselves, without what is in them. known is
// false if what is in them cannot be compared.
func (e *Eye) Dirs(src, dst int) (same, known bool) {
	if !e.stat(src, dst, []byte{0}, unix.AT_EMPTY_PATH) || !e.home() {
		return false, false
	}
	if !e.equal() {
		return false, true
	}
	if e.Attrs == AttrsNone {
		return true, true
	}
	return e.attrs(src, dst, nil), true
}

// Entry compares what has the name in both directories, without its
// attributes. A file with several links is never the same: rsync has to see all
// of its names. Nor is what is neither file nor link.
func (e *Eye) Entry(src, dst int, name []byte) bool {
	if !e.stat(src, dst, name, 0) || !e.home() || !e.equal() {
		return false
	}
	if e.a.Nlink != 1 || e.b.Nlink != 1 || e.a.Size != e.b.Size {
		return false
	}
	switch e.a.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return true
	case unix.S_IFLNK:
		n, err := sys.Readlinkat(src, name, e.link[0][:])
		m, err2 := sys.Readlinkat(dst, name, e.link[1][:])
		return err == 0 && err2 == 0 && n < maxLink && m < maxLink && bytes.Equal(e.link[0][:n], e.link[1][:m])
	}
	return false
}

// Bare says whether an entry of the working directory has no attribute that
// counts. known is false if that cannot be told.
func (e *Eye) Bare(name []byte) (bare, known bool) {
	n, known := e.names(0, -1, name)
	return n == 0, known
}

// Attributes compares the attributes of what has the name in both directories.
// Precondition: the thread's working directory is its own.
func (e *Eye) Attributes(src, dst int, name []byte) bool { return e.attrs(src, dst, name) }

// attrs compares the attributes of an entry of both directories, or those of the
// directories without a name.
func (e *Eye) attrs(src, dst int, name []byte) bool {
	n, ok := e.names(0, src, name)
	m, ok2 := e.names(1, dst, name)
	if !ok || !ok2 || n != m {
		return false
	}
	for rest := e.list[0][:]; n > 0; {
		attr := rest[:bytes.IndexByte(rest, 0)+1]
		rest = rest[len(attr):]
		if !e.counts(attr) {
			continue
		}
		n--
		if !has(e.list[1][:], attr, m, e.counts) || !e.values(src, dst, name, attr) {
			return false
		}
	}
	return true
}

// names lists the attributes of one side, and counts those that count. A
// negative fd is the working directory as it is.
func (e *Eye) names(side, fd int, name []byte) (int, bool) {
	buf := e.list[side][:]
	n, err := 0, unix.Errno(0)
	switch {
	case name == nil:
		n, err = sys.Flistxattr(fd, buf)
	case fd >= 0 && sys.Fchdir(fd) != 0:
		return 0, false
	default:
		n, err = sys.Llistxattr(name, buf)
	}
	if err == unix.ENOTSUP {
		return 0, true
	}
	if err != 0 || n > 0 && buf[n-1] != 0 {
		return 0, false
	}
	count := 0
	for rest := buf[:n]; len(rest) > 0; {
		attr := rest[:bytes.IndexByte(rest, 0)+1]
		rest = rest[len(attr):]
		if e.counts(attr) {
			count++
		}
	}
	return count, true
}

// counts says whether the pass carries the attribute.
func (e *Eye) counts(attr []byte) bool {
	return e.Attrs == AttrsAll || bytes.HasPrefix(attr, []byte("user.")) || bytes.HasPrefix(attr, []byte("system.posix_acl_"))
}

// has looks for an attribute among the n that count in a list.
func has(list, attr []byte, n int, counts func([]byte) bool) bool {
	for n > 0 {
		one := list[:bytes.IndexByte(list, 0)+1]
		list = list[len(one):]
		if !counts(one) {
			continue
		}
		if n--; bytes.Equal(one, attr) {
			return true
		}
	}
	return false
}

// values compares one attribute.
func (e *Eye) values(src, dst int, name, attr []byte) bool {
	var size [2]int
	for side, fd := range [2]int{src, dst} {
		if e.value[side] == nil {
			e.value[side] = make([]byte, maxValue)
		}
		var err unix.Errno
		switch {
		case name == nil:
			size[side], err = sys.Fgetxattr(fd, attr, e.value[side])
		case sys.Fchdir(fd) != 0:
			return false
		default:
			size[side], err = sys.Lgetxattr(name, attr, e.value[side])
		}
		if err != 0 {
			return false
		}
	}
	return bytes.Equal(e.value[0][:size[0]], e.value[1][:size[1]])
}
