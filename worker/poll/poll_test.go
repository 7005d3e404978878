package poll

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/monitor"
	"lockstep/worker/listing"
)

var zero = time.Unix(1_000_000, 0)

// rig is a Poller, and what it tells.
type rig struct {
	*Poller
	t    *testing.T
	now  time.Time
	dirs []string
	told []string
}

func newRig(t *testing.T, every time.Duration) *rig {
	r := &rig{t: t, now: zero}
	r.Poller = New(Config{
		Root: 1, Every: every, Inodes: true,
		Dirs:  func() []string { return r.dirs },
		Known: func(rel string) bool { return slices.Contains(r.dirs, rel) },
		Emit: func(e monitor.PathEvent) {
			r.told = append(r.told, strings.Trim(string(e.Dir)+"/"+string(e.Name), "/")+" "+e.Mask.String())
		},
	})
	return r
}

// file is an entry that has changed long ago.
func file(name string, version uint64) listing.Entry {
	return listing.Entry{Kind: listing.KindFile, Ino: 7, Size: 1, Ctime: uint64(zero.UnixNano()) - 1<<40 + version, Name: name}
}

func folder(name string) listing.Entry {
	e := file(name, 1)
	e.Kind = listing.KindDir
	return e
}

// walk is a listing that the tree's keeper has asked for.
func (r *rig) walk(rel string, entries ...listing.Entry) {
	r.Listed(rel, listing.Part{Entries: entries}, r.now, r.now, false)
}

// round lets a round begin and answers it.
func (r *rig) round(answer map[string]listing.Part) []string {
	r.t.Helper()
	r.now = r.now.Add(time.Minute)
	rels := slices.Clone(r.Ahead(r.now))
	if len(rels) == 0 {
		r.t.Fatal("no round begins")
	}
	r.Take(len(rels))
	if next := r.Next(); !next.IsZero() {
		r.t.Errorf("something is due at %v, before the answer", next)
	}
	for _, rel := range rels {
		part, ok := answer[rel]
		if !ok {
			r.t.Fatalf("%q is listed", rel)
		}
		r.Listed(rel, part, r.now, r.now, true)
	}
	return rels
}

func (r *rig) expect(want ...string) {
	r.t.Helper()
	if !slices.Equal(r.told, want) {
		r.t.Errorf("told\n%s\nwant\n%s", strings.Join(r.told, "\n"), strings.Join(want, "\n"))
	}
	r.told = nil
}

func TestWhatDiffersIsTold(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{"", "d"}
	r.walk("", file("same", 1), file("content", 1), file("gone", 1), file("becomes-dir", 1), folder("becomes-file"), folder("d"), folder("gone-dir"))
	r.walk("d", file("f", 1))
	r.expect()
	owner := file("owner", 1)
	r.round(map[string]listing.Part{
		"":  {Entries: []listing.Entry{file("same", 1), file("content", 2), folder("becomes-dir"), file("becomes-file", 1), folder("d"), owner, folder("new-dir")}},
		"d": {Entries: []listing.Entry{file("f", 1)}},
	})
	// Times that do not lie between the listings are another clock's.
	r.expect("content MODIFY|ATTRIB|CREATE", "becomes-dir DELETE", "becomes-dir CREATE|ISDIR", "becomes-file DELETE|ISDIR", "becomes-file CREATE",
		"owner CREATE", "new-dir CREATE|ISDIR", "gone DELETE", "gone-dir DELETE|ISDIR")
	stamped := owner
	stamped.Stamp++
	moved := folder("d")
	moved.Ctime++
	bigger := file("content", 2)
	bigger.Size++
	other := file("same", 1)
	other.Ino++
	rest := []listing.Entry{folder("becomes-dir"), file("becomes-file", 1), folder("new-dir")}
	r.round(map[string]listing.Part{
		"":  {Entries: append([]listing.Entry{other, bigger, moved, stamped}, rest...)},
		"d": {Entries: nil},
	})
	again := []string{"content MODIFY|ATTRIB", "owner MODIFY|ATTRIB", "becomes-dir ATTRIB|ISDIR", "becomes-file MODIFY|ATTRIB", "new-dir ATTRIB|ISDIR"}
	r.expect(append(again, "same MODIFY|ATTRIB|CREATE", "content MODIFY|ATTRIB|CREATE", "d ATTRIB|ISDIR", "owner MODIFY|ATTRIB|CREATE", "d/f DELETE")...)
}

