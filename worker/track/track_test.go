package track

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/monitor"
	"lockstep/worker/doubt"
	"lockstep/worker/listing"
	"lockstep/worker/tree"
)

// notes is a Sink that writes down what matters to a test.
type notes struct {
	walks   []Walk
	dirty   map[string]Change
	failed  []string
	tooLong []string
	skipped []string
	unwatch []int32
	gone    string
	rescans int
}

func (n *notes) Dirty(rel string, c Change, _ *Entry) {
	if n.dirty == nil {
		n.dirty = map[string]Change{}
	}
	n.dirty[rel] |= c
}
func (n *notes) Suspect(rel string, _ []doubt.Doubt) { n.Dirty(rel, Replaced, nil) }
func (n *notes) Forgotten(time.Time)                 {}
func (n *notes) Seen(string, Entry, bool)            {}
func (n *notes) Walk(w Walk)                         { n.walks = append(n.walks, w) }
func (n *notes) Unwatch(wd int32)                    { n.unwatch = append(n.unwatch, wd) }
func (n *notes) Rescan(string)                       { n.rescans++ }
func (n *notes) RootGone(cause string)               { n.gone = cause }
func (n *notes) Skip(rel string, _ uint8)            { n.skipped = append(n.skipped, rel) }
func (n *notes) Failed(rel string, status uint16) {
	n.failed = append(n.failed, fmt.Sprint(rel, " ", status))
}
func (n *notes) TooLong(rel string) { n.tooLong = append(n.tooLong, rel) }

var start = time.Unix(1000, 0)

// take returns the walks handed out since.
func (n *notes) take() []Walk {
	w := n.walks
	n.walks = nil
	return w
}

// answer answers the only walk under way.
func (n *notes) answer(tb testing.TB, t *Tracker, rel string, l Listing) {
	tb.Helper()
	w := n.take()
	if len(w) != 1 || w[0].Rel != rel {
		tb.Fatalf("walks %v, want one of %q", w, rel)
	}
	l.Serial = w[0].Serial
	t.Listing(l, start)
}

func dirEntry(name string) Entry { return Entry{Kind: listing.KindDir, Name: name} }

func started(tb testing.TB, cfg Config, entries ...Entry) (*Tracker, *notes) {
	tb.Helper()
	n := &notes{}
	t := New(cfg, n)
	t.Start(false, 0)
	n.answer(tb, t, "", Listing{WD: 1, Entries: entries})
	return t, n
}

func event(wd int32, mask monitor.Op, name string) monitor.Event {
	return monitor.Event{WD: wd, Mask: mask, Name: []byte(name)}
}

func TestKindsAreTheBoundarys(t *testing.T) {
	for mine, theirs := range map[uint8]ipc.Kind{
		listing.KindNone: ipc.KindNone, listing.KindFile: ipc.KindFile, listing.KindDir: ipc.KindDir, listing.KindLink: ipc.KindLink,
		listing.KindFIFO: ipc.KindFIFO, listing.KindSocket: ipc.KindSocket, listing.KindChar: ipc.KindChar, listing.KindBlock: ipc.KindBlock,
	} {
		if mine != uint8(theirs) {
			t.Errorf("kind %d is %d at the boundary", mine, theirs)
		}
	}
}

func TestWalksAreBounded(t *testing.T) {
	var entries []Entry
	for i := range 1000 {
		entries = append(entries, dirEntry(fmt.Sprint(i)))
	}
	tr, n := started(t, Config{MaxWalks: 10}, entries...)
	total := 0
	for wd := int32(2); !tr.Idle(); {
		if c := tr.Counters(); c.InFlight > 10 || c.InFlight != uint64(len(n.walks)) || c.InFlight+c.Queued+uint64(total) != 1000 {
			t.Fatalf("%d walks answered: %+v", total, c)
		}
		w := n.walks[0]
		n.walks = n.walks[1:]
		tr.Listing(Listing{Serial: w.Serial, WD: wd}, start)
		wd++
		total++
	}
	if total != 1000 || tr.Counters().Watched != 1001 || !tr.Complete() {
		t.Errorf("%d walks, %+v", total, tr.Counters())
	}
}

// A bind mount inside the root shows one directory at two places: that must end.
func TestOneDirectoryAtTwoPlaces(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("a"), dirEntry("b"))
	for i := 0; !tr.Idle(); i++ {
		if i > 1000 {
			t.Fatal("it never ends")
		}
		for _, w := range n.take() {
			wd := int32(2)
			if w.Rel == "" {
				wd = 1
			}
			tr.Listing(Listing{Serial: w.Serial, WD: wd}, start)
		}
	}
	if c := tr.Counters(); c.Failed != 1 || len(n.failed) != 1 || !strings.HasSuffix(n.failed[0], " 40") {
		t.Errorf("failed %v, %+v", n.failed, c)
	}
}

