package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"lockstep/config/owned"
	"lockstep/internal/escape"
	"lockstep/rootid"
	"lockstep/trail"
)

// kept is what is written down of a trail, over itself with each record: keys that
// are used up are nowhere any more, as far as the disk forgets what is overwritten.
type kept struct {
	trail.State
	File   uint64 // the file in use; 0: there was none yet
	Offset int64  // where the next record belongs in it
	Ended  bool   // its last record says that the next file follows
	Clean  bool   // a stop was recorded, and no start after it
}

// keptSize is that of the file, whatever is in it: it never grows, so that no full
// disk keeps a key from being forgotten.
const keptSize = 512

const keptVersion = 1

type keptFile struct {
	Version int `json:"version"`
	kept
}

func (s *Store) save() error {
	s.unkept = true
	data, err := json.Marshal(keptFile{keptVersion, s.kept})
	defer func() { clear(data) }() // of secrets
	if err != nil || len(data) >= keptSize {
		return errors.Join(fmt.Errorf("keys of %d bytes", len(data)), err)
	}
	whole := append(bytes.Repeat([]byte{' '}, keptSize-1), '\n')
	copy(whole, data)
	defer clear(whole)
	if _, err := s.keys.WriteAt(whole, 0); err != nil {
		return fmt.Errorf("the keys of the audit trail cannot be written: %w", err)
	}
	s.unkept = false
	return nil
}

// load reads what was written down; known is false when nothing was.
func (s *Store) load() (known bool, err error) {
	data, err := io.ReadAll(io.LimitReader(io.NewSectionReader(s.keys, 0, keptSize+1), keptSize+1))
	if err != nil || len(data) == 0 {
		return false, err
	}
	var k keptFile
	if err := json.Unmarshal(data, &k); err != nil || len(data) != keptSize || k.Version != keptVersion || len(k.Prev) != len(trail.Zero) || k.Offset < 0 {
		return false, fmt.Errorf("its keys (%s) are damaged, or of another version of lockstep: move them and the files to another place, and a new trail begins", escape.Name(s.keys.Name()))
	}
	s.kept = k.kept
	return true, nil
}

// openDir makes a directory where there is none, and refuses one that others could
// have written to.
func openDir(path string) (*os.File, error) {
	if err := unix.Mkdir(path, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("cannot be made: %w; make its parent, or name another directory with audit_dir", err)
	}
	if err := owned.Check(filepath.Dir(path), 0, uint32(os.Geteuid())); err != nil {
		return nil, fmt.Errorf("its parent is not safe: %w; name another directory with audit_dir", err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot be opened: %w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0) {
		err = fmt.Errorf("belongs to uid %d, mode %04o; only root may own it and write to it: run: chown root %[3]s && chmod 0700 %[3]s", st.Uid, st.Mode&0o7777, escape.Name(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openKeys opens and locks the file of the keys.
func (s *Store) openKeys() error {
	dir, err := openDir(s.Keys)
	if err != nil {
		return fmt.Errorf("its keys: %w", err)
	}
	f, err := openOwn(dir, s.Name, unix.O_RDWR|unix.O_CREAT)
	if err = errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("its keys: %w", err)
	}
	s.keys = f
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return errors.New("is written by another lockstep; name another directory with audit_dir")
	} else if err != nil {
		return fmt.Errorf("its keys: %w", err)
	}
	return nil
}

// openFile opens a file of the trail to go on with it.
func (s *Store) openFile(n uint64) (*os.File, error) {
	return openOwn(s.dir, FileName(n), unix.O_RDWR|unix.O_APPEND)
}

// openOwn opens a plain file that is ours alone.
func openOwn(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot be opened: %w", err)
	}
	f := os.NewFile(uintptr(fd), filepath.Join(dir.Name(), name))
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 || st.Nlink != 1) {
		err = fmt.Errorf("%s is no plain file of root's alone (uid %d, mode %o, %d names): it is not written to", escape.Name(name), st.Uid, st.Mode, st.Nlink)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// KeysName is the file of the keys of the trail in dir, below the state directory.
func KeysName(dir string) string { return "audit-" + rootid.Key(dir, "") }

// numbers are those of the files that there are, in order.
func numbers(dir *os.File) (out []uint64, err error) {
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		if n, ok := number(name); ok {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, err
}

// highest finds the number of the last file; 0: there is none.
func highest(dir *os.File) (uint64, error) {
	all, err := numbers(dir)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1], nil
}

// Files are the paths of a trail's files, in order.
func Files(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	all, err := numbers(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	var out []string
	for _, n := range all {
		out = append(out, filepath.Join(dir, FileName(n)))
	}
	return out, nil
}

// Anchor is the last record of a trail as its keys have it; known is false where there
// is none. It can be asked while the trail is written.
func Anchor(keys, name string) (seq uint64, sum string, known bool, err error) {
	data, err := os.ReadFile(filepath.Join(keys, name))
	if errors.Is(err, os.ErrNotExist) {
		return 0, "", false, nil
	}
	if err != nil {
		return 0, "", false, err
	}
	var k keptFile
	if err := json.Unmarshal(data, &k); err != nil {
		return 0, "", false, fmt.Errorf("%s: %w", escape.Name(filepath.Join(keys, name)), err)
	}
	return k.Seq - 1, k.Prev, k.Seq > 0, nil
}
