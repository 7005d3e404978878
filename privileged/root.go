package privileged

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"lockstep/internal/sys"
	"lockstep/ipc"
)

// maxQueue is how many requests may wait for one root.
const maxQueue = 64

const wanted = unix.STATX_TYPE | unix.STATX_NLINK | unix.STATX_INO | unix.STATX_SIZE | unix.STATX_MNT_ID

// root is one watched tree and its thread, which has a working directory of its
// own. Only the thread uses what follows load.
type root struct {
	ipc.HelperRoot
	h       *Helper
	queue   chan *task
	current atomic.Pointer[task]
	load    atomic.Int32 // tasks in the queue and the current one

	inotify int
	resolve uint64
	mount   uint64 // mount id of the root
	watches uint32 // placed in this life, each directory once
	lastWD  int32
	pack    ipc.DirPacker
	answer  ipc.StatAnswer
	packet  []byte
	path    []byte
	dents   []byte
	st      unix.Statx_t
}

// task is a Watch or a Stat on its way. Its state says who may answer it: the
// thread, which sends only after it has moved it from working to sending, or
// expire, once it has moved it from working to late.
type task struct {
	seq      uint32
	watch    *ipc.Watch // nil: a Stat
	rels     []string
	at       int // the thread works on rels[at]
	answered int // below it, all is answered
	state    atomic.Int32
	since    atomic.Int64 // when the verb under way began
}

const (
	working int32 = iota
	sending
	answered
	late
)

var errLate = errors.New("answered already: late")

func newRoot(c ipc.HelperRoot, inotify int, h *Helper) *root {
	r := &root{HelperRoot: c, h: h, inotify: inotify, queue: make(chan *task, maxQueue), dents: make([]byte, 32<<10)}
	r.resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS
	if !c.CrossMounts {
		r.resolve |= unix.RESOLVE_NO_XDEV
	}
	return r
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
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if e := sys.Fchdir(r.FD); e != 0 {
		return fmt.Errorf("fchdir: %w", e)
	}
	if e := r.statx(r.FD, ""); e != 0 {
		return fmt.Errorf("statx: %w", e)
	}
	if r.st.Mask&unix.STATX_MNT_ID == 0 {
		return errors.New("statx tells no mount id: Linux 5.8 is needed")
	}
	r.mount = r.st.Mnt_id
	return nil
}

func (r *root) work(t *task) {
	t.since.Store(r.h.now())
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
	switch {
	case errors.Is(err, errLate):
		r.h.logf("<5>root %s answers again", r.Name)
	case err != nil:
		r.h.post(event{err: fault{fmt.Errorf("root %s: %w", r.Name, err)}})
	}
}

// deliver sends a packet of t's answer, unless expire has answered.
func (r *root) deliver(t *task, packet []byte) error {
	if !t.state.CompareAndSwap(working, sending) {
		return errLate
	}
	r.h.send(packet)
	t.answered = t.at
	t.since.Store(r.h.now())
	if t.at == len(t.rels) {
		t.state.Store(answered)
		return nil
	}
	t.state.Store(working)
	return nil
}

func (r *root) watch(t *task) error {
	r.pack.Reset(t.seq)
	r.pack.Send = func(packet []byte) error { return r.deliver(t, packet) }
	for i, rel := range t.rels {
		t.at = i
		t.since.Store(r.h.now())
		if err := r.directory(t, rel); err != nil {
			return err
		}
	}
	t.at = len(t.rels)
	return r.pack.Finish()
}

