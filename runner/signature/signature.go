// Package signature remembers what paths looked like when a handler was last told of
// them, so that it need not be told again while the fields that it asked for are the
// same.
//
// Trust: part of the runner, in its jail. Paths and what is found at them are hostile;
// they decide about nothing but whether that very path is told.
// Imports: thin system calls.
//
// Invariants: what is not remembered, or cannot be looked at, passes; what is gone is
// forgotten, with all that was below it; nothing is remembered before it was told with success. Paths are looked at
// below the source, through no link. Memory is bounded: when too much is remembered all
// is forgotten, and each path passes once more.
package signature

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// most bounds the bytes of what is remembered, of which each path costs its own and
// about so many more.
const most, each = 32 << 20, 100

// Fields are the words for what can be compared, of lstat(2).
func Fields() []string {
	return []string{"dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks", "atime", "mtime", "ctime"}
}

// mark is a hash of what was found at a path.
type mark [16]byte

// Memory is what was told last.
type Memory struct {
	fields  []string
	root    int // the source, open
	told    map[string]mark
	pending map[string]mark // to be remembered when what tells of it has succeeded
	size    int             // of told
	limit   int
}

// Open makes a memory for some of Fields; source stays open.
func Open(source string, fields []string) (*Memory, error) {
	for _, f := range fields {
		if !slices.Contains(Fields(), f) {
			return nil, fmt.Errorf("%q is no field of a file", f)
		}
	}
	root, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the source: %w", err)
	}
	return &Memory{fields: fields, root: root, told: map[string]mark{}, pending: map[string]mark{}, limit: most}, nil
}

// Begin forgets what was to be remembered and was not told with success.
func (m *Memory) Begin() { clear(m.pending) }

// Forget forgets all.
func (m *Memory) Forget() {
	clear(m.told)
	clear(m.pending)
	m.size = 0
}

// Gone forgets paths, and all that was below them: whatever comes there is new.
func (m *Memory) Gone(rels map[string]bool) {
	if len(rels) == 0 {
		return
	}
	for rel := range m.told {
		if under(rels, rel) {
			m.drop(rel)
		}
	}
}

// under says that a path, or one above it, is in a set.
func under(rels map[string]bool, rel string) bool {
	for i, c := range []byte(rel) {
		if c == '/' && rels[rel[:i]] {
			return true
		}
	}
	return rels[rel] || rels[""]
}

func (m *Memory) drop(rel string) {
	if _, known := m.told[rel]; known {
		delete(m.told, rel)
		m.size -= len(rel) + each
	}
}

// Passes says whether a path is to be told: it was never, or looks otherwise than it did.
func (m *Memory) Passes(rel string) bool {
	now, err := m.look(rel)
	if err != nil {
		m.drop(rel)
		return true
	}
	if then, known := m.told[rel]; known && then == now {
		return false
	}
	m.pending[rel] = now
	return true
}

// Told remembers all that has passed since Begin.
func (m *Memory) Told() {
	for rel, now := range m.pending {
		if _, known := m.told[rel]; !known {
			if m.size+len(rel)+each > m.limit {
				clear(m.told)
				m.size = 0
			}
			m.size += len(rel) + each
		}
		m.told[rel] = now
	}
	clear(m.pending)
}

// look is what the fields of a path are now.
func (m *Memory) look(rel string) (mark, error) {
	if rel == "" {
		rel = "."
	}
	fd, err := unix.Openat2(m.root, rel, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return mark{}, err
	}
	var st unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &st), unix.Close(fd)); err != nil {
		return mark{}, err
	}
	var data []byte
	for _, f := range m.fields {
		for _, n := range field(&st, f) {
			data = binary.LittleEndian.AppendUint64(data, n)
		}
	}
	return hash(data), nil
}

// field is a field's value.
func field(st *unix.Stat_t, name string) []uint64 {
	switch name {
	case "dev":
		return []uint64{st.Dev}
	case "ino":
		return []uint64{st.Ino}
	case "mode":
		return []uint64{uint64(st.Mode)}
	case "nlink":
		return []uint64{uint64(st.Nlink)}
	case "uid":
		return []uint64{uint64(st.Uid)}
	case "gid":
		return []uint64{uint64(st.Gid)}
	case "rdev":
		return []uint64{st.Rdev}
	case "size":
		return []uint64{uint64(st.Size)}
	case "blksize":
		return []uint64{uint64(st.Blksize)}
	case "blocks":
		return []uint64{uint64(st.Blocks)}
	case "atime":
		return []uint64{uint64(st.Atim.Sec), uint64(st.Atim.Nsec)}
	case "mtime":
		return []uint64{uint64(st.Mtim.Sec), uint64(st.Mtim.Nsec)}
	case "ctime":
		return []uint64{uint64(st.Ctim.Sec), uint64(st.Ctim.Nsec)}
	}
	return nil
}

func hash(data []byte) mark {
	sum := sha256.Sum256(data)
	return mark(sum[:16])
}
