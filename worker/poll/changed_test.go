package poll

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep/monitor"
	"lockstep/worker/listing"
)

// told is a Poller without rounds, as for dnotify, and what it tells.
type told struct {
	p   *Poller
	got []string
	now time.Time
}

func newTold() *told {
	w := &told{now: time.Unix(1_000_000, 500)}
	w.p = New(Config{
		Root: 1, Inodes: true,
		Dirs: func() []string { return nil }, Known: func(string) bool { return true },
		Emit: func(e monitor.PathEvent) {
			w.got = append(w.got, fmt.Sprintf("%v %s %s", e.Mask, e.Dir, e.Name))
		},
	})
	return w
}

// list answers a listing of what is asked for, or of what a walk wants.
func (w *told) list(rel string, status uint16, entries ...listing.Entry) []string {
	w.got = nil
	own := false
	if ahead := w.p.Ahead(w.now); len(ahead) > 0 && ahead[0] == rel {
		own = true
		w.p.Take(1)
	}
	w.p.Listed(rel, listing.Part{Status: status, Entries: entries}, w.now, w.now, own)
	return w.got
}

func fileAt(name string, ctime time.Time) listing.Entry {
	return listing.Entry{Kind: listing.KindFile, Name: name, Ino: 7, Size: 1, Ctime: uint64(ctime.UnixNano())}
}

func dirAt(name string, ctime time.Time) listing.Entry {
	return listing.Entry{Kind: listing.KindDir, Name: name, Ino: 8, Ctime: uint64(ctime.UnixNano())}
}

// TestChangedWithinATick: a signal that comes so soon after a look that the file's
// time stands still is believed all the same: no round follows that would look
// again.
func TestChangedWithinATick(t *testing.T) {
	w := newTold()
	start := w.now.Add(-time.Hour)
	w.list("", 0, fileAt("f", start))
	change := w.now
	w.now = w.now.Add(2 * time.Millisecond)
	w.p.Ask("")
	if got := w.list("", 0, fileAt("f", change)); len(got) != 1 {
		t.Fatalf("the first change: %q", got)
	}
	for range 3 {
		w.now = w.now.Add(time.Millisecond)
		w.p.Ask("")
		if got := w.list("", 0, fileAt("f", change)); len(got) != 1 {
			t.Fatalf("another one within the tick: %q", got)
		}
	}
	w.now = w.now.Add(time.Second)
	w.p.Ask("")
	w.list("", 0, fileAt("f", change))
	w.p.Ask("")
	if got := w.list("", 0, fileAt("f", change)); len(got) != 0 {
		t.Fatalf("long after: %q", got)
	}
}

// TestAwayAndBack: a directory was away when it was listed, and is back when the
// one above it is: nobody saw it go, and what is in it is unknown.
func TestAwayAndBack(t *testing.T) {
	w := newTold()
	start := w.now.Add(-time.Hour)
	w.list("", 0, dirAt("a", start))
	w.list("a", 0, dirAt("x", start))
	w.list("a/x", 0, fileAt("f", start))
	w.p.Ask("a/x")
	if got := w.list("a/x", listing.ENOENT); len(got) != 1 {
		t.Fatalf("away: %q", got)
	}
	w.p.Ask("a")
	got := w.list("a", 0, dirAt("x", start))
	if !slices.Contains(got, "CREATE|ISDIR a x") {
		t.Fatalf("back: %q", got)
	}
}

// TestAskedOnce: however often a directory is said to have changed, it waits once.
func TestAskedOnce(t *testing.T) {
	w := newTold()
	w.list("", 0)
	for range 1000 {
		w.p.Ask("")
	}
	if n := len(w.p.Ahead(w.now)); n != 1 {
		t.Fatalf("%d times", n)
	}
	w.p.Take(1)
	if w.p.Ask(""); len(w.p.asked) != 1 {
		t.Error("what changes while it is being listed is not listed again")
	}
}

// TestMarkWithoutRounds: what waits for listings is called after them, late changes
// or not.
func TestMarkWithoutRounds(t *testing.T) {
	w := newTold()
	w.list("", 0, fileAt("f", w.now))
	called := 0
	w.p.Mark(func() { called++ })
	if called != 1 {
		t.Fatal("nothing was asked for, and it is not called")
	}
	w.p.Ask("")
	w.p.Mark(func() { called++ })
	if called != 1 {
		t.Fatal("called before the listing")
	}
	if w.list("", 0, fileAt("f", w.now)); called != 2 {
		t.Fatal("not called after the listing")
	}
}