// directory watches and lists one directory, in this order, so that what is
// made in between is an event, an entry or both. The descriptor is opened
// before, which is no matter: entries are read by getdents64.
func (r *root) directory(t *task, rel string) error {
	dir := ipc.Dir{Index: uint16(t.at), WD: -1}
	fd, e := r.open(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if e == 0 {
		defer r.h.closeFD(fd)
		e = r.statx(fd, "")
		dir.Ino = r.st.Ino
	}
	if e == 0 && t.watch.Watch {
		dir.WD, e = r.place(fd)
	}
	if err := r.pack.Open(dir); err != nil {
		return err
	}
	if e == 0 || e == unix.ENOSPC && t.watch.Watch {
		failed, err := r.list(t, fd)
		if err != nil {
			return err
		}
		if failed != 0 {
			e = failed
		}
	}
	r.pack.Close(ipc.Status(e))
	return nil
}

// place watches an open directory. fchdir and "." need no path and no /proc,
// and nobody can exchange what is open.
func (r *root) place(fd int) (int32, unix.Errno) {
	if r.MaxWatches > 0 && r.watches >= r.MaxWatches {
		return -1, unix.ENOSPC
	}
	if e := sys.Fchdir(fd); e != 0 {
		return -1, e
	}
	wd, e := sys.InotifyAddWatch(r.inotify, []byte(".\x00"), ipc.InotifyMask)
	if wd > r.lastWD { // they count up, and a watched directory keeps its own
		r.lastWD = wd
		r.watches++
	}
	return wd, e
}

// list adds the entries of an open directory. The first result says why the
// listing is not complete.
func (r *root) list(t *task, fd int) (failed unix.Errno, err error) {
	for {
		n, e := sys.Getdents(fd, r.dents)
		if e != 0 {
			return e, nil
		}
		if n == 0 {
			return failed, nil
		}
		t.since.Store(r.h.now())
		for rest := r.dents[:n]; len(rest) > 0; {
			var name []byte
			if name, rest = sys.NextDirent(rest); name == nil {
				return unix.EPROTO, nil
			}
			if string(name) == ".\x00" || string(name) == "..\x00" {
				continue
			}
			e := sys.Statx(fd, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, wanted, &r.st)
			switch {
			case e == unix.ENOENT: // gone since
			case e == 0 && r.foreign():
			case e != 0:
				failed = e
			case len(name)-1 > unix.NAME_MAX:
				failed = unix.ENAMETOOLONG
			default:
				x := entry(&r.st)
				if !t.watch.All && x.Kind != ipc.KindDir && x.Kind < ipc.KindSocket && x.Nlink < 2 {
					continue
				}
				if err := r.pack.Add(x, name[:len(name)-1]); err != nil {
					return 0, err
				}
			}
		}
	}
}

func (r *root) stat(t *task) error {
	r.answer.Stats = r.answer.Stats[:0]
	parent, fd, e := "", r.FD, unix.Errno(0)
	for _, rel := range t.rels {
		t.since.Store(r.h.now())
		dir, name := "", rel
		if i := strings.LastIndexByte(rel, '/'); i >= 0 {
			dir, name = rel[:i], rel[i+1:]
		}
		if dir != parent { // else the one that is open serves again
			if fd != r.FD && e == 0 {
				r.h.closeFD(fd)
			}
			parent = dir
			if fd, e = r.FD, 0; dir != "" {
				fd, e = r.open(dir, unix.O_PATH|unix.O_DIRECTORY)
			}
		}
		r.answer.Stats = append(r.answer.Stats, r.look(fd, e, name))
	}
	if fd != r.FD && e == 0 {
		r.h.closeFD(fd)
	}
	var err error
	if r.packet, err = ipc.Append(r.packet[:0], t.seq, &r.answer); err != nil {
		return err
	}
	t.at = len(t.rels)
	return r.deliver(t, r.packet)
}

// look says what name is in the directory fd, which was opened with e.
func (r *root) look(fd int, e unix.Errno, name string) ipc.PathStat {
	if e == 0 {
		e = r.statx(fd, name)
	}
	if e == 0 && r.foreign() {
		e = unix.EXDEV
	}
	if e != 0 {
		return ipc.PathStat{Status: ipc.Status(e)}
	}
	x := entry(&r.st)
	return ipc.PathStat{Kind: x.Kind, Nlink: x.Nlink, Ino: x.Ino, Size: x.Size}
}

// open resolves rel below the root, in one call.
func (r *root) open(rel string, flags uint64) (int, unix.Errno) {
	if rel == "" {
		rel = "."
	}
	r.path = append(append(r.path[:0], rel...), 0)
	return sys.Openat2(r.FD, r.path, flags, r.resolve)
}

// statx is about one name in an open directory, or about the directory.
func (r *root) statx(fd int, name string) unix.Errno {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	r.path = append(append(r.path[:0], name...), 0)
	return sys.Statx(fd, r.path, flags, wanted, &r.st)
}

// foreign tells whether st is of a mount that is not the root's to show.
func (r *root) foreign() bool { return !r.CrossMounts && r.st.Mnt_id != r.mount }

func entry(st *unix.Statx_t) ipc.Entry {
	kinds := [16]ipc.Kind{unix.S_IFREG >> 12: ipc.KindFile, unix.S_IFDIR >> 12: ipc.KindDir,
		unix.S_IFLNK >> 12: ipc.KindLink, unix.S_IFIFO >> 12: ipc.KindFIFO, unix.S_IFSOCK >> 12: ipc.KindSocket,
		unix.S_IFCHR >> 12: ipc.KindChar, unix.S_IFBLK >> 12: ipc.KindBlock}
	return ipc.Entry{Kind: kinds[st.Mode>>12], Nlink: st.Nlink, Ino: st.Ino, Size: st.Size}
}
