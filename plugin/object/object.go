// Package object opens the shared object of a module, and says whether anybody
// else could have put it there.
//
// Trust: Open is the supervisor's; Check is also the host's, which does not
// believe who started it. The content is not looked at.
//
// Invariant: what Open returns is the file that was checked, and it was reached
// through directories in which only root and the owner can exchange a name.
package object

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/config/owned"
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
	// Who can exchange a link chooses which object is loaded, even if each of
	// those is root's.
	if err := owned.Check(path, 0, owner); err != nil {
		return nil, fmt.Errorf("module %q is refused: %w; only root (or the owner that is configured) may be able to change it or a directory above it", path, err)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("module %q: %w", path, err)
	}
	file, err := openExact(real, owner)
	if err != nil {
		return nil, fmt.Errorf("module %q is refused: %w", path, err)
	}
	return file, nil
}

// openExact goes down from /, one name after the other and through no link, and
// checks what it is at each step by its descriptor.
func openExact(path string, owner uint32) (*os.File, error) {
	dir, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /: %w", err)
	}
	defer func() { _ = unix.Close(dir) }() // O_PATH: nothing is lost
	names := strings.Split(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	at := "/"
	for i, name := range names {
		if err := checkDir(dir, owner); err != nil {
			return nil, fmt.Errorf("the directory %q %w", at, err)
		}
		at = filepath.Join(at, name)
		// The object is not a FIFO for whose writer open(2) would wait.
		flags := uint64(unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY)
		if i < len(names)-1 {
			flags = unix.O_PATH | unix.O_DIRECTORY
		}
		next, err := unix.Openat2(dir, name, &unix.OpenHow{
			Flags:   flags | unix.O_CLOEXEC, // O_NOFOLLOW would make a link ENOTDIR
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
		})
		if errors.Is(err, unix.ELOOP) {
			return nil, fmt.Errorf("%q is a symbolic link; name what it leads to", at)
		}
		if err != nil {
			return nil, fmt.Errorf("open %q: %w", at, err)
		}
		if i == len(names)-1 {
			return checked(next, at, owner)
		}
		_ = unix.Close(dir)
		dir = next
	}
	return nil, errors.New("it is the root directory")
}

func checked(fd int, path string, owner uint32) (*os.File, error) {
	if err := Check(fd, owner); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), nil
}

// checkDir refuses a directory in which others could exchange a name. Where
// others may write, root's sticky bit keeps them from what is not theirs.
func checkDir(fd int, owner uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("fstat: %w", err)
	}
	if !slices.Contains([]uint32{0, owner}, st.Uid) {
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