// A listing may come in several parts, and in another order.
func TestPartsAndOrder(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{""}
	r.walk("", file("a", 1), file("b", 1), file("c", 1))
	r.Listed("", listing.Part{More: true, Entries: []listing.Entry{file("c", 1)}}, r.now, r.now, false)
	r.expect()
	r.Listed("", listing.Part{Entries: []listing.Entry{file("b", 1), file("a", 1)}}, r.now, r.now, false)
	r.expect()
	// One that breaks off says nothing of what it did not list.
	r.Listed("", listing.Part{More: true, Entries: []listing.Entry{file("c", 1)}}, r.now, r.now, false)
	r.Listed("", listing.Part{Status: 1024}, r.now, r.now, false)
	r.expect()
	r.Listed("", listing.Part{Entries: []listing.Entry{file("c", 1), file("b", 1)}}, r.now, r.now, false)
	r.expect("a DELETE")
}

// A change that time cannot tell apart yet is told again when it can: a file may
// have been changed twice in a tick of its file system's clock.
func TestLateChangesAreToldAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		ctime   int64 // against the time of the listing that shows it
		rounds  int   // until it is told again; 0: it is not
		between time.Duration
	}{
		{"well before", -int64(time.Second), 0, time.Minute},
		{"just before", -int64(tick) / 2, 1, time.Minute},
		{"in the future", int64(time.Hour), 1, time.Minute},
		{"by a clock that is late", -int64(time.Hour), 1, time.Minute},
	} {
		r := newRig(t, time.Second)
		r.dirs = []string{""}
		r.walk("", file("f", 1))
		e := file("f", 0)
		e.Ctime = uint64(r.now.Add(time.Minute).UnixNano()+c.ctime) + 1
		answer := map[string]listing.Part{"": {Entries: []listing.Entry{e}}}
		r.round(answer)
		if len(r.told) != 1 {
			t.Errorf("%s: %q", c.name, r.told)
		}
		r.told = nil
		r.round(answer)
		if len(r.told) != c.rounds {
			t.Errorf("%s: later %q", c.name, r.told)
		}
		r.told = nil
		r.round(answer)
		r.expect()
	}
}

// A directory that could not be listed is not forgotten; one that is not there has
// gone, and is told as new when it is in the listing above once more.
func TestRefusals(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{"", "d", "d/e"}
	r.walk("", folder("d"))
	r.walk("d", folder("e"))
	r.walk("d/e", file("f", 1))
	part := func(entries ...listing.Entry) listing.Part { return listing.Part{Entries: entries} }
	r.round(map[string]listing.Part{"": part(folder("d")), "d": part(folder("e")), "d/e": {Status: 13}})
	r.expect("d/e CHANGED|ISDIR")
	if rels := r.round(map[string]listing.Part{"": part(folder("d")), "d": part(folder("e"))}); len(rels) != 2 {
		t.Errorf("%q", rels)
	}
	r.expect()
	r.walk("d/e", file("f", 2)) // whoever keeps the tree has walked it again
	r.expect()
	r.Listed("d/e", listing.Part{Status: listing.ENOENT}, r.now, r.now, false)
	r.expect("d/e DELETE|ISDIR")
	r.Listed("d/e", listing.Part{Status: listing.ENOENT}, r.now, r.now, false) // told once
	r.expect()
	r.round(map[string]listing.Part{"": part(folder("d")), "d": part(folder("e"))})
	r.expect("d/e CREATE|ISDIR")
	r.round(map[string]listing.Part{"": {Status: listing.ENOENT}, "d": {Status: listing.ENOENT}})
	r.expect(" DELETE_SELF|ISDIR", "d CHANGED|ISDIR")
}

// The first listing of a directory tells nothing, and what is no longer in the tree
// is no longer listed.
func TestDirectoriesComeAndGo(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{"", "a", "b"}
	r.walk("")
	r.walk("a", file("f", 1))
	r.round(map[string]listing.Part{"": {}, "a": {Entries: []listing.Entry{file("f", 1)}}})
	r.walk("b", file("f", 1))
	r.dirs = []string{"", "b"}
	r.round(map[string]listing.Part{"": {}, "b": {Entries: []listing.Entry{file("f", 1)}}})
	r.expect()
	if len(r.Poller.dirs) != 2 {
		t.Errorf("%d listings are kept", len(r.Poller.dirs))
	}
}

// A round that took some time is followed by a longer pause.
func TestRoundsRest(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{""}
	r.walk("")
	begin := r.now
	r.Ahead(begin)
	r.Take(1)
	r.Listed("", listing.Part{}, begin, begin.Add(100*time.Millisecond), true)
	if got := r.Next().Sub(begin); got != time.Second {
		t.Errorf("after a short round, the next is due after %v", got)
	}
	if r.Ahead(begin.Add(900*time.Millisecond)) != nil {
		t.Error("it begins too early")
	}
	begin = begin.Add(time.Second)
	r.Ahead(begin)
	r.Take(1)
	r.Listed("", listing.Part{}, begin, begin.Add(2*time.Second), true)
	if got := r.Next().Sub(begin); got != 10*time.Second {
		t.Errorf("after a round of 2s, the next is due after %v", got)
	}
}

