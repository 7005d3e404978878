package privileged

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
)

// mix is odd, and as good as random: what differs in two fields does not cancel
// out.
const wanted, mix = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID, 0x9e3779b97f4a7c15

// root is one watched tree and its thread, which has a working directory of its
// own. What follows load belongs to the thread.
type root struct {
	ipc.HelperRoot
	h       *Helper
	queue   chan *task
	current atomic.Pointer[task]
	load    atomic.Int32 // tasks in the queue and the current one

	inotify int
	resolve uint64
	mount   uint64 // mount id of the root
	st      unix.Statx_t
	path    []byte // buffers that serve again
	dents   []byte
	pack    ipc.DirPacker
	stats   ipc.StatAnswer
	packet  []byte
}

// run is the thread. It is never unlocked, and ends with its goroutine.
func (r *root) run(started chan<- error) {
	runtime.LockOSThread()
	started <- r.prepare()
	for {
		select {
		case t := <-r.queue:
			r.work(t)
		case <-r.h.done:
			return
		}
	}
}

func (r *root) prepare() error {
	r.queue, r.dents = make(chan *task, maxQueue), make([]byte, 32<<10)
	r.resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
	if !r.CrossMounts {
		r.resolve |= unix.RESOLVE_NO_XDEV
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if e := sys.Fchdir(r.FD); e != 0 {
		return fmt.Errorf("fchdir: %w", e)
	}
	if e := sys.Statx(r.FD, []byte{0}, unix.AT_EMPTY_PATH, wanted, &r.st); e != 0 {
		return fmt.Errorf("statx: %w", e)
	}
	if r.mount = r.st.Mnt_id; r.st.Mask&unix.STATX_MNT_ID == 0 {
		return errors.New("statx tells no mount id: Linux 5.8 is needed")
	}
	return nil
}

func (r *root) work(t *task) {
	r.current.Store(t)
	serve := r.stat
	if t.watch != nil {
		serve = r.watch
	}
	err := serve(t)
	// No directory below the root is kept in use.
	if e := sys.Fchdir(r.FD); e != 0 {
		err = fmt.Errorf("fchdir: %w", e)
	}
	r.current.Store(nil)
	r.load.Add(-1)
	if err == errLate {
		r.h.logf("<5>root %s answers again", r.Name)
	} else if err != nil {
		r.h.fail(fault{fmt.Errorf("root %s: %w", r.Name, err)})
	}
}

func (r *root) watch(t *task) error {
	r.pack.Reset(t.seq)
	r.pack.Send = func(packet []byte) error { return r.deliver(t, packet) }
	for i, rel := range t.rels {
		t.at = i
		t.sights.Store(0)
		if err := r.directory(t, rel); err != nil {
			return err
		}
	}
	t.at = len(t.rels)
	return r.pack.Finish()
}

// directory watches and lists one directory, in this order, so that what is
// made in between is an event, an entry or both. The descriptor is opened
// before, which is no matter: entries are read by getdents64. The directory's
// own time is read after, too: it tells of what came before the watch.
func (r *root) directory(t *task, rel string) error {
	d := ipc.Dir{Index: uint16(t.at), WD: -1}
	fd, e := r.open(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	defer r.h.closeFD(fd)
	if e == 0 && t.watch.Watch {
		d.WD, e = r.place(fd)
	}
	if t.watch.Since > 0 && (e == 0 || e == unix.ENOSPC) {
		x, e2 := r.examine(fd, []byte{0})
		d.Ctime, e = x.Ctime, cmp.Or(e2, e)
	}
	err := r.pack.Open(d)
	if err == nil && (e == 0 || e == unix.ENOSPC) {
		e, err = r.list(t, fd, e)
	}
	if err == nil {
		r.pack.Close(ipc.Status(e))
	}
	return err
}

// place watches an open directory. fchdir and "." need no path and no /proc,
// and nobody can exchange what is open.
func (r *root) place(fd int) (int32, unix.Errno) {
	if e := sys.Fchdir(fd); e != 0 {
		return -1, e
	}
	return sys.InotifyAddWatch(r.inotify, []byte(".\x00"), ipc.InotifyMask)
}

// list adds the entries of an open directory. The first result is status, or
// why the listing is not complete.
func (r *root) list(t *task, fd int, status unix.Errno) (unix.Errno, error) {
	for {
		n, e := sys.Getdents(fd, r.dents)
		if e != 0 {
			return e, nil
		}
		if n == 0 {
			return status, nil
		}
		t.sights.Store(0)
		for name, kind := range sys.Dirents(r.dents[:n]) {
			x, e := ipc.Entry{Kind: ipc.KindDir}, unix.Errno(0)
			if kind != unix.DT_DIR || t.watch.All && !t.watch.Watch { // of which mostly its own listing tells all
				x, e = r.examine(fd, name)
			}
			switch {
			case e == unix.ENOENT || e == unix.EXDEV: // gone since, or a mount that is not to be shown
			case e != 0:
				status = e
			case len(name) > unix.NAME_MAX+1:
				status = unix.ENAMETOOLONG
			case t.watch.All || x.Kind == ipc.KindDir || x.Kind >= ipc.KindSocket || x.Nlink > 1 ||
				t.watch.Since > 0 && x.Ctime >= t.watch.Since:
				if err := r.pack.Add(x, name[:len(name)-1]); err != nil {
					return 0, err
				}
			}
		}
	}
}

// stat opens the parent of each path, unless it is that of the path before.
func (r *root) stat(t *task) error {
	r.stats.Stats = r.stats.Stats[:0]
	parent, fd, failed := "", -1, unix.Errno(0)
	for i, rel := range t.rels {
		t.sights.Store(0)
		slash := strings.LastIndexByte(rel, '/')
		if dir := rel[:max(slash, 0)]; i == 0 || dir != parent {
			r.h.closeFD(fd)
			parent = dir
			fd, failed = r.open(dir, unix.O_PATH|unix.O_DIRECTORY)
		}
		var x ipc.Entry
		e := failed
		if e == 0 {
			r.path = append(append(r.path[:0], rel[slash+1:]...), 0)
			x, e = r.examine(fd, r.path)
		}
		r.stats.Stats = append(r.stats.Stats, ipc.PathStat{Status: ipc.Status(e), Kind: x.Kind, Nlink: x.Nlink, Ino: x.Ino, Size: x.Size})
	}
	r.h.closeFD(fd)
	var err error
	if r.packet, err = ipc.Append(r.packet[:0], t.seq, &r.stats); err != nil {
		return err
	}
	t.at = len(t.rels)
	return r.deliver(t, r.packet)
}

// open resolves rel below the root, in one call.
func (r *root) open(rel string, flags uint64) (int, unix.Errno) {
	if rel == "" {
		rel = "."
	}
	r.path = append(append(r.path[:0], rel...), 0)
	return sys.Openat2(r.FD, r.path, flags, r.resolve)
}

// examine says what a name (with a NUL behind it) is in an open directory; no
// name means the directory. EXDEV: it is the root of a mount that is not part
// of the tree.
func (r *root) examine(fd int, name []byte) (ipc.Entry, unix.Errno) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if len(name) == 1 {
		flags |= unix.AT_EMPTY_PATH
	}
	if e := sys.Statx(fd, name, flags, wanted, &r.st); e != 0 {
		return ipc.Entry{}, e
	}
	if !r.CrossMounts && r.st.Mnt_id != r.mount {
		return ipc.Entry{}, unix.EXDEV
	}
	kinds := [16]ipc.Kind{unix.S_IFREG >> 12: ipc.KindFile, unix.S_IFDIR >> 12: ipc.KindDir,
		unix.S_IFLNK >> 12: ipc.KindLink, unix.S_IFIFO >> 12: ipc.KindFIFO, unix.S_IFSOCK >> 12: ipc.KindSocket,
		unix.S_IFCHR >> 12: ipc.KindChar, unix.S_IFBLK >> 12: ipc.KindBlock}
	return ipc.Entry{Kind: kinds[r.st.Mode>>12], Nlink: r.st.Nlink, Ino: r.st.Ino, Size: r.st.Size,
		Ctime: uint64(r.st.Ctime.Sec*1e9) + uint64(r.st.Ctime.Nsec),
		Stamp: ((uint64(r.st.Mtime.Sec*1e9)+uint64(r.st.Mtime.Nsec))*mix+uint64(r.st.Mode)<<32+uint64(r.st.Uid))*mix + uint64(r.st.Gid)}, 0
}
