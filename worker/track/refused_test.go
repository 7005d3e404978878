package track

import (
	"testing"

	"lockstep/worker/listing"
)

// One directory that cannot be listed must not have the content of every unwatched
// one copied again each time it is tried.
func TestRetryLeavesOutWhatHasNoWatch(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("a"), dirEntry("b"))
	for range 3 {
		for _, w := range n.take() {
			l := Listing{Serial: w.Serial, WD: -1}
			switch {
			case w.Rel == "b":
				l.Status = listing.EIO
			case w.Watch:
				l.Status = listing.ENOSPC
			default:
				l.Entries = []Entry{{Kind: listing.KindFile, Name: "f"}}
			}
			tr.Listing(l, start)
		}
	}
	if c := tr.Counters(); c.Unwatched != 1 || c.Failed != 1 || !tr.Idle() {
		t.Fatalf("%+v", c)
	}
	tr.Retry()
	if w := n.take(); len(w) != 1 || w[0].Rel != "b" {
		t.Errorf("walks %+v, want b alone", w)
	}
	if len(n.dirty) > 0 {
		t.Errorf("marked: %v", n.dirty)
	}
}

// A directory that was refused in a walk of everything, and is listed before that has
// ended: what is below it is part of that walk.
func TestListedAgainWithinAWalk(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("d"), dirEntry("e"))
	for i, w := range n.take() {
		tr.Listing(Listing{Serial: w.Serial, WD: int32(i) + 2}, start)
	}
	tr.Verify()
	n.answer(t, tr, "", Listing{WD: 1, Entries: []Entry{dirEntry("d"), dirEntry("e")}})
	both := n.take() // d stays under way
	tr.Listing(Listing{Serial: both[1].Serial, WD: -1, Status: listing.EIO}, start)
	tr.Retry()
	for range 2 { // what it missed is asked for again
		n.answer(t, tr, both[1].Rel, Listing{WD: 3, Entries: []Entry{dirEntry("f")}})
	}
	tr.Listing(Listing{Serial: both[0].Serial, WD: 2}, start)
	if tr.Complete() {
		t.Error("the walk has ended, and what it must leave out in e/f is not known")
	}
	n.answer(t, tr, both[1].Rel+"/f", Listing{WD: 4})
	if !tr.Complete() || !tr.Idle() {
		t.Error("it does not end")
	}
}
