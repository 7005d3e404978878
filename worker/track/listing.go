package track

import (
	"time"

	"lockstep/worker/clock"
	"lockstep/worker/listing"
	"lockstep/worker/tree"
)

// Listing applies (part of) an answer.
func (t *Tracker) Listing(l Listing, now time.Time) {
	t.now = now
	w := t.out[l.Serial]
	if w == nil {
		return
	}
	// Freshness: an event has touched the place, or one above it, since the
	// walk was handed out; the answer may be about another directory, or about
	// this one as it was before. The place is walked again.
	if !w.drop && !t.tree.Settled(w.id, w.stamp) {
		w.drop, w.again = true, true
	}
	if !w.begun {
		w.begun = true
		t.begin(w, l)
	} else if l.Status != 0 && !w.drop && !(l.Status == listing.ENOSPC && t.watches(w.want)) {
		t.fail(w, l.Status) // it broke off: what it did not list is not gone
	}
	for i := range l.Entries {
		if w.drop {
			break
		}
		t.count.Walked++
		t.entry(w, &l.Entries[i])
	}
	if !l.More {
		t.end(w, l.Serial)
	}
	t.finish()
}

// begin applies what an answer says of the directory itself.
func (t *Tracker) begin(w *walk, l Listing) {
	if (w.drop || l.Status != 0) && l.WD >= 0 && t.tree.ByWD(l.WD) == tree.None && !t.dead(l) {
		t.orphan(l.WD)
	}
	if w.drop {
		return
	}
	if l.Status != 0 {
		t.refused(w, l.Status)
		return
	}
	refused := isFailed
	if t.watches(w.want) {
		refused |= isUnwatched
		if !t.place(w, l) {
			return
		}
		t.setMark(w.id, t.tree.Mark(w.id)&^isResting)
	}
	mark := t.tree.Mark(w.id)
	t.setMark(w.id, mark&^refused)
	if mark&isFailed != 0 && w.want&wantSeen == 0 && !t.Complete() {
		// The walk of all that is under way may have been refused here: it is not to
		// end before what is below has been seen.
		w.drop = true
		t.request(w.id, w.mending()|wantSeen)
		return
	}
	if mark&refused != 0 && !w.thorough() {
		t.mend(w) // what the refused walk was to do is still to be done
		return
	}
	if t.late(l.Ctime) && w.want&wantSeen != 0 {
		t.changed(w)
	}
	if w.drop || w.want&wantMark == 0 {
		return
	}
	// Only now is it certain that no deletion here goes unseen; below, not yet.
	if w.want&wantPrune != 0 {
		t.remember(t.doubts.Vanished(w.rel, t.now))
		t.dirty(w.rel, Attr|Replaced, nil)
		return
	}
	t.fresh(w.rel)
	t.dirty(w.rel, Attr, nil)
	t.suspect(w.rel)
}

// dead says whether the answer's descriptor was removed after the walk had been
// handed out: the helper may have got it from the kernel before that.
func (t *Tracker) dead(l Listing) bool { return t.removed.Concern(l.WD, l.Serial) }

// place gives the node the descriptor that the answer brings, and says whether
// what the answer lists can be used.
func (t *Tracker) place(w *walk, l Listing) bool {
	if l.WD < 0 { // what the last part says, of whose first this one is
		w.drop = true
		t.noWatch(w)
		return false
	}
	if t.dead(l) {
		w.drop, w.again = true, true
		return false
	}
	other, before := t.tree.ByWD(l.WD), t.tree.WD(w.id)
	switch {
	case other == w.id:
		return true // as it was
	case w.id == t.tree.Root() && before >= 0 && !t.Resting(w.id): // else its Ignored was lost, or is not read yet
		t.sink.RootGone("it is another directory now")
		t.fail(w, listing.ENOENT)
		return false
	case other != tree.None && !t.mayTake(w, other, l.WD):
		return false
	}
	t.tree.SetWD(w.id, l.WD)
	t.orphans.Remove(l.WD)
	if other != tree.None || before >= 0 {
		t.replaced(w, other, before)
		return false
	}
	if t.early.Concern(l.WD, l.Serial) {
		// Events of this descriptor came before this answer: what it lists may
		// be older than they are.
		t.early.Forget(l.WD)
		w.drop, w.again = true, true
		return false
	}
	if w.want&wantVerify != 0 && t.tree.Mark(w.id)&(isUnwatched|isFailed|isResting) == 0 {
		t.count.Missing++
		t.count.Repairs++
		t.mend(w)
		return false
	}
	return true
}

