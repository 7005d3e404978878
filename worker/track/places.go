package track

import (
	"time"

	"lockstep/worker/listing"
	"lockstep/worker/stray"
	"lockstep/worker/tree"
)

// dirty marks a path, unless it is too long to be named.
func (t *Tracker) dirty(rel string, c Change, e *Entry) {
	if len(rel) > maxRel {
		t.sink.TooLong(rel)
		return
	}
	t.sink.Dirty(rel, c, e)
}

// vanished marks the path of a directory that is no longer there, or is not
// known to be the one it was.
func (t *Tracker) vanished(rel string) {
	t.remember(t.doubts.Vanished(rel, t.now))
	t.dirty(rel, Name|Attr|Replaced, nil)
}

// remember follows a note. What was forgotten for it is for the targets to mend.
func (t *Tracker) remember(until time.Time) {
	if !until.IsZero() {
		t.sink.Forgotten(until)
	}
}

// suspect tells of a directory that is watched from now on, at which some
// targets may hold what was never there: left over from one that was there
// before, or copied by a pass before the directory was watched.
func (t *Tracker) suspect(rel string) {
	if doubts := t.doubts.Of(rel); len(doubts) > 0 {
		t.sink.Suspect(rel, doubts)
	}
}

// ignored says whether a name is none of ours: excluded, or a mount.
func (t *Tracker) ignored(rel string, kind uint8) bool {
	if kind == listing.KindDir && t.mounts[rel] {
		return true
	}
	return t.cfg.Excluded != nil && t.cfg.Excluded(rel, kind == listing.KindDir)
}

// touch notes that what is at the node's place may have changed just now:
// answers under way about it, and about places below it, are of no use.
func (t *Tracker) touch(id tree.ID) {
	if t.stamp == ^uint32(0) {
		t.tree.ResetStamps()
		t.stamp = 0
		for _, w := range t.out {
			w.drop, w.again = true, true
		}
	}
	t.stamp++
	t.tree.SetStamp(id, t.stamp)
}

// drop takes a directory, with all below it, out of the tree.
func (t *Tracker) drop(id tree.ID) {
	t.tree.Remove(id, t.forget)
	t.moved()
}

// forget is told of each node that leaves the tree.
func (t *Tracker) forget(wd int32, mark uint16) {
	t.recount(mark, 0)
	t.orphan(wd)
}

// orphan remembers a watch that no node has. It is not ended at once: mostly
// the kernel does so itself, because the directory was deleted, or a walk that
// is under way finds the directory at its new place. What that walk lists may
// be older than events that were applied at the place that was wrong.
func (t *Tracker) orphan(wd int32) {
	if wd < 0 {
		return
	}
	t.note(&t.early, wd)
	t.orphans.Add(wd, t.now)
}

// note adds a descriptor, as long as there is an answer under way to which it
// could matter: one that no node has, or (removed) that the kernel has no more
// or will not have.
func (t *Tracker) note(m *stray.Marks, wd int32) {
	if len(t.out) > 0 {
		m.Note(wd, t.serial)
	}
}

// unwatch ends the watch of an orphan.
func (t *Tracker) unwatch(wd int32) {
	t.note(&t.removed, wd)
	t.sink.Unwatch(wd)
}
