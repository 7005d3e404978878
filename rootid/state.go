package rootid

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
)

// State is what is remembered of one mirror across restarts.
type State struct {
	Version  int      `json:"version"`
	Source   string   `json:"source"`
	Target   string   `json:"target"`
	SourceID Identity `json:"source_identity"`
	TargetID Identity `json:"target_identity"`
	// SourcePoint and TargetPoint: something was mounted right there.
	SourcePoint bool `json:"source_point,omitempty"`
	TargetPoint bool `json:"target_point,omitempty"`
	// Mounts are what was mounted inside the source and was copied
	// (cross_mounts): each must be there, or its copy would be deleted.
	Mounts []Inner `json:"mounts,omitempty"`
	// Unsure is since when the source may have content that the target was not told of,
	// in nanoseconds since 1970: all that had changed before has been copied. 0 in a
	// state of before there was this.
	Unsure  uint64 `json:"unsure_since,omitempty"`
	Entries uint64 `json:"entries,omitempty"` // listed by the last whole walk: the measure of progress of the next
}

// NewState takes the roots as they are for what they must be from now on.
func NewState(source, target string, entries uint64, now Roots) State {
	st := State{Source: source, Target: target, Entries: entries, SourceID: now.Source, TargetID: now.Target,
		SourcePoint: now.SourcePoint, TargetPoint: now.TargetPoint}
	st.Grow(now)
	return st
}

const (
	stateVersion = 1
	maxState     = 1 << 20 // some thousands of mounts
)

// Key names the state and the runtime directory of one mirror.
func Key(source, target string) string {
	sum := sha256.Sum256([]byte(source + "\x00" + target))
	return hex.EncodeToString(sum[:8])
}

// Store is the directory of state files, held open.
type Store struct {
	dir  *os.File
	name string
}

// OpenStore opens (and makes) the state directory and refuses one that others
// than root could have written to. The last component only is made.
func OpenStore(dir, source, target string) (*Store, error) {
	f, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	return &Store{dir: f, name: Key(source, target) + ".json"}, nil
}

// MakeStateDir makes the state directory, and refuses what OpenStore refuses.
func MakeStateDir(dir string) error {
	f, err := openDir(dir)
	if err != nil {
		return err
	}
	return f.Close()
}

