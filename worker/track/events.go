package track

import (
	"time"

	"lockstep/monitor"
	"lockstep/worker/clock"
	"lockstep/worker/listing"
	"lockstep/worker/tree"
)

// Event applies one event of the inotify instance. Every Tracker that shares
// the instance must be given every event, in order.
func (t *Tracker) Event(e monitor.Event, now time.Time) {
	t.now = now
	t.count.Events++
	t.event(e)
	t.finish()
}

func (t *Tracker) event(e monitor.Event) {
	if e.Mask.Has(monitor.Overflow) {
		t.overflow()
		return
	}
	id := t.tree.ByWD(e.WD)
	if e.Mask.Has(monitor.Ignored) {
		t.unwatched(e.WD, id)
		return
	}
	if id == tree.None {
		t.count.StaleEvents++
		t.note(&t.early, e.WD)
		return
	}
	rel, attached := t.path(id)
	if !attached {
		return // in limbo: if it comes back it is walked whole
	}
	if len(e.Name) == 0 {
		t.self(id, rel, e.Mask)
		return
	}
	if e.Mask.Has(monitor.IsDir) {
		t.dirEvent(id, rel, string(e.Name), e)
		return
	}
	t.fileEvent(rel, e.Name, e.Mask)
}

// overflow: events were lost, and more may have been lost behind the mark, as
// long as the queue stayed full: but all of them before the mark was read. So
// what is asked for from now on shows their effect.
func (t *Tracker) overflow() {
	t.count.Overflows++
	t.unsure = clock.Earlier(t.unsure, t.heard.Since(t.now))
	t.doubts.Due()
	t.request(t.tree.Root(), t.all|wantSeen|wantDeep)
	t.sink.Rescan("overflow")
}

// unwatched: the kernel ended the watch (inotify(7), IN_IGNORED). Mostly the
// directory was deleted and the tree has heard of it from its parent already.
func (t *Tracker) unwatched(wd int32, id tree.ID) {
	t.orphans.Remove(wd)
	t.early.Forget(wd)
	t.note(&t.removed, wd)
	if id == tree.None {
		return
	}
	t.tree.SetWD(id, tree.NoWD)
	if t.Resting(id) {
		return // as was to be
	}
	if id == t.tree.Root() {
		t.sink.RootGone("it is no longer watched: deleted or unmounted")
		return
	}
	rel, attached := t.tree.Path(id)
	if !attached {
		return
	}
	t.vanished(rel)
	t.touch(id)
	t.request(id, wantDirty|wantDeep|wantPrune)
}

// self is an event about a watched directory itself.
func (t *Tracker) self(id tree.ID, rel string, mask monitor.Op) {
	root := id == t.tree.Root()
	switch {
	case mask.Has(monitor.Attrib):
		// The parent's watch says so too, if there is one: the queue coalesces.
		t.dirty(rel, Attr, nil)
	case root && mask.Has(monitor.MoveSelf):
		t.sink.RootGone("it was moved")
	case root && mask.Has(monitor.DeleteSelf):
		t.sink.RootGone("it was deleted")
	case root && mask.Has(monitor.Unmount):
		t.sink.RootGone("it was unmounted")
	case mask.Has(monitor.MoveSelf) && t.tree.WD(t.tree.Parent(id)) < 0:
		// Nobody else tells: the parent is not watched.
		t.vanished(rel)
		t.touch(id)
		t.request(id, wantDirty|wantDeep|wantPrune)
	}
	// Another directory's DeleteSelf and Unmount are followed by Ignored.
}

// fileEvent is an event about an entry that is no directory.
func (t *Tracker) fileEvent(dir string, name []byte, mask monitor.Op) {
	rel := t.entryOf(dir, name)
	if t.ignored(rel, listing.KindNone) {
		if mask.Has(monitor.Create | monitor.MovedTo) {
			t.sink.Seen(rel, Entry{Name: string(name)}, true)
		}
		t.parentOf(dir, mask)
		return
	}
	var c Change
	if mask.Has(monitor.Create | monitor.MovedTo) {
		c |= Name | Content | Attr
	}
	if mask.Has(monitor.Delete | monitor.MovedFrom) {
		c |= Name
	}
	if mask.Has(monitor.Modify | monitor.CloseWrite) {
		c |= Content
	}
	if mask.Has(monitor.Attrib) {
		c |= Attr
	}
	if c != 0 {
		t.dirty(rel, c, nil)
	}
	t.parentOf(dir, mask)
}

// parentOf marks the directory in which a name (an excluded one, too) appeared
// or vanished: that changes its modification time.
func (t *Tracker) parentOf(dir string, mask monitor.Op) {
	if mask.Has(monitor.Create | monitor.Delete | monitor.MovedFrom | monitor.MovedTo) {
		t.dirty(dir, Attr, nil)
	}
}

