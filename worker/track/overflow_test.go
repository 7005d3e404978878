package track

import (
	"testing"
	"time"

	"lockstep/monitor"
	"lockstep/worker/listing"
)

// A file that has changed since all events had been heard may have other content of the
// same size and time when some are lost; one that has not, and what is new to no target,
// is not compared.
func TestOverflowMarksContentThatChangedSince(t *testing.T) {
	heard := start.Add(time.Hour)
	file := func(name string, changed time.Time) Entry {
		return Entry{Kind: listing.KindFile, Name: name, Ctime: uint64(changed.UnixNano())}
	}
	tr, n := started(t, Config{}, dirEntry("d"))
	n.answer(t, tr, "d", Listing{WD: 2})
	tr.Heard(heard)
	now := heard.Add(time.Minute)
	tr.Event(monitor.Event{WD: -1, Mask: monitor.Overflow}, now)
	if w := n.walks[0]; w.Since == 0 || w.Since > uint64(heard.UnixNano()) || w.Since < uint64(heard.Add(-time.Minute).UnixNano()) {
		t.Fatalf("listed is what has changed since %v, and all was heard until %v", time.Unix(0, int64(w.Since)), heard)
	}
	n.answer(t, tr, "", Listing{WD: 1, Entries: []Entry{dirEntry("d"), dirEntry("e")}})
	for _, w := range n.take() {
		switch w.Rel {
		case "d": // the same
			tr.Listing(Listing{Serial: w.Serial, WD: 2, Entries: []Entry{file("old", heard.Add(-time.Minute)), file("written", heard), file("new", now)}}, now)
		case "e": // which was elsewhere: what it holds has not changed
			tr.Listing(Listing{Serial: w.Serial, WD: 3, Entries: []Entry{file("old", heard.Add(-time.Minute))}}, now)
		}
	}
	for rel, want := range map[string]Change{"d/old": 0, "d/written": Content, "d/new": Content, "e/old": Content | Name | Attr} {
		if n.dirty[rel] != want {
			t.Errorf("%s is marked %04b, want %04b", rel, n.dirty[rel], want)
		}
	}
	if !tr.Complete() || tr.unsure != 0 {
		t.Error("it does not end")
	}
}

// At the place of a directory that was known is another one, with files of the same
// names, sizes and times, perhaps.
func TestOverflowMarksADirectoryThatWasReplaced(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("d"))
	n.answer(t, tr, "d", Listing{WD: 2})
	tr.Heard(start)
	tr.Event(monitor.Event{WD: -1, Mask: monitor.Overflow}, start.Add(time.Minute))
	n.answer(t, tr, "", Listing{WD: 1, Entries: []Entry{dirEntry("d")}})
	for range 2 {
		n.answer(t, tr, "d", Listing{WD: 3, Entries: []Entry{{Kind: listing.KindFile, Name: "f", Ctime: 1}}})
	}
	if n.dirty["d/f"]&Content == 0 {
		t.Errorf("marked: %v", n.dirty)
	}
}