func TestRootGone(t *testing.T) {
	for _, e := range []monitor.Event{
		event(1, monitor.MoveSelf, ""), event(1, monitor.DeleteSelf, ""),
		event(1, monitor.Unmount, ""), event(1, monitor.Ignored, ""),
	} {
		tr, n := started(t, Config{})
		tr.Event(e, start)
		if n.gone == "" {
			t.Errorf("%v: nothing was said", e)
		}
	}
	tr, n := started(t, Config{})
	tr.Verify()
	n.answer(t, tr, "", Listing{WD: 7})
	if n.gone == "" {
		t.Error("another directory as root: nothing was said")
	}
}

func TestRootRefused(t *testing.T) {
	n := &notes{}
	tr := New(Config{}, n)
	tr.Start(true, 0)
	n.answer(t, tr, "", Listing{WD: -1, Status: 2})
	if len(n.failed) != 1 || tr.Counters().Failed != 1 || !tr.Idle() {
		t.Errorf("%v %+v", n.failed, tr.Counters())
	}
	tr.Retry()
	n.answer(t, tr, "", Listing{WD: 1})
	if tr.Counters().Failed != 0 || n.dirty[""]&Replaced == 0 {
		t.Errorf("%v %+v", n.dirty, tr.Counters())
	}
}

func TestTooLong(t *testing.T) {
	tr, n := started(t, Config{})
	long := strings.Repeat("n", 255)
	wd, at := int32(1), ""
	for len(at) < 4096 {
		tr.Event(event(wd, monitor.Create|monitor.IsDir, long), start)
		at = listing.Join(at, long)
		if len(at) > maxRel {
			break
		}
		wd++
		n.answer(t, tr, at, Listing{WD: wd})
	}
	if c := tr.Counters(); c.TooLong != 1 || len(n.tooLong) == 0 || !tr.Idle() {
		t.Fatalf("%+v, %d told", c, len(n.tooLong))
	}
	if n.dirty[at] != 0 {
		t.Error("a path that cannot be named was marked")
	}
	// Moved up, it can be named.
	first, _, _ := strings.Cut(at, "/")
	top := tr.Tree().Child(tr.Tree().Root(), first)
	second := tr.Tree().WD(tr.Tree().Child(top, long))
	third := monitor.Event{WD: second, Mask: monitor.MovedFrom | monitor.IsDir, Cookie: 5, Name: []byte(long)}
	tr.Event(third, start)
	third.WD, third.Mask, third.Name = 1, monitor.MovedTo|monitor.IsDir, []byte("up")
	tr.Event(third, start)
	for !tr.Idle() {
		for _, w := range n.take() {
			id := lookup(tr, w.Rel)
			entries := []Entry{}
			for _, kid := range tr.Tree().Children(nil, id) {
				entries = append(entries, dirEntry(tr.Tree().Name(kid)))
			}
			have := tr.Tree().WD(id)
			if have < 0 {
				wd++
				have = wd
			}
			tr.Listing(Listing{Serial: w.Serial, WD: have, Entries: entries}, start)
		}
	}
	if c := tr.Counters(); c.TooLong != 0 || c.Watched != c.Dirs {
		t.Errorf("after the move: %+v", c)
	}
}

func lookup(tr *Tracker, rel string) tree.ID {
	id := tr.Tree().Root()
	if rel == "" {
		return id
	}
	for _, name := range strings.Split(rel, "/") {
		id = tr.Tree().Child(id, name)
	}
	return id
}

func TestStampsWrap(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("a"))
	walks := n.take()
	tr.stamp = ^uint32(0) - 1
	tr.Event(event(1, monitor.Create|monitor.IsDir, "b"), start)
	tr.Event(event(1, monitor.Create|monitor.IsDir, "c"), start) // wraps
	if tr.stamp != 1 {
		t.Fatalf("stamp %d", tr.stamp)
	}
	walks = append(walks, n.take()...)
	wd := int32(2)
	for len(walks) > 0 {
		for _, w := range walks {
			tr.Listing(Listing{Serial: w.Serial, WD: wd}, start)
			wd++
		}
		walks = n.take()
	}
	if c := tr.Counters(); !tr.Idle() || c.Watched != 4 {
		t.Errorf("%+v", c)
	}
}