// mend has the directory, and all below it, walked again as one of which
// nothing is known.
func (t *Tracker) mend(w *walk) {
	w.drop = true
	t.request(w.id, w.mending())
}

// mending is what a walk that found a surprise asks for next. In the initial walk
// nothing need be marked: a whole pass follows, or what is listed tells by its time
// that it is to be marked. After an overflow the pass may have other files there, which
// are of the same size and time as those that the targets have.
func (w *walk) mending() uint16 {
	if w.initial() {
		return w.want | wantDeep
	}
	return w.want&^wantVerify | wantDirty | wantDeep | wantPrune
}

// thorough says whether the walk does as much as mending would ask for.
func (w *walk) thorough() bool { return w.initial() || w.mending()&^w.want == 0 }

// initial says whether it is one of the initial walk in which nothing was a surprise.
func (w *walk) initial() bool { return w.want&(wantSeen|wantVerify|wantDeep) == wantSeen }

// late says whether a time of a status change lies in a pass that began beside
// the walk.
func (t *Tracker) late(ctime uint64) bool { return t.recent > 0 && clock.Late(ctime, t.recent) }

// changed: names of a directory may have appeared, vanished or moved after a
// pass beside the walk had looked, and before it was watched.
func (t *Tracker) changed(w *walk) {
	w.moved = true
	t.dirty(w.rel, Attr|Replaced, nil)
	if w.want&wantMoved != 0 && w.want&wantMark == 0 {
		w.drop = true // perhaps it is not the one that the pass has seen here
		t.request(w.id, w.want|wantDirty|wantDeep)
	}
}

// replaced: at the walk's place is another directory than the tree had there:
// one that no node had before, or one that the tree had at another place (or in
// limbo). Both places are walked again. Where the directory is that was known
// here, if it still is, an event will say, or the walk of another place.
func (t *Tracker) replaced(w *walk, other tree.ID, before int32) {
	if w.want&wantVerify != 0 {
		t.count.Stale++
		t.count.Missing++
	}
	t.count.Repairs++
	t.orphan(before)
	t.mend(w)
	if t.tree.Attached(other) {
		t.touch(other)
		t.request(other, w.mending())
	}
}

// maxFlips is how often answers alone may give a descriptor another place,
// before the Tracker has been idle.
const maxFlips = 16

// mayTake says whether the walk's place may take the descriptor from another
// one. Not for ever: a bind mount inside the root shows one directory at two.
func (t *Tracker) mayTake(w *walk, other tree.ID, wd int32) bool {
	t.flips[wd]++
	if other == t.tree.Root() || t.flips[wd] > maxFlips {
		t.fail(w, listing.ELOOP)
		return false
	}
	return true
}

// refused: the helper could not watch or list the directory.
func (t *Tracker) refused(w *walk, status uint16) {
	w.drop = true
	switch {
	case status == listing.ENAMETOOLONG:
		t.tooLong(w.id, w.rel)
	case status == listing.ENOSPC && t.watches(w.want):
		t.noWatch(w)
	case (status == listing.ENOENT || status == listing.ENOTDIR || status == listing.ELOOP) && w.id != t.tree.Root():
		if w.want&wantVerify != 0 {
			t.count.Stale++
			t.count.Repairs++
		}
		t.drop(w.id)
		t.vanished(w.rel)
	case status == listing.EXDEV && w.id != t.tree.Root():
		// It is in a mount, which is none of ours, like those that are known from
		// the start. As long as this process lives: with another table of mounts
		// there is another.
		t.mounts[w.rel] = true
		t.drop(w.id)
	default:
		t.fail(w, status)
	}
}

// noWatch: the kernel gives no more watches (inotify(7),
// /proc/sys/fs/inotify/max_user_watches). The directory is listed all the same,
// so that what can be watched below it will be.
func (t *Tracker) noWatch(w *walk) {
	t.orphan(t.tree.WD(w.id))
	t.tree.SetWD(w.id, tree.NoWD)
	mark := t.tree.Mark(w.id)
	t.setMark(w.id, mark&^(isFailed|isResting)|isUnwatched)
	if mark&isUnwatched == 0 {
		t.sink.Failed(w.rel, listing.ENOSPC)
	}
	t.request(w.id, w.want|wantNoWatch)
}

