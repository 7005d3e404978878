// Package object opens the shared object of a module, and says whether anybody
// else could have put it there.
//
// Trust: Open is the supervisor's; Check is also the host's, which does not
// believe who started it. The content is not looked at.
// Imports: the standard library, x/sys and internal/follow.
//
// Invariant: what Open returns is the file that was checked, and it was reached
// through directories in which only root and the owner can exchange a name.
package object

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/follow"
)

// Check refuses what could be another's: the file must be a regular one of root
// or of the owner, without setuid, setgid or sticky bit, and nobody else may
// write to it. (Without the group's bit, an access control list gives nobody
// the right to write either.)
func Check(fd int, owner uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("fstat: %w", err)
	}
	mode := st.Mode & 0o7777
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it is no regular file; name a shared object, such as mirror.so")
	case st.Uid != 0 && st.Uid != owner:
		return fmt.Errorf("it belongs to uid %d, who could exchange it; give it to root: chown root", st.Uid)
	case mode&0o7000 != 0:
		return fmt.Errorf("it has a setuid, setgid or sticky bit (mode %04o), which a shared object has no use for: chmod u-s,g-s,-t", mode)
	case mode&0o022 != 0:
		return fmt.Errorf("others can write to it (mode %04o): chmod go-w", mode)
	}
	return nil
}

// Open opens a shared object by its absolute path. Its symbolic links are
// resolved once, and each place that they lead through is checked; what is
// opened after that has none.
func Open(path string, owner uint32) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("module %q: the path must begin with /", path)
	}
	real, err := resolve(path, owner)
	if err != nil {
		return nil, fmt.Errorf("module %q is refused: %w", path, err)
	}
	file, err := openExact(real, owner)
	if err != nil {
		return nil, fmt.Errorf("module %q is refused: %w", path, err)
	}
	return file, nil
}

// resolve is path without symbolic links. Who can exchange one of them, or a
// directory on the way to it, chooses which object is loaded, even if each of
// those is root's; so nobody else may. (Of a directory that was checked, what is
// looked up in it can be exchanged by root and the owner alone.)
func resolve(path string, owner uint32) (string, error) {
	return follow.Path(path, func(at string) error {
		var st unix.Stat_t
		if err := unix.Stat(at, &st); err != nil {
			return fmt.Errorf("stat %q: %w", at, err)
		}
		if err := checkDir(&st, owner); err != nil {
			return fmt.Errorf("the directory %q %w", at, err)
		}
		return nil
	}, func(l follow.Link) error {
		if l.UID != 0 && l.UID != owner { // in a directory with the sticky bit
			return fmt.Errorf("the link %q belongs to uid %d, who could exchange it; name what it leads to", l.Path, l.UID)
		}
		return nil
	})
}

// openExact goes down from /, one name after the other and through no link, and
// checks what it is at each step by its descriptor.
func openExact(path string, owner uint32) (*os.File, error) {
	if path = filepath.Clean(path); path == "/" {
		return nil, errors.New("it is the root directory; name a shared object, such as /usr/lib/mirror.so")
	}
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /: %w", err)
	}
	at, name, rest, more := "/", "", path[1:], true
	for more {
		name, rest, more = strings.Cut(rest, "/")
		next, err := step(dir, at, name, more, owner)
		_ = unix.Close(dir) // O_PATH: nothing is lost
		if err != nil {
			return nil, err
		}
		dir, at = next, filepath.Join(at, name)
	}
	return checked(dir, at, owner)
}

// step opens a name in the directory dir, whose path is at: another directory,
// or the object.
func step(dir int, at, name string, isDir bool, owner uint32) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return -1, fmt.Errorf("fstat %q: %w", at, err)
	}
	if err := checkDir(&st, owner); err != nil {
		return -1, fmt.Errorf("the directory %q %w", at, err)
	}
	// Should the object be a FIFO, open(2) must not wait for its writer.
	flags := uint64(unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY)
	if isDir {
		flags = unix.O_PATH | unix.O_DIRECTORY
	}
	next, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC, // O_NOFOLLOW would make a link ENOTDIR
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	switch {
	case errors.Is(err, unix.ELOOP):
		return -1, fmt.Errorf("%q is a symbolic link; name what it leads to", filepath.Join(at, name))
	case err != nil:
		return -1, fmt.Errorf("open %q: %w", filepath.Join(at, name), err)
	}
	return next, nil
}

func checked(fd int, path string, owner uint32) (*os.File, error) {
	if err := Check(fd, owner); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

// checkDir refuses a directory in which others could exchange a name. Where
// others may write, root's sticky bit keeps them from what is not theirs.
func checkDir(st *unix.Stat_t, owner uint32) error {
	if st.Uid != 0 && st.Uid != owner {
		return fmt.Errorf("belongs to uid %d, who could exchange what is in it", st.Uid)
	}
	if st.Mode&0o022 != 0 && (st.Mode&unix.S_ISVTX == 0 || st.Uid != 0) {
		return fmt.Errorf("can be written by others (mode %04o); use another one, or chmod go-w", st.Mode&0o7777)
	}
	return nil
}

// Path is a path by which the loader finds the very file that fd is. That is
// fd's own in /proc, which nobody can exchange; else, in a jail without /proc,
// the given one, which leads to the same file and is as safe as the jail's root.
func Path(fd int, given string) (string, error) {
	return first(fd, "/proc/self/fd/"+strconv.Itoa(fd), given)
}

// first is the first of paths that leads to the file that fd is.
func first(fd int, paths ...string) (string, error) {
	var want unix.Stat_t
	if err := unix.Fstat(fd, &want); err != nil {
		return "", fmt.Errorf("fstat: %w", err)
	}
	for _, path := range paths {
		var st unix.Stat_t
		if path != "" && unix.Stat(path, &st) == nil && st.Dev == want.Dev && st.Ino == want.Ino {
			return path, nil
		}
	}
	return "", fmt.Errorf("no path leads to it: each of %q is another file or none", paths)
}