func TestSkipped(t *testing.T) {
	entries := []Entry{{Kind: listing.KindSocket, Name: "s"}, {Kind: listing.KindBlock, Name: "b"}, {Kind: listing.KindFIFO, Name: "p"}}
	_, n := started(t, Config{}, entries...)
	if got := strings.Join(n.skipped, " "); got != "s b" {
		t.Errorf("skipped %q", got)
	}
	_, n = started(t, Config{Devices: true}, entries...)
	if got := strings.Join(n.skipped, " "); got != "s" {
		t.Errorf("with devices: skipped %q", got)
	}
}

// A directory whose parent has no watch tells of its own move.
func TestMoveSelfWithoutParent(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("a"))
	n.answer(t, tr, "a", Listing{WD: -1, Status: listing.ENOSPC})
	n.answer(t, tr, "a", Listing{WD: -1, Entries: []Entry{dirEntry("b")}})
	n.answer(t, tr, "a/b", Listing{WD: 2})
	if c := tr.Counters(); c.Unwatched != 1 || c.Watched != 2 {
		t.Fatalf("%+v", c)
	}
	tr.Event(event(2, monitor.MoveSelf, ""), start)
	n.answer(t, tr, "a/b", Listing{WD: -1, Status: listing.ENOENT})
	if n.dirty["a/b"]&(Name|Replaced) != Name|Replaced || tr.Counters().Dirs != 2 {
		t.Errorf("%v %+v", n.dirty, tr.Counters())
	}
	if at, due := tr.Next(); !due {
		t.Error("nothing is due")
	} else if tr.Tick(at); len(n.unwatch) != 1 || n.unwatch[0] != 2 {
		t.Errorf("unwatched %v", n.unwatch)
	}
	if _, due := tr.Next(); due {
		t.Error("something is still due")
	}
}

// An entry of unknown kind (it could not be looked at) is no reason to drop a
// directory of that name.
func TestUnknownKind(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("a"))
	n.answer(t, tr, "a", Listing{WD: 2})
	tr.Verify()
	n.answer(t, tr, "", Listing{WD: 1, Entries: []Entry{{Kind: listing.KindNone, Name: "a"}}})
	if c := tr.Counters(); c.Dirs != 2 || c.Stale != 0 || c.Verifying {
		t.Errorf("%+v", c)
	}
}

func TestAnswersThatNobodyAskedFor(t *testing.T) {
	tr, _ := started(t, Config{})
	tr.Listing(Listing{Serial: 99, WD: 5, Entries: []Entry{dirEntry("x")}}, start)
	if c := tr.Counters(); c.Dirs != 1 || c.Watched != 1 {
		t.Errorf("%+v", c)
	}
}

// Events of too many descriptors without a directory: the descriptor that one of
// the answers brings may have been among them.
func TestManyEventsBeforeTheAnswer(t *testing.T) {
	tr, n := started(t, Config{}, dirEntry("slow"), dirEntry("quick"))
	walks := n.take()
	for wd := range int32(100_000) {
		tr.Event(event(1000+wd, monitor.Modify, "f"), start)
	}
	tr.Listing(Listing{Serial: walks[0].Serial, WD: 1000}, start)
	tr.Listing(Listing{Serial: walks[1].Serial, WD: 3}, start)
	n.answerAll(t, tr, map[string]int32{"slow": 1000, "quick": 3})
	if tr.early.Any() || !tr.Idle() || tr.Counters().Watched != 3 {
		t.Errorf("noted when idle, %+v", tr.Counters())
	}
}

// answerAll answers all walks under way.
func (n *notes) answerAll(tb testing.TB, t *Tracker, wds map[string]int32) {
	tb.Helper()
	w := n.take()
	if len(w) != len(wds) {
		tb.Fatalf("walks %v, want %v", w, wds)
	}
	for _, w := range w {
		t.Listing(Listing{Serial: w.Serial, WD: wds[w.Rel]}, start)
	}
}

