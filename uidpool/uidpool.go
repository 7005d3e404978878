// Package uidpool gives a worker a uid that nobody else on the host has.
//
// Trust: linked into the supervisor, which is root.
//
// Invariants: a uid is used by one lease at a time on the whole host (a locked
// file in a directory that only root can write to); a uid of the pool has no
// line in passwd or group and no running process; it is never root's and never
// nobody's. What cannot be found out counts as taken.
package uidpool

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// The pool: systemd's dynamic users (DynamicUser=, systemd.exec(5)), which no
// distribution gives to a person.
const (
	First = 61184
	Last  = 65519

	// nobody is the overflow uid and gid, which the kernel shows for every id
	// that it cannot map.
	nobody = 65534
)

// Lease is a uid in use.
type Lease struct {
	UID, GID int
	lock     *os.File
}

// Take leases the preferred user's ids where the host has such a user and no
// other instance has them, else a free uid of the pool (its gid is the same
// number). dir is the registry, the same for all instances on the host.
func Take(dir, preferred string) (*Lease, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("uid registry: %w", err)
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	u, err := user.Lookup(preferred)
	if err != nil && !absent(err) {
		return nil, fmt.Errorf("user %q: %w", preferred, err)
	}
	if err == nil {
		lease, err := known(dir, u)
		if lease != nil || err != nil {
			return lease, err
		}
	}
	for uid := First; uid <= Last; uid++ {
		lease, err := free(dir, uid)
		if lease != nil || err != nil {
			return lease, err
		}
	}
	return nil, fmt.Errorf("uid registry: every uid from %d to %d is taken; see %s", First, Last, dir)
}

// Own is the lease of who is not root: these ids are the supervisor's own, and of
// all that its user runs.
func Own(uid, gid int) *Lease { return &Lease{UID: uid, GID: gid} }

// absent reports whether a look-up failed because there is no such line, or no
// such file at all.
func absent(err error) bool {
	var (
		name  user.UnknownUserError
		uid   user.UnknownUserIdError
		group user.UnknownGroupIdError
	)
	return errors.As(err, &name) || errors.As(err, &uid) || errors.As(err, &group) || errors.Is(err, os.ErrNotExist)
}

// known leases a user of the host's, unless it is root or nobody: what runs as
// one of those shares its uid with others. Nil: another instance has it.
func known(dir string, u *user.User) (*Lease, error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	if uid <= 0 || gid <= 0 || uid == nobody || gid == nobody {
		return nil, fmt.Errorf("user %s has uid %d and gid %d, which others use; name a user of its own", u.Username, uid, gid)
	}
	lock, err := try(filepath.Join(dir, u.Uid))
	if lock == nil || err != nil {
		return nil, err
	}
	return &Lease{UID: uid, GID: gid, lock: lock}, nil
}

// free leases a uid of the pool; nil: somebody has it. It is locked first: what
// is found out then stays true.
func free(dir string, uid int) (*Lease, error) {
	id := strconv.Itoa(uid)
	_, uerr := user.LookupId(id)
	_, gerr := user.LookupGroupId(id)
	if uerr == nil || gerr == nil {
		return nil, nil
	}
	if !absent(uerr) || !absent(gerr) {
		return nil, fmt.Errorf("uid registry: look up %d: %w", uid, errors.Join(uerr, gerr))
	}
	lock, err := try(filepath.Join(dir, id))
	if lock == nil || err != nil {
		return nil, err
	}
	lease := &Lease{UID: uid, GID: uid, lock: lock}
	busy, err := running(uid)
	if busy || err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	return lease, nil
}

// private refuses a registry that others could write to.
func private(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("uid registry %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != uint32(os.Geteuid()) || st.Mode&0o022 != 0 {
		return fmt.Errorf("uid registry %s is not a directory of ours that others cannot write to; remove it", dir)
	}
	return nil
}

// try locks a uid's file; nil: somebody has it. The lock goes with the process.
func try(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("uid registry: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("uid registry: flock: %w", err), f.Close())
	}
	// The file may have been removed between open and lock: then the lock
	// holds nothing, and the next uid is as good.
	var open, there unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &open); err != nil {
		return nil, errors.Join(fmt.Errorf("uid registry: %w", err), f.Close())
	}
	if err := unix.Lstat(path, &there); err != nil || there.Ino != open.Ino || there.Dev != open.Dev {
		return nil, f.Close()
	}
	return f, nil
}

// running reports whether a process has uid as one of its four (real,
// effective, saved, file system). Their /proc status says it; the owner of
// /proc/PID does not: root's, when the process is not dumpable.
func running(uid int) (bool, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false, fmt.Errorf("uid registry: %w", err)
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return false, fmt.Errorf("uid registry: %w", err)
		}
		has, err := hasUID(data, uid)
		if has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// Release gives the uid back. The file goes first, while it is locked.
func (l *Lease) Release() error {
	if l.lock == nil {
		return nil
	}
	err := errors.Join(os.Remove(l.lock.Name()), l.lock.Close())
	l.lock = nil
	return err
}
