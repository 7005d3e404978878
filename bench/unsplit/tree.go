//go:build unsplit

package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
)

const wanted = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID

const mix = 0x9e3779b97f4a7c15 // odd, and as good as random: what differs in two fields does not cancel out

// tree is the source. Its system calls are those of the helper's root
// (privileged), one for one, so that they weigh nothing in the comparison; what
// they find goes into the answer's structs at once.
type tree struct {
	fd      int
	inotify int
	mounts  bool // mounts inside are part of it
	resolve uint64
	mount   uint64 // mount id of the root
	st      unix.Statx_t
	path    []byte // buffers that serve again
	dents   []byte
}

func openTree(path string, inotify int, mounts bool) (*tree, error) {
	t := &tree{
		inotify: inotify, mounts: mounts, dents: make([]byte, 32<<10),
		resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	if !mounts {
		t.resolve |= unix.RESOLVE_NO_XDEV
	}
	var err error
	if t.fd, err = unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if e := sys.Statx(t.fd, []byte{0}, unix.AT_EMPTY_PATH, wanted, &t.st); e != 0 {
		return nil, fmt.Errorf("statx %s: %w", path, e)
	}
	t.mount = t.st.Mnt_id
	return t, nil
}

// list watches and lists directories.
func (t *tree) list(m *ipc.Watch) (*ipc.WatchAnswer, error) {
	a := &ipc.WatchAnswer{Dirs: make([]ipc.Dir, len(m.Rels))}
	for i, rel := range m.Rels {
		a.Dirs[i] = ipc.Dir{Index: uint16(i), WD: -1}
		if err := t.directory(m, rel, &a.Dirs[i]); err != nil {
			return nil, err
		}
	}
	// No directory below the root is kept in use.
	if e := sys.Fchdir(t.fd); e != 0 {
		return nil, fmt.Errorf("fchdir: %w", e)
	}
	return a, nil
}

func (t *tree) directory(m *ipc.Watch, rel string, d *ipc.Dir) (err error) {
	fd, e := t.open(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if e == 0 {
		defer func() { err = errors.Join(err, unix.Close(fd)) }()
	}
	if e == 0 && m.Watch {
		d.WD, e = t.place(fd)
	}
	if m.Since > 0 && (e == 0 || e == unix.ENOSPC) {
		x, e2 := t.stat(fd, []byte{0})
		d.Ctime, e = x.Ctime, cmp.Or(e2, e)
	}
	if e == 0 || e == unix.ENOSPC {
		e = t.entries(m, fd, d, e)
	}
	d.Status = ipc.Status(e)
	return nil
}

func (t *tree) place(fd int) (int32, unix.Errno) {
	if e := sys.Fchdir(fd); e != 0 {
		return -1, e
	}
	return sys.InotifyAddWatch(t.inotify, []byte(".\x00"), ipc.InotifyMask)
}

// entries adds those of an open directory, and returns status, or why they are
// not complete.
func (t *tree) entries(m *ipc.Watch, fd int, d *ipc.Dir, status unix.Errno) unix.Errno {
	for {
		n, e := sys.Getdents(fd, t.dents)
		if e != 0 {
			return e
		}
		if n == 0 {
			return status
		}
		for name, kind := range sys.Dirents(t.dents[:n]) {
			x, e := ipc.Entry{Kind: ipc.KindDir}, unix.Errno(0)
			if kind != unix.DT_DIR || m.All && !m.Watch {
				x, e = t.stat(fd, name)
			}
			switch {
			case e == unix.ENOENT || e == unix.EXDEV:
			case e != 0:
				status = e
			case len(name) > unix.NAME_MAX+1:
				status = unix.ENAMETOOLONG
			case m.All || x.Kind == ipc.KindDir || x.Kind >= ipc.KindSocket || x.Nlink > 1 ||
				m.Since > 0 && x.Ctime >= m.Since:
				x.Name = string(name[:len(name)-1])
				d.Entries = append(d.Entries, x)
			}
		}
	}
}

// examine says what paths are. The parent of each is opened, unless it is that
// of the path before.
func (t *tree) examine(m *ipc.Stat) (a *ipc.StatAnswer, err error) {
	a = &ipc.StatAnswer{Stats: make([]ipc.PathStat, len(m.Rels))}
	parent, fd, failed := "", -1, unix.Errno(0)
	leave := func() {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	defer func() { leave() }()
	for i, rel := range m.Rels {
		slash := strings.LastIndexByte(rel, '/')
		if dir := rel[:max(slash, 0)]; i == 0 || dir != parent {
			leave()
			parent = dir
			fd, failed = t.open(dir, unix.O_PATH|unix.O_DIRECTORY)
		}
		var x ipc.Entry
		e := failed
		if e == 0 {
			t.path = append(append(t.path[:0], rel[slash+1:]...), 0)
			x, e = t.stat(fd, t.path)
		}
		a.Stats[i] = ipc.PathStat{Status: ipc.Status(e), Kind: x.Kind, Nlink: x.Nlink, Ino: x.Ino, Size: x.Size}
	}
	if e := sys.Fchdir(t.fd); e != 0 { // as the helper does after each request
		return nil, fmt.Errorf("fchdir: %w", e)
	}
	return a, nil
}

func (t *tree) open(rel string, flags uint64) (int, unix.Errno) {
	if rel == "" {
		rel = "."
	}
	t.path = append(append(t.path[:0], rel...), 0)
	return sys.Openat2(t.fd, t.path, flags, t.resolve)
}

// stat says what a name, with a NUL behind it, is in an open directory; no name
// means the directory.
func (t *tree) stat(fd int, name []byte) (ipc.Entry, unix.Errno) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if len(name) == 1 {
		flags |= unix.AT_EMPTY_PATH
	}
	if e := sys.Statx(fd, name, flags, wanted, &t.st); e != 0 {
		return ipc.Entry{}, e
	}
	if !t.mounts && t.st.Mnt_id != t.mount {
		return ipc.Entry{}, unix.EXDEV
	}
	kinds := [16]ipc.Kind{unix.S_IFREG >> 12: ipc.KindFile, unix.S_IFDIR >> 12: ipc.KindDir,
		unix.S_IFLNK >> 12: ipc.KindLink, unix.S_IFIFO >> 12: ipc.KindFIFO, unix.S_IFSOCK >> 12: ipc.KindSocket,
		unix.S_IFCHR >> 12: ipc.KindChar, unix.S_IFBLK >> 12: ipc.KindBlock}
	return ipc.Entry{Kind: kinds[t.st.Mode>>12], Nlink: t.st.Nlink, Ino: t.st.Ino, Size: t.st.Size,
		Ctime: uint64(t.st.Ctime.Sec*1e9) + uint64(t.st.Ctime.Nsec),
		Stamp: ((uint64(t.st.Mtime.Sec*1e9)+uint64(t.st.Mtime.Nsec))*mix+uint64(t.st.Mode)<<32+uint64(t.st.Uid))*mix + uint64(t.st.Gid)}, 0
}
