package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
)

// RuntimeLock is the lock on a runtime directory: a flock, so that it ends
// with its holder whatever happens.
type RuntimeLock struct {
	dir  string
	file *os.File
}

// LockRuntime makes the runtime directory and locks it, or says who has it.
func LockRuntime(dir string) (*RuntimeLock, error) {
	name := escape.Name(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("runtime directory %s: %w", name, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("runtime directory %s: %w", name, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return nil, fmt.Errorf("runtime directory %s: %w", name, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != 0 || st.Mode&0o022 != 0 {
		return nil, fmt.Errorf("runtime directory %s: must be a directory of root's that nobody else can write; remove it, or name another with --runtime-dir", name)
	}
	file, err := lockFile(filepath.Join(dir, "lock"))
	var used inUse
	if errors.As(err, &used) {
		err = fmt.Errorf("%w; stop that one, or give this one another --runtime-dir", used)
	}
	if err != nil {
		return nil, fmt.Errorf("runtime directory %s: %w", name, err)
	}
	return &RuntimeLock{dir, file}, nil
}

// TargetLock keeps a second mirror, from another source or with another runtime
// directory, away from a target: each would delete what the other copies.
type TargetLock struct{ file *os.File }

// LockTarget locks target by the file at path, or says who has it.
func LockTarget(path, target string) (*TargetLock, error) {
	file, err := lockFile(path)
	var used inUse
	if errors.As(err, &used) {
		err = fmt.Errorf("%w; stop that one, or name another target", used)
	}
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", escape.Name(target), err)
	}
	return &TargetLock{file}, nil
}

// Release removes the file, and unlocks.
func (l *TargetLock) Release() error { return errors.Join(os.Remove(l.file.Name()), l.file.Close()) }

// lockFile makes and locks a file.
func lockFile(path string) (*os.File, error) {
	for {
		if file, err := tryLock(path); file != nil || err != nil {
			return file, err
		}
	}
}

// tryLock returns nil, nil when the file was removed by its holder between
// open and flock: then there is a new one to be made.
func tryLock(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock file: %w", err)
	}
	file := os.NewFile(uintptr(fd), path)
	err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(holder(file), file.Close())
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err == nil && st.Nlink == 0 {
		return nil, file.Close()
	}
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(file, "%d\n", os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock file: %w", err), file.Close())
	}
	return file, nil
}

// inUse is the error of a lock that another has.
type inUse struct{ pid string }

func (e inUse) Error() string { return "is in use by another lockstep (pid " + e.pid + ")" }

// InUse says that a lock could not be taken because another has it.
func InUse(err error) bool {
	var used inUse
	return errors.As(err, &used)
}

// holder names the holder of the lock.
func holder(file *os.File) error {
	const longest = 16
	data, err := io.ReadAll(io.LimitReader(file, longest))
	pid := strings.TrimSpace(string(data))
	if err != nil || pid == "" || strings.Trim(pid, "0123456789") != "" {
		pid = "unknown"
	}
	return inUse{pid}
}

// Release removes the lock file, and the directory when nothing else is in it,
// and unlocks. The parents stay: others may have theirs in them.
func (l *RuntimeLock) Release() error {
	err := os.Remove(l.file.Name())
	if e := unix.Rmdir(l.dir); e != nil && !errors.Is(e, unix.ENOTEMPTY) && !errors.Is(e, unix.EBUSY) {
		err = errors.Join(err, fmt.Errorf("runtime directory %s: %w", escape.Name(l.dir), e))
	}
	return errors.Join(err, l.file.Close())
}
