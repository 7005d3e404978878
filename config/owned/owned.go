// Package owned says whether a file is one that only root could have put in
// place.
//
// Trust: linked into the supervisor. It reads owners and modes, no content.
//
// Invariant: what is safe at the end of a path is safe at each step of the way.
package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"lockstep/internal/follow"
)

// Check refuses a program or file that somebody else could have put in
// place: it, every directory on the way to it and every symbolic link there must
// belong to one of owners, and nobody else may write to it and to the directories
// (for them the sticky bit is enough, since it keeps others from replacing what is
// not theirs). The path must be absolute.
func Check(path string, owners ...uint32) error {
	real, err := follow.Path(path, func(dir string) error { return checkOne(dir, owners) }, func(l follow.Link) error {
		if !slices.Contains(owners, l.UID) { // in a directory with the sticky bit
			return fmt.Errorf("%s, a link, belongs to uid %d", l.Path, l.UID)
		}
		return nil
	})
	if err != nil {
		return Reason(err)
	}
	return checkOne(real, owners)
}

func checkOne(path string, owners []uint32) error {
	info, err := os.Stat(path)
	if err != nil {
		return Reason(err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: has no owner", path)
	}
	if !slices.Contains(owners, st.Uid) {
		return fmt.Errorf("%s belongs to uid %d", path, st.Uid)
	}
	if info.IsDir() && st.Mode&syscall.S_ISVTX != 0 {
		return nil
	}
	if st.Mode&0o002 != 0 || (st.Mode&0o020 != 0 && st.Gid != 0) {
		return fmt.Errorf("%s can be written by others (mode %04o)", path, st.Mode&0o7777)
	}
	if st.Mode&0o020 == 0 {
		return nil
	}
	return checkACL(path)
}

// checkACL refuses an access control list. The bits of the group are then the
// most that any of those named in it may do, and say nothing of who they are.
func checkACL(path string) error {
	_, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	switch {
	case err == nil:
		return fmt.Errorf("%s can be written by others (its access control list; see getfacl)", path)
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return nil
	}
	return fmt.Errorf("%s: its access control list cannot be read: %w", path, err)
}

// Reason is an error without the path that a message names already.
func Reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
