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

// Again has a directory that is known already, with all below it, listed and
// marked as if it were new.
func (t *Tracker) Again(rel string) {
	id := t.Find(rel)
	if id == tree.None {
		return
	}
	if t.kids = t.tree.Children(t.kids[:0], id); t.tree.WD(id) >= 0 || len(t.kids) > 0 {
		t.request(id, wantDirty|wantDeep)
		t.finish()
	}
}