func openDir(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("state directory %s: cannot be made: %w; make its parent, or name another with --state-dir", dir, err)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("state directory %s: cannot be opened: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), dir)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
		err = fmt.Errorf("state directory %s: %w", dir, err)
	case st.Uid != 0:
		err = fmt.Errorf("state directory %s: belongs to uid %d; run: chown root %s", dir, st.Uid, dir)
	case st.Mode&0o077 != 0:
		err = fmt.Errorf("state directory %s: others may enter it (mode %04o); run: chmod 0700 %s", dir, st.Mode&0o7777, dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close closes the directory.
func (s *Store) Close() error { return s.dir.Close() }

// LockPath is the file whose lock keeps two mirrors from one target, whatever
// their sources.
func (s *Store) LockPath(target string) string {
	return filepath.Join(s.dir.Name(), "target-"+Key(target, "")+".lock")
}

// Path is where the state file is.
func (s *Store) Path() string { return filepath.Join(s.dir.Name(), s.name) }

// Load returns the remembered state; ok is false when there is none yet. A
// file that cannot be understood is an error: forgetting is no consent.
func (s *Store) Load() (st State, ok bool, err error) {
	fd, err := unix.Openat(int(s.dir.Fd()), s.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, fmt.Errorf("state file %s: cannot be opened: %w", s.Path(), err)
	}
	f := os.NewFile(uintptr(fd), s.name)
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return State{}, false, fmt.Errorf("state file %s: cannot be read: %w", s.Path(), err)
	}
	if err := json.Unmarshal(data, &st); err != nil || len(data) > maxState {
		return State{}, false, fmt.Errorf("state file %s: is damaged; remove it only if source and target are what they should be", s.Path())
	}
	if st.Version != stateVersion {
		return State{}, false, fmt.Errorf("state file %s: has version %d, this lockstep knows %d; use the lockstep that wrote it", s.Path(), st.Version, stateVersion)
	}
	return st, true, nil
}

// Save replaces the state file: written beside it, synced, renamed over it,
// so that a power cut leaves the old one or the new one.
func (s *Store) Save(st State) error {
	st.Version = stateVersion
	data, err := json.MarshalIndent(st, "", "\t")
	if err != nil {
		return fmt.Errorf("state file %s: %w", s.Path(), err)
	}
	data = append(data, '\n')
	if len(data) > maxState { // Load would call it damaged
		return fmt.Errorf("state file %s: would have %d bytes, more than the %d it may have: %d file systems are mounted inside the source; leave --cross-mounts out, or mirror parts of it",
			s.Path(), len(data), maxState, len(st.Mounts))
	}
	if err := s.replace(data); err != nil {
		return fmt.Errorf("state file %s: cannot be written: %w", s.Path(), err)
	}
	return nil
}

func (s *Store) replace(data []byte) error {
	dir, tmp := int(s.dir.Fd()), s.name+".new"
	// What a killed supervisor left under this name is in the way.
	if err := unix.Unlinkat(dir, tmp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	fd, err := unix.Openat(dir, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), tmp)
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, unix.Unlinkat(dir, tmp, 0))
	}
	if err := unix.Renameat(dir, tmp, dir, s.name); err != nil {
		return errors.Join(err, unix.Unlinkat(dir, tmp, 0))
	}
	return s.dir.Sync()
}

// Check compares what is remembered with what is there now, and returns "" or
// what has changed, in words.
func (st State) Check(now Roots) string {
	if now.Tangle != "" {
		return now.Tangle
	}
	if why := st.CheckSource(now); why != "" || now.Alone {
		return why
	}
	if diff := st.TargetID.SameFS(now.Target); diff != "" {
		if st.TargetPoint && !now.TargetPoint {
			return escape.Name(st.Target) + " is not mounted"
		}
		return fmt.Sprintf("%s is not on the file system it was on: %s", escape.Name(st.Target), diff)
	}
	return ""
}

// CheckSource is the part of Check that is about the source.
func (st State) CheckSource(now Roots) string {
	if diff := st.SourceID.Changed(now.Source); diff != "" {
		if st.SourcePoint && !now.SourcePoint {
			return escape.Name(st.Source) + " is not mounted"
		}
		return fmt.Sprintf("%s is not the directory it was: %s", escape.Name(st.Source), diff)
	}
	for _, then := range st.Mounts {
		i := slices.IndexFunc(now.InSource, func(in Inner) bool { return in.Rel == then.Rel })
		if i < 0 {
			return fmt.Sprintf("%s is not mounted any more", escape.Name(st.Source+"/"+then.Rel))
		}
		if diff := then.changed(now.InSource[i]); now.CrossMounts && diff != "" {
			return fmt.Sprintf("%s is not what was mounted there: %s", escape.Name(st.Source+"/"+then.Rel), diff)
		}
	}
	return ""
}

// Grow adds to the mounts that must be there those that are there now, and says
// whether there were any to add. It takes none away.
func (st *State) Grow(now Roots) bool {
	if !now.CrossMounts {
		return false
	}
	mounts, grown := slices.Clone(st.Mounts), false // a caller may hold the old list
	for _, in := range now.InSource {
		i := slices.IndexFunc(mounts, func(then Inner) bool { return then.Rel == in.Rel })
		switch {
		case i < 0:
			mounts, grown = append(mounts, in), true
		case mounts[i].Identity == Identity{} && in.Identity != Identity{}:
			mounts[i], grown = in, true
		}
	}
	st.Mounts = mounts
	return grown
}
