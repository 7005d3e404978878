package survey

import (
	"bytes"
	"errors"
	"hash/maphash"
	"iter"
	"slices"

	"golang.org/x/sys/unix"
)

// listing is the names of one directory, each with its kind. Its memory is used
// again.
type listing struct {
	names []byte   // kind, name, NUL; not all if there are too many
	count int      // of all
	dirs  int      // of count, those that are directories or may be
	table []uint32 // by hash: 1 + where in names; empty until asked for
	seed  maphash.Seed
}

// few names are compared one by one.
const few = 6

var errTooMany = errors.New("more names than are held")

// read lists a directory. After an error the listing has only some of it.
func (l *listing) read(fd int, buf []byte, over func() bool) error {
	l.names, l.count, l.dirs, l.table = l.names[:0], 0, 0, l.table[:0]
	full := false
	err := readDir(fd, buf, over, func(name []byte, kind uint8) {
		if kind == unix.DT_UNKNOWN {
			kind = kindAt(fd, name)
		}
		l.count++
		if kind == unix.DT_DIR {
			l.dirs++
		}
		if full = full || len(l.names)+len(name) >= maxNames; !full {
			l.names = append(append(l.names, kind), name...)
		}
	})
	if err == nil && full {
		err = errTooMany
	}
	return err
}

// kindAt asks a file system that does not say what a name is. All but a
// directory are the same here, and so is what has gone.
func kindAt(dir int, name []byte) uint8 {
	var st unix.Stat_t
	err := unix.Fstatat(dir, unix.ByteSliceToString(name), &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.DT_DIR
	}
	return unix.DT_UNKNOWN
}

// all goes through the names, each with the NUL at its end.
func (l *listing) all() iter.Seq2[bool, []byte] {
	return func(yield func(bool, []byte) bool) {
		for at := 0; at < len(l.names); {
			name := l.names[at+1:]
			name = name[:bytes.IndexByte(name, 0)+1]
			if !yield(l.names[at] == unix.DT_DIR, name) {
				return
			}
			at += 1 + len(name)
		}
	}
}

func (l *listing) index() {
	if l.seed == (maphash.Seed{}) {
		l.seed = maphash.MakeSeed() // names are hostile: nobody shall choose their hashes
	}
	size := 16
	for size < 2*l.count {
		size *= 2
	}
	l.table = slices.Grow(l.table, size)[:size]
	clear(l.table)
	for at := 0; at < len(l.names); {
		name := l.names[at+1:]
		name = name[:bytes.IndexByte(name, 0)+1]
		i := l.slot(name)
		for l.table[i] != 0 {
			i = (i + 1) & (size - 1)
		}
		l.table[i] = uint32(at) + 1
		at += 1 + len(name)
	}
}

func (l *listing) slot(name []byte) int {
	return int(maphash.Bytes(l.seed, name) & uint64(len(l.table)-1))
}

// has says whether the directory has the name, with its NUL, and for a directory
// if isDir, else for something else.
func (l *listing) has(name []byte, isDir bool) bool {
	at := l.find(name)
	return at >= 0 && isDir == (l.names[at] == unix.DT_DIR)
}

func (l *listing) find(name []byte) int {
	if l.count <= few {
		for at := 0; at < len(l.names); {
			if bytes.HasPrefix(l.names[at+1:], name) {
				return at
			}
			at += 2 + bytes.IndexByte(l.names[at+1:], 0)
		}
		return -1
	}
	if len(l.table) == 0 {
		l.index()
	}
	for i := l.slot(name); l.table[i] != 0; i = (i + 1) & (len(l.table) - 1) {
		if at := int(l.table[i] - 1); bytes.HasPrefix(l.names[at+1:], name) {
			return at
		}
	}
	return -1
}