func TestManyOrphansAreEndedInParts(t *testing.T) {
	var entries []Entry
	for i := range 10_000 {
		entries = append(entries, dirEntry(fmt.Sprint(i)))
	}
	tr, n := started(t, Config{}, dirEntry("a"))
	n.answer(t, tr, "a", Listing{WD: 2, Entries: entries})
	for wd := int32(3); !tr.Idle(); {
		for _, w := range n.take() {
			tr.Listing(Listing{Serial: w.Serial, WD: wd}, start)
			wd++
		}
	}
	tr.Event(monitor.Event{WD: 1, Mask: monitor.MovedFrom | monitor.IsDir, Cookie: 1, Name: []byte("a")}, start)
	ticks := 0
	for {
		at, due := tr.Next()
		if !due {
			break
		}
		before := len(n.unwatch)
		tr.Tick(at)
		if len(n.unwatch)-before > 4096 {
			t.Fatal("too many at once")
		}
		ticks++
	}
	if len(n.unwatch) != 10_001 || ticks != 4 {
		t.Errorf("%d ended in %d ticks", len(n.unwatch), ticks)
	}
}

// nothing is a Sink for benchmarks.
type nothing struct{ walks []Walk }

func (*nothing) Dirty(string, Change, *Entry)  {}
func (*nothing) Suspect(string, []doubt.Doubt) {}
func (*nothing) Forgotten(time.Time)           {}
func (*nothing) Seen(string, Entry, bool)      {}
func (n *nothing) Walk(w Walk)                 { n.walks = append(n.walks, w) }
func (*nothing) Unwatch(int32)                 {}
func (*nothing) Rescan(string)                 {}
func (*nothing) RootGone(string)               {}
func (*nothing) Skip(string, uint8)            {}
func (*nothing) Failed(string, uint16)         {}
func (*nothing) TooLong(string)                {}

// BenchmarkWalk is the initial walk of 100,000 directories.
func BenchmarkWalk(b *testing.B) {
	var level []Entry
	for i := range 100 {
		level = append(level, dirEntry(fmt.Sprintf("directory-%03d", i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		n := &nothing{}
		tr := New(Config{}, n)
		tr.Start(false, 0)
		for wd := int32(1); !tr.Idle(); {
			walks := n.walks
			n.walks = nil
			for _, w := range walks {
				l := Listing{Serial: w.Serial, WD: wd}
				if strings.Count(w.Rel, "/") < 2 && (w.Rel == "" || wd < 1200) {
					l.Entries = level
				}
				wd++
				tr.Listing(l, start)
			}
		}
		b.ReportMetric(float64(tr.Tree().Len()), "dirs")
	}
}

// BenchmarkEvent is one change of a file.
func BenchmarkEvent(b *testing.B) {
	tr, n := started(b, Config{}, dirEntry("project"))
	n.answer(b, tr, "project", Listing{WD: 2, Entries: []Entry{dirEntry("source")}})
	n.answer(b, tr, "project/source", Listing{WD: 3})
	tr.sink = &nothing{}
	e := event(3, monitor.CloseWrite, "file.go")
	b.ReportAllocs()
	for b.Loop() {
		tr.Event(e, start)
	}
}

// What a target may not have been told of is marked by the first walk: the content
// of files that have changed since, and of nothing else, nor once it has ended.
func TestUnsure(t *testing.T) {
	const since = uint64(5e9 + 7)
	file := func(name string, ctime uint64) Entry {
		return Entry{Kind: listing.KindFile, Name: name, Ctime: ctime}
	}
	link := file("link", since)
	link.Kind = listing.KindLink
	dir := dirEntry("dir")
	dir.Ctime = since
	entries := []Entry{file("before", since-1), file("then", since), file("after", since+1), link, dir}
	for name, beside := range map[string]uint64{"behind the walk": 0, "beside it": since + 1} {
		n := &notes{}
		tr := New(Config{Unsure: since}, n)
		tr.Tick(start)
		tr.Start(false, beside)
		if w := n.walks[0]; w.Since != since {
			t.Errorf("%s: it asks for what changed since %d", name, w.Since)
		}
		n.answer(t, tr, "", Listing{WD: 1, Ctime: since, Entries: entries})
		n.answer(t, tr, "dir", Listing{WD: 2, Entries: []Entry{file("below", since)}})
		want := map[string]Change{"then": Content, "after": Content, "dir/below": Content}
		if beside > 0 {
			want["after"] = Name | Content | Attr
		}
		if !maps.Equal(n.dirty, want) {
			t.Errorf("%s: %v, want %v", name, n.dirty, want)
		}
		n.dirty = nil
		tr.Verify()
		if w := n.walks[0]; w.Since != 0 {
			t.Errorf("%s: a verification asks for what changed since %d", name, w.Since)
		}
		n.answer(t, tr, "", Listing{WD: 1, Entries: entries})
		if len(n.dirty) > 0 {
			t.Errorf("%s: a verification marks %v", name, n.dirty)
		}
	}
}