// What waits for a round waits for the second one that begins from then on.
func TestMarks(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{""}
	r.walk("")
	called := 0
	r.now = r.now.Add(time.Minute)
	r.Ahead(r.now)
	r.Take(1)
	r.Mark(func() { called++ })
	r.Listed("", listing.Part{}, r.now, r.now, true)
	for want := range 3 {
		if called != max(0, want-1) {
			t.Errorf("%d rounds after it: called %d times", want, called)
		}
		r.round(map[string]listing.Part{"": {}})
	}
	if called != 1 {
		t.Errorf("called %d times", called)
	}
}

// Without rounds, a directory is listed when somebody asks for it.
func TestAsk(t *testing.T) {
	r := newRig(t, 0)
	r.dirs = []string{"", "d"}
	r.walk("", folder("d"))
	r.walk("d", file("f", 1))
	if r.Ask("unknown") || !r.Ask("d") || !r.Ask("") {
		t.Error("what is known can be asked for")
	}
	called := false
	r.Mark(func() { called = true })
	if got := r.Ahead(r.now); !slices.Equal(got, []string{"d", ""}) {
		t.Errorf("ahead %q", got)
	}
	r.Take(2)
	r.Listed("d", listing.Part{Entries: []listing.Entry{file("f", 2)}}, r.now, r.now, true)
	if called {
		t.Error("called before all was listed")
	}
	r.Listed("", listing.Part{Entries: []listing.Entry{folder("d")}}, r.now, r.now, true)
	r.expect("d/f MODIFY|ATTRIB|CREATE")
	if !called || !r.Next().IsZero() || r.Ahead(r.now.Add(time.Hour)) != nil {
		t.Error("nothing is left to do")
	}
	called = false
	if r.Mark(func() { called = true }); !called {
		t.Error("there is nothing to wait for")
	}
}

// FuzzCompare: after what is told was done to a copy of the old listing, it has the
// names and kinds of the new one, and whatever was told to have changed did.
func FuzzCompare(f *testing.F) {
	f.Add([]byte("aAbBcC"), []byte("bBaCcD"))
	f.Add([]byte{1, 2, 3}, []byte{})
	f.Fuzz(func(t *testing.T, before, after []byte) {
		r := newRig(t, time.Second)
		r.dirs = []string{""}
		list := func(spec []byte) (out []listing.Entry) {
			seen := map[string]bool{}
			for i := 0; i+1 < len(spec); i += 2 {
				name := fmt.Sprintf("n%d", spec[i])
				if !seen[name] {
					seen[name] = true
					e := file(name, uint64(spec[i+1]))
					e.Kind = 1 + spec[i+1]%2
					out = append(out, e)
				}
			}
			return out
		}
		old, now := list(before), list(after)
		r.walk("", old...)
		r.Listed("", listing.Part{Entries: now}, r.now, r.now, false)
		have := map[string]uint8{}
		for _, e := range old {
			have[e.Name] = e.Kind
		}
		changed := map[string]bool{}
		for _, line := range r.told {
			name, words, _ := strings.Cut(line, " ")
			kind := listing.KindFile
			if strings.HasSuffix(words, "ISDIR") {
				kind = listing.KindDir
			}
			changed[name] = true
			switch {
			case strings.Contains(words, "DELETE"):
				if have[name] != kind {
					t.Errorf("%s: there was %d", line, have[name])
				}
				delete(have, name)
			case strings.Contains(words, "CREATE"):
				have[name] = kind
			}
		}
		for _, e := range now {
			was := slices.IndexFunc(old, func(o listing.Entry) bool { return o.Name == e.Name })
			if have[e.Name] != e.Kind || changed[e.Name] != (was < 0 || old[was] != e) {
				t.Errorf("%+v: told %v", e, changed[e.Name])
			}
			delete(have, e.Name)
		}
		if len(have) > 0 {
			t.Errorf("left over: %v", have)
		}
	})
}

// BenchmarkCompare is a listing that is as the last one was.
func BenchmarkCompare(b *testing.B) {
	r := newRig(&testing.T{}, time.Second)
	rng := rand.New(rand.NewPCG(1, 1))
	var entries []listing.Entry
	for i := range 1000 {
		entries = append(entries, file(fmt.Sprintf("a-file-with-a-name-%d", i), rng.Uint64N(1<<30)))
	}
	r.walk("", entries...)
	b.ReportAllocs()
	for b.Loop() {
		r.walk("", entries...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/entry")
}
