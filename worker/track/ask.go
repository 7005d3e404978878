package track

import (
	"strings"

	"lockstep/worker/tree"
)

// Find is the directory at a path, or tree.None.
func (t *Tracker) Find(rel string) tree.ID {
	id := t.tree.Root()
	for rel != "" && id != tree.None {
		var name string
		name, rel, _ = strings.Cut(rel, "/")
		id = t.tree.Child(id, name)
	}
	return id
}

// Busy says whether a walk of the directory at a path is wanted or under way.
func (t *Tracker) Busy(rel string) bool {
	id := t.Find(rel)
	return id != tree.None && t.tree.Mark(id)&(isQueued|isOut|wants) != 0
}
