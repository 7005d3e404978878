package track

import "lockstep/worker/tree"

// Busy says whether a walk of the directory at a path is wanted or under way.
func (t *Tracker) Busy(rel string) bool {
	id := t.tree.Find(rel)
	return id != tree.None && t.tree.Mark(id)&(isQueued|isOut|wants) != 0
}

// Again has a directory that is known already, with all below it, listed and
// marked as if it were new: if it was listed, which no watch shows where there are none.
func (t *Tracker) Again(rel string, listed bool) {
	id := t.tree.Find(rel)
	if t.kids = t.tree.Children(t.kids[:0], id); listed || t.tree.WD(id) >= 0 || len(t.kids) > 0 {
		t.request(id, wantDirty|wantDeep)
		t.finish()
	}
}

// Rest gives up the watch of a directory for a while; false: not now. Changes in it
// are from then on told by Path, by who compares its listings: one from before with
// all that are made after. Its directories keep their watches. It ends with the next
// walk of the directory, at the latest by Wake.
func (t *Tracker) Rest(id tree.ID) bool {
	wd, mark := t.tree.WD(id), t.tree.Mark(id)
	if wd < 0 || mark&(isQueued|isOut|isFailed|isTooLong|isResting) != 0 || !t.tree.Attached(id) {
		return false
	}
	// The node keeps the descriptor until its last event, Ignored, has come.
	t.setMark(id, mark|isResting)
	t.unwatch(wd)
	return true
}

// Resting says whether a directory's watch is given up.
func (t *Tracker) Resting(id tree.ID) bool { return t.tree.Mark(id)&isResting != 0 }

// Wake has a resting directory watched again, which it is when it rests no longer.
func (t *Tracker) Wake(id tree.ID) {
	t.request(id, 0)
	t.finish()
}
