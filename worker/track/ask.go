package track

import (
	"lockstep/worker/tree"
)

// Busy says whether a walk of the directory at a path is wanted or under way.
func (t *Tracker) Busy(rel string) bool {
	id := t.tree.Find(rel)
	return id != tree.None && t.tree.Mark(id)&(isQueued|isOut|wants) != 0
}

// Again has a directory that is known already, with all below it, listed and
// marked as if it were new.
func (t *Tracker) Again(rel string) {
	id := t.tree.Find(rel)
	if id == tree.None {
		return
	}
	if t.kids = t.tree.Children(t.kids[:0], id); t.tree.WD(id) >= 0 || len(t.kids) > 0 {
		t.request(id, wantDirty|wantDeep)
		t.finish()
	}
}
