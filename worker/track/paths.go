package track

import (
	"strings"
	"time"

	"lockstep/monitor"
	"lockstep/worker/listing"
	"lockstep/worker/tree"
)

// Path applies one event whose directory is told by its path (Config.Paths).
//
// What the path says was true at some moment after the change, or the directory,
// or one above it, has been renamed since, and the event of that is still to come.
// Events of one name may have been merged, and then come where the first of them
// was: before others that are older. So an event is no account of what happened
// but a reason to look: a name that is said to have gone is walked all the same,
// one that came is walked, and after a rename all below it is. Each change was
// made before its event is read, so that what is walked from here on shows it.
func (t *Tracker) Path(e monitor.PathEvent, now time.Time) {
	t.now = now
	t.count.Events++
	if e.Mask.Has(monitor.Overflow) {
		t.overflow()
	} else if rel := t.names.Of(e.Dir); t.known(rel) {
		t.told(rel, e)
	}
	if e.Mask != monitor.Attrib|monitor.IsDir { // which copies nothing that could go again
		t.marked = now
	}
	t.finish()
}

// known finds the directory, which is t.last then, or makes the nodes that lead
// there. Not below one that is ignored.
func (t *Tracker) known(rel string) bool {
	if t.last.id != tree.None && t.last.rel == rel {
		return true
	}
	at := t.tree.Root()
	for begin := 0; begin < len(rel); {
		name, _, _ := strings.Cut(rel[begin:], "/")
		below := rel[:begin+len(name)]
		begin = len(below) + 1
		kid := t.tree.Child(at, name)
		if kid == tree.None {
			if t.ignored(below, listing.KindDir) {
				return false
			}
			t.created(at, below, name)
			if kid = t.tree.Child(at, name); kid == tree.None {
				return false // no name: the decoder lets none such through
			}
		}
		at = kid
	}
	t.last = cached{id: at, rel: rel}
	return true
}

// told applies an event to the directory t.last.
func (t *Tracker) told(rel string, e monitor.PathEvent) {
	id := t.last.id
	switch {
	case len(e.Name) == 0:
		t.toldSelf(id, rel, e.Mask)
	case !e.Mask.Has(monitor.IsDir):
		t.fileEvent(rel, e.Name, e.Mask)
	default:
		name := string(e.Name)
		for word := monitor.Op(1); word < monitor.IsDir; word <<= 1 {
			if e.Mask.Has(word) {
				t.dirEvent(id, rel, name, monitor.Event{Mask: word, Cookie: e.Cookie})
			}
		}
		if !t.cfg.Paths && !t.ignored(listing.Join(rel, name), listing.KindDir) {
			t.compared(id, name)
		}
	}
}

// compared follows what a comparison of a resting directory's listings tells of a
// directory in it. Events may have told something newer meanwhile; and what is
// different may be which directory it is, of which a watch of its own says nothing.
func (t *Tracker) compared(id tree.ID, name string) {
	kid := t.tree.Child(id, name)
	if kid == tree.None {
		t.probe(id, name)
	} else if !t.Resting(kid) {
		t.request(kid, 0)
	}
}

// attrib marks a directory whose attributes have changed. A pass, or whatever was
// under way to a target that is not settled, may have copied what came and went in
// it, or below it, meanwhile.
func (t *Tracker) attrib(rel string) {
	c := Attr
	if t.cfg.Compared && (t.doubts.Passing() || !t.marked.IsZero()) {
		c |= Replaced
	}
	t.dirty(rel, c, nil)
}

// toldSelf is an event about a directory itself. Of its end, and of its moves, the
// one above is told.
func (t *Tracker) toldSelf(id tree.ID, rel string, mask monitor.Op) {
	if mask.Has(monitor.Attrib) {
		t.attrib(rel)
	}
	if mask.Has(monitor.Changed) {
		// Nobody has compared it with what was there: what is gone is not known.
		t.dirty(rel, Attr|Replaced, nil)
		t.touch(id)
		t.request(id, wantDirty|wantPrune)
	}
	if id == t.tree.Root() {
		t.self(id, rel, mask&^monitor.Attrib)
	}
}