// dirEvent is an event about a directory in a watched one.
func (t *Tracker) dirEvent(parent tree.ID, dir, name string, e monitor.Event) {
	rel := listing.Join(dir, name)
	t.parentOf(dir, e.Mask)
	if t.ignored(rel, listing.KindDir) {
		t.ignoredDir(rel, name, e)
		return
	}
	switch {
	case e.Mask.Has(monitor.Attrib):
		t.attrib(rel)
	case e.Mask.Has(monitor.Create):
		t.created(parent, rel, name)
	case e.Mask.Has(monitor.MovedTo):
		t.movedTo(parent, rel, name, e.Cookie)
	case e.Mask.Has(monitor.MovedFrom):
		t.movedFrom(parent, rel, name, e.Cookie)
	case e.Mask.Has(monitor.Delete):
		t.deleted(parent, rel, name)
	}
}

// ignoredDir: a directory may become ignored by a rename.
func (t *Tracker) ignoredDir(rel, name string, e monitor.Event) {
	if !e.Mask.Has(monitor.Create|monitor.MovedTo) || t.mounts[rel] {
		return
	}
	t.sink.Seen(rel, Entry{Kind: listing.KindDir, Name: name}, true)
	if id := t.tree.InLimbo(e.Cookie); e.Mask.Has(monitor.MovedTo) && id != tree.None {
		t.drop(id)
	}
}

// fresh notes that a directory is new at rel: a pass may find it before it is
// watched.
func (t *Tracker) fresh(rel string) { t.remember(t.doubts.Fresh(rel, t.now)) }

// created: the node may be there already, when a listing was faster.
func (t *Tracker) created(parent tree.ID, rel, name string) {
	id, _ := t.tree.Add(parent, name)
	t.touch(id)
	t.fresh(rel)
	t.dirty(rel, Name|Attr, nil)
	t.request(id, wantDirty)
}

// deleted: after an overflow, the event that says that the name was used again
// may be among those that were lost behind the mark, while this older one was
// not, and the new directory may have been listed before this event was read. So
// it is looked for until a pass has ended (see Pass); and always where events may
// have been merged (see Path).
func (t *Tracker) deleted(parent tree.ID, rel, name string) {
	t.vanished(rel)
	id := t.tree.Child(parent, name)
	if id == tree.None {
		return
	}
	t.drop(id)
	if t.doubts.Passing() || t.cfg.Paths {
		t.probe(parent, name)
	}
}

// probe has a place walked at which there may be a directory.
func (t *Tracker) probe(parent tree.ID, name string) {
	id, _ := t.tree.Add(parent, name)
	t.touch(id)
	t.request(id, wantDirty|wantPrune)
}

// movedFrom puts the directory into limbo until the rename's other half comes,
// which need not be the next event (inotify(7), "Dealing with rename() events").
//
// Then it looks whether there is one at the place all the same. An exchange
// (renameat2(2), RENAME_EXCHANGE) of M and X is queued as M from, X to, X from,
// M to: the third is about the directory that was at X, but the second has put
// the other one there already, or a listing has (the watch may have been placed
// after the second). Nothing in the events tells that from two renames.
func (t *Tracker) movedFrom(parent tree.ID, rel, name string, cookie uint32) {
	t.vanished(rel)
	id := t.tree.Child(parent, name)
	if id == tree.None {
		return
	}
	t.tree.Detach(id, cookie, t.now)
	t.moved()
	t.probe(parent, name)
}

// movedTo attaches what the other half left in limbo, else a new directory
// (moved in from outside, or from a directory that was not watched yet). In
// both cases all below it is walked: every path there is new.
func (t *Tracker) movedTo(parent tree.ID, rel, name string, cookie uint32) {
	there := t.tree.Child(parent, name)
	came := t.tree.Claim(cookie)
	t.fresh(rel)
	want := wantDirty | wantDeep
	if there != tree.None {
		// It was replaced (it must have been empty) or exchanged; or a listing
		// was faster and it is the one that came.
		t.vanished(rel)
		want |= wantPrune
	}
	id := came
	switch {
	case came == tree.None:
		id, _ = t.tree.Add(parent, name)
	case there != tree.None && t.blank(came):
		t.drop(came) // nothing is known of it that a walk will not show
		id = there
	default:
		if there != tree.None {
			t.drop(there)
		}
		t.tree.Attach(cookie, parent, name)
		t.moved()
	}
	t.touch(id)
	t.dirty(rel, Name|Attr, nil)
	t.request(id, want)
}

// blank says whether a node has neither a watch nor anything below it.
func (t *Tracker) blank(id tree.ID) bool {
	t.kids = t.tree.Children(t.kids[:0], id)
	return t.tree.WD(id) < 0 && len(t.kids) == 0
}
