// Package fanotify makes the event queue of a whole file system, and says where
// there can be none.
//
// Trust: linked into the supervisor, which alone may place such marks. It reads
// nothing from the queue.
//
// Invariants: the mark is on the file system of the directory that was meant,
// whatever has its name by now; no descriptor in it is kept.
package fanotify

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
)

// Mask is what is asked of the kernel: all that changes a tree, of directories
// as well. A rename is told once, with both its ends.
const Mask = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_RENAME | unix.FAN_MODIFY | unix.FAN_CLOSE_WRITE | unix.FAN_ATTRIB | unix.FAN_ONDIR

// Tree is the directory that is meant: Dev and Ino (st_dev, st_ino) are what it
// was found to be; 0: not compared.
type Tree struct {
	Path     string
	Dev, Ino uint64
}

// Open makes a queue and marks the file system on which the tree is. It is not
// served by this process's poller, and it does not block who reads it.
//
// The queue has no bound of the kernel's: who reads it sees to that.
func Open(t Tree) (*os.File, error) {
	dir, err := unix.Openat2(unix.AT_FDCWD, t.Path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, fmt.Errorf("fanotify: %s: %w", escape.Name(t.Path), err)
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return nil, fmt.Errorf("fanotify: %s: %w", escape.Name(t.Path), err)
	}
	if (t.Dev != 0 || t.Ino != 0) && (st.Dev != t.Dev || st.Ino != t.Ino) {
		return nil, fmt.Errorf("fanotify: %s is no longer the directory that it was", escape.Name(t.Path))
	}
	f, err := mark(dir)
	if err != nil {
		return nil, fmt.Errorf("fanotify: %s: %w; monitor = \"inotify\" or \"poll\" works without", escape.Name(t.Path), err)
	}
	return f, nil
}

// Probe says why there can be no such queue for what is at path now; nil: there
// can be one.
func Probe(path string) error {
	f, err := Open(Tree{Path: path})
	if err != nil {
		return err
	}
	return f.Close()
}

// mark does Open's work on an open directory.
func mark(dir int) (*os.File, error) {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_DFID_NAME_TARGET|unix.FAN_UNLIMITED_QUEUE|unix.FAN_CLOEXEC, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, reason("fanotify_init", err)
	}
	// Non-blocking only when it is wrapped: os.NewFile would give a non-blocking
	// one to this process's poller, which would then wake for each event.
	f := os.NewFile(uintptr(fd), "fanotify")
	err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, Mask, dir, ".")
	if err != nil {
		err = reason("fanotify_mark", err)
	} else {
		err = resolves(dir)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// resolves tries what the resolver will do with each event: a directory's handle
// becomes that directory again. (An overlay without nfs_export makes handles that
// nobody can open.)
func resolves(dir int) error {
	mount, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	handle, _, err := unix.NameToHandleAt(dir, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return reason("name_to_handle_at", err)
	}
	fd, err := unix.OpenByHandleAt(mount, handle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return reason("open_by_handle_at", err)
	}
	defer unix.Close(fd)
	var was, is unix.Stat_t
	if err := errors.Join(unix.Fstat(dir, &was), unix.Fstat(fd, &is)); err != nil {
		return err
	}
	if was.Dev != is.Dev || was.Ino != is.Ino {
		return errors.New("open_by_handle_at: the handle of one directory opened another")
	}
	return nil
}

// reason says what the kernel's refusals mean.
func reason(call string, err error) error {
	why := ""
	switch {
	case errors.Is(err, unix.ENOSYS):
		why = "the kernel is built without it"
	case errors.Is(err, unix.EINVAL):
		why = "the kernel is older than Linux 5.17"
	case errors.Is(err, unix.EPERM):
		why = "CAP_SYS_ADMIN is missing: in a container, its host's is needed"
	case errors.Is(err, unix.EMFILE):
		why = "raise fs.fanotify.max_user_groups by sysctl"
	case errors.Is(err, unix.ENOSPC):
		why = "raise fs.fanotify.max_user_marks by sysctl"
	case errors.Is(err, unix.EXDEV):
		why = "a subvolume, which has another number than its file system: only the whole of it can be marked"
	case errors.Is(err, unix.ENODEV):
		why = "the file system has no number by which events could name it"
	case errors.Is(err, unix.EOPNOTSUPP):
		why = "the file system's directories have no handles that can be opened (an overlay needs nfs_export=on)"
	case errors.Is(err, unix.ESTALE):
		why = "the file system's handles cannot be opened again"
	default:
		return fmt.Errorf("%s: %w", call, err)
	}
	return fmt.Errorf("%s: %w: %s", call, err, why)
}
