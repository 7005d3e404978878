package track

import (
	"testing"
	"time"

	"lockstep/worker/tree"
)

// A listing that breaks off in a later part (timeout, EIO) is not taken for a
// complete one, or directories that it had not yet named would lose their watch.
func TestListingThatBreaksOffIsNotComplete(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("a"), dirEntry("b"))
	for i, w := range n.take() {
		tr.Listing(Listing{Serial: w.Serial, WD: int32(i) + 2}, start)
	}
	if tr.Tree().ByWD(3) == tree.None {
		t.Fatal("b is not watched")
	}
	tr.Verify()
	w := n.take()[0]
	tr.Listing(Listing{Serial: w.Serial, WD: 1, More: true, Entries: []Entry{dirEntry("a")}}, start.Add(time.Second))
	tr.Listing(Listing{Serial: w.Serial, WD: -1, Status: 1024}, start.Add(time.Second)) // the helper's deadline
	for walks := n.take(); len(walks) > 0; walks = n.take() {
		for _, w := range walks {
			t.Log("walk", w)
			tr.Listing(Listing{Serial: w.Serial, WD: 2}, start.Add(time.Second))
		}
	}
	tr.Tick(start.Add(time.Minute))
	if tr.Tree().ByWD(3) == tree.None {
		t.Errorf("b was dropped, nothing asks for it again; unwatched: %v; idle: %v", n.unwatch, tr.Idle())
	}
	if tr.Counters().Failed == 0 {
		t.Error("the listing is not counted as failed")
	}
}
