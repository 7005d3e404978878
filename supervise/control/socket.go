package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
)

// backlog is how many clients may wait to be taken.
const backlog = 16

// Place is where the socket is, and whose.
type Place struct {
	Path     string // absolute, and without symbolic links
	Mode     uint32
	UID, GID int
}

// socket is the listening socket, and its name.
type socket struct {
	file *os.File
	path string
	dir  *os.File // of it, which root alone can write
	name string
	ours unix.Stat_t
	gone bool // it was closed
}

// listen makes the socket. Nothing that is there is replaced, but a socket at
// which nobody listens: what a lockstep that was killed left.
func listen(c Place) (s *socket, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("control_socket %s: %w", escape.Name(c.Path), err)
		}
	}()
	dir, err := unix.Open(filepath.Dir(c.Path), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("its directory: %w", err)
	}
	s = &socket{path: c.Path, dir: os.NewFile(uintptr(dir), "directory"), name: filepath.Base(c.Path)}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Join(err, s.dir.Close())
	}
	err = s.bind(fd)
	made := err == nil
	if made {
		// Until it listens nobody can connect, so that its mode of this moment
		// lets nobody in.
		err = errors.Join(
			unix.Fchownat(dir, s.name, c.UID, c.GID, unix.AT_SYMLINK_NOFOLLOW),
			unix.Fchmodat(dir, s.name, c.Mode, 0),
			unix.Fstatat(dir, s.name, &s.ours, unix.AT_SYMLINK_NOFOLLOW),
		)
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	s.file = os.NewFile(uintptr(fd), "control")
	if err != nil {
		if made {
			err = errors.Join(err, unix.Unlinkat(dir, s.name, 0))
		}
		return nil, errors.Join(err, s.file.Close(), s.dir.Close())
	}
	return s, nil
}

// bind gives the socket its name, by way of the directory that is held.
func (s *socket) bind(fd int) error {
	at := &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(int(s.dir.Fd())) + "/" + s.name}
	err := unix.Bind(fd, at)
	if !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(s.dir.Fd()), s.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.New("is there, and is no socket; name another, or remove it")
	}
	try, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	err = unix.Connect(try, at)
	if e := unix.Close(try); e != nil {
		return e
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return errors.New("is in use by another program; name another, or stop that one")
	}
	if err := unix.Unlinkat(int(s.dir.Fd()), s.name, 0); err != nil {
		return err
	}
	return unix.Bind(fd, at)
}

// close removes the name, if it is still that of this socket.
func (s *socket) close() error {
	if s.gone {
		return nil
	}
	s.gone = true
	var now unix.Stat_t
	err := unix.Fstatat(int(s.dir.Fd()), s.name, &now, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && now.Dev == s.ours.Dev && now.Ino == s.ours.Ino && now.Mode&unix.S_IFMT == unix.S_IFSOCK:
		err = unix.Unlinkat(int(s.dir.Fd()), s.name, 0)
	case err == nil || errors.Is(err, unix.ENOENT):
		err = nil // another's, or nobody's
	}
	return errors.Join(err, s.file.Close(), s.dir.Close())
}

// wait waits until somebody wants to connect: an error once its deadline has passed. It
// reads nothing.
func (s *socket) wait() error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		list := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, e := unix.Poll(list, 0)
		if e != nil && !errors.Is(e, unix.EINTR) {
			failed = e
			return true
		}
		return n > 0
	})
	return errors.Join(err, failed)
}
