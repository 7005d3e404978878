package omit

import (
	"maps"
	"path"
	"slices"
)

// Tally counts names once each. A user of the tree can make up any number of
// them, so that it remembers only so many and counts the others as they come.
type Tally struct {
	names map[string]struct{}
	more  uint64
}

// tallyMax is how many names are remembered.
const tallyMax = 10_000

// Add reports whether the name is new, as far as that is remembered.
func (t *Tally) Add(name string) bool {
	if _, ok := t.names[name]; ok {
		return false
	}
	if len(t.names) >= tallyMax {
		t.more++
		return false
	}
	if t.names == nil {
		t.names = make(map[string]struct{})
	}
	t.names[name] = struct{}{}
	return true
}

// Count counts the names.
func (t *Tally) Count() uint64 { return uint64(len(t.names)) + t.more }

// Clear forgets all names.
func (t *Tally) Clear() { t.names, t.more = nil, 0 }

// In are the names that are remembered, sorted, of which the directory is known.
func (t *Tally) In(known func(dir string) bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(t.names)), func(name string) bool { return !known(path.Dir(name)) })
}
