// Package uidpool gives a worker a uid that nobody else on the host has.
//
// Trust: linked into the supervisor, which is root.
//
// Invariants: a uid is used by one lease at a time on the whole host (a locked
// file in a directory that only root can write to); a uid of the pool has no
// passwd line and no running process; it is never root's and never nobody's.
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
)

// Lease is a uid in use.
type Lease struct {
	UID, GID int
	lock     *os.File // nil for a user of the host's
}

// Take gives the preferred user's ids where the host has such a user, else a
// free uid of the pool, locked in dir.
func Take(dir, preferred string) (*Lease, error) {
	if u, err := user.Lookup(preferred); err == nil {
		return known(u)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("uid registry: %w", err)
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	busy, err := running()
	if err != nil {
		return nil, err
	}
	for uid := First; uid <= Last; uid++ {
		if _, err := user.LookupId(strconv.Itoa(uid)); err == nil || busy[uid] {
			continue
		}
		lock, err := try(filepath.Join(dir, strconv.Itoa(uid)))
		if err != nil {
			return nil, err
		}
		if lock != nil {
			return &Lease{UID: uid, GID: uid, lock: lock}, nil
		}
	}
	return nil, fmt.Errorf("uid registry: every uid from %d to %d is taken; see %s", First, Last, dir)
}

// known uses a user of the host's, unless it is root or nobody: what runs as
// one of those shares its uid with others.
func known(u *user.User) (*Lease, error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("user %s: %w", u.Username, err)
	}
	if uid == 0 || gid == 0 || uid == 65534 {
		return nil, fmt.Errorf("user %s has uid %d and gid %d, which others use; name a user of its own", u.Username, uid, gid)
	}
	return &Lease{UID: uid, GID: gid}, nil
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

// try locks a uid's file; nil: somebody has it.
func try(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("uid registry: %w", err)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == unix.EWOULDBLOCK:
		return nil, f.Close()
	case err != nil:
		return nil, errors.Join(fmt.Errorf("uid registry: flock: %w", err), f.Close())
	}
	// The file may have been removed between open and lock: then the lock
	// holds nothing, and the next uid is as good.
	var open, there unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &open); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := unix.Lstat(path, &there); err != nil || there.Ino != open.Ino || there.Dev != open.Dev {
		return nil, f.Close()
	}
	return f, nil
}

// running lists the real uids of all processes, by the owners of /proc's
// directories and, for those that are not dumpable, of their status.
func running() (map[int]bool, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("uid registry: %w", err)
	}
	busy := make(map[int]bool)
	for _, en := range entries {
		if _, err := strconv.Atoi(en.Name()); err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", en.Name(), "status"))
		if err != nil {
			continue // it has ended
		}
		for _, uid := range uids(data) {
			busy[uid] = true
		}
	}
	return busy, nil
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