// fail notes a refusal until a walk of the directory succeeds.
func (t *Tracker) fail(w *walk, status uint16) {
	w.drop = true
	mark := t.tree.Mark(w.id)
	t.setMark(w.id, mark&^isResting|isFailed)
	if mark&isResting != 0 {
		t.tree.SetWD(w.id, tree.NoWD) // its Ignored, if it is still to come, is no news
	}
	if mark&isFailed == 0 {
		t.sink.Failed(w.rel, status)
	}
}

// entry applies one name of a listing.
func (t *Tracker) entry(w *walk, e *Entry) {
	rel := listing.Join(w.rel, e.Name)
	if t.ignored(rel, e.Kind) {
		if !t.mounts[rel] {
			t.sink.Seen(rel, *e, true)
		}
		return
	}
	if w.want&wantSeen != 0 {
		t.sink.Seen(rel, *e, false)
	}
	switch e.Kind {
	case listing.KindDir:
		t.listed(w, rel, e)
		return
	case listing.KindNone: // it could not be looked at: a directory known there stays
		if kid := t.tree.Child(w.id, e.Name); kid != tree.None {
			t.setMark(kid, t.tree.Mark(kid)|isListed)
		}
	case listing.KindSocket, listing.KindChar, listing.KindBlock:
		if e.Kind == listing.KindSocket || !t.cfg.Devices {
			t.count.Skipped++
			t.sink.Skip(rel, e.Kind)
		}
	}
	if w.want&wantMark != 0 || w.want&wantSeen != 0 && t.late(e.Ctime) {
		t.dirty(rel, Name|Content|Attr, e)
	} else if w.want&wantSeen != 0 && e.Kind == listing.KindFile && t.unsure > 0 && clock.Late(e.Ctime, t.unsure) {
		t.dirty(rel, Content, e)
	}
}

// listed applies a directory's entry in its parent's listing.
func (t *Tracker) listed(w *walk, rel string, e *Entry) {
	kid, added := t.tree.Add(w.id, e.Name)
	if kid == tree.None {
		return // no name: the codec lets none such through
	}
	mark := t.tree.Mark(kid)
	t.setMark(kid, mark|isListed)
	want := w.want &^ (wantNoWatch | wantVerify | wantMoved)
	if w.moved {
		want |= wantMoved
	}
	switch {
	case added && w.want&wantVerify != 0:
		t.count.Missing++
		t.count.Repairs++
		t.vanished(rel)
		want |= wantDirty | wantPrune
	case added && (want == 0 || w.want&wantDeep != 0 && t.unsure > 0):
		want |= wantDirty // nobody has told of it: a walk for the watch alone; or see mending
	case added:
	case w.want&wantDeep != 0:
		want |= w.want & wantVerify
	case t.cfg.Paths, t.tree.WD(kid) >= 0, mark&(isQueued|isOut|isFailed|isUnwatched|isTooLong|isResting) != 0:
		want = 0
	}
	if w.want&wantMark != 0 {
		t.dirty(rel, Name|Attr, e)
	}
	if want != 0 {
		t.request(kid, want)
	}
}

// end follows an answer's last part: directories that were known and are not
// listed are gone. But not those whose place was touched since the walk was
// handed out: the listing may be older than they are.
func (t *Tracker) end(w *walk, serial uint64) {
	delete(t.out, serial)
	t.underway(w.want, -1)
	if !t.tree.Valid(w.id) {
		return
	}
	t.kids = t.tree.Children(t.kids[:0], w.id)
	for _, kid := range t.kids {
		mark := t.tree.Mark(kid)
		switch {
		case mark&isListed != 0:
			t.setMark(kid, mark&^isListed)
		case !w.drop && t.tree.Stamp(kid) <= w.stamp:
			t.unlisted(w, kid)
		}
	}
	mark := t.tree.Mark(w.id)
	want := mark & wants
	if w.again {
		want |= w.want
	}
	t.setMark(w.id, mark&^(isOut|wants))
	if (want != 0 || w.again) && t.tree.Attached(w.id) {
		t.request(w.id, want)
	}
}

// unlisted removes a directory that its parent's listing does not have.
func (t *Tracker) unlisted(w *walk, kid tree.ID) {
	rel := listing.Join(w.rel, t.tree.Name(kid))
	if w.want&wantVerify != 0 {
		t.count.Stale++
	}
	if w.want&wantDeep != 0 {
		t.count.Repairs++
	}
	t.drop(kid)
	t.vanished(rel)
}
