package track

import (
	"lockstep/worker/clock"
	"lockstep/worker/tree"
)

// A node's mark: what its next walk is to do, and where it stands.
const (
	wantAll     uint16 = 1 << iota // list every entry
	wantMark                       // mark what is listed dirty; see wantDirty
	wantDeep                       // walk the known directories below, too
	wantSeen                       // report Seen
	wantVerify                     // count differences
	wantPrune                      // mark it Replaced once it is watched
	wantNoWatch                    // list only: a watch was refused
	wantMoved                      // its parent has changed: if it has, too, it may have come from elsewhere

	isQueued
	isOut    // a walk is under way
	isListed // the listing that is arriving has it
	isUnwatched
	isFailed
	isTooLong
	isResting // its watch was given up for a while (see Rest)

	wants     = wantAll | wantMark | wantDeep | wantSeen | wantVerify | wantPrune | wantNoWatch | wantMoved
	wantDirty = wantMark | wantAll
)

// walk is one that was handed out.
type walk struct {
	id    tree.ID
	rel   string
	stamp uint32 // of the last change of a place when it was handed out
	want  uint16
	begun bool // its first part has arrived
	drop  bool // its answer is of no use
	again bool // the same is to be asked again
	moved bool // the directory has changed beside a pass: what it lists may come from elsewhere
}

// setMark changes a node's mark and keeps the counts of those in each state.
func (t *Tracker) setMark(id tree.ID, mark uint16) {
	if !t.tree.Valid(id) {
		return
	}
	t.recount(t.tree.Mark(id), mark)
	t.tree.SetMark(id, mark)
}

func (t *Tracker) recount(before, after uint16) {
	if before == after {
		return
	}
	delta := func(bit uint16) uint64 {
		return uint64(after&bit/bit) - uint64(before&bit/bit) // wraps, and back
	}
	t.count.Unwatched += delta(isUnwatched)
	t.count.Failed += delta(isFailed)
	t.count.TooLong += delta(isTooLong)
	t.count.Resting += delta(isResting)
	t.pending += int(delta(wantVerify))
	t.seeing += int(delta(wantSeen))
}

// request has the directory walked, with whatever else was wanted of it.
func (t *Tracker) request(id tree.ID, want uint16) {
	if !t.tree.Valid(id) {
		return
	}
	mark := t.tree.Mark(id)
	if mark&(isQueued|isOut) == 0 {
		t.queue.Push(id)
		mark |= isQueued
	}
	t.setMark(id, mark|want)
}

// pump hands out walks as long as there are some and the limit allows.
func (t *Tracker) pump() {
	for len(t.out) < t.cfg.MaxWalks && t.queue.Len() > 0 {
		if id := t.queue.Pop(); t.tree.Mark(id)&isQueued != 0 { // else it is gone
			t.hand(id)
		}
	}
}

// watches says whether a walk with these wants is to place a watch.
func (t *Tracker) watches(want uint16) bool { return want&wantNoWatch == 0 && !t.cfg.Paths }

// hand hands one walk out.
func (t *Tracker) hand(id tree.ID) {
	mark := t.tree.Mark(id)
	rel, attached := t.tree.Path(id)
	if !attached { // in limbo: if it comes back it is requested again
		t.setMark(id, mark&^(isQueued|wants))
		return
	}
	if len(rel) > maxRel {
		t.tooLong(id, rel)
		return
	}
	if mark&isResting != 0 && mark&wantVerify != 0 {
		mark |= wantNoWatch // a verification is no reason to wake it
	}
	t.setMark(id, mark&^(isQueued|isTooLong|wants)|isOut)
	w := &walk{id: id, rel: rel, stamp: t.stamp, want: mark & wants}
	t.underway(w.want, 1)
	t.serial++
	t.count.Walks++
	t.out[t.serial] = w
	out := Walk{Serial: t.serial, Rel: rel, All: w.want&wantAll != 0, Watch: t.watches(w.want)}
	if w.want&wantSeen != 0 {
		out.Since = clock.Earlier(t.recent, t.unsure)
	}
	t.sink.Walk(out)
}

// underway counts walks that something waits for.
func (t *Tracker) underway(want uint16, delta int) {
	if want&wantVerify != 0 {
		t.pending += delta
	}
	if want&wantSeen != 0 {
		t.seeing += delta
	}
}

// tooLong gives a directory up as long as its path is what it is.
func (t *Tracker) tooLong(id tree.ID, rel string) {
	mark := t.tree.Mark(id)
	if mark&isTooLong == 0 {
		t.sink.TooLong(rel)
	}
	t.setMark(id, mark&^(isQueued|wants)|isTooLong)
}
