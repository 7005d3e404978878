package tell

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"lockstep/worker/listing"
)

func at(ms int) time.Time { return time.Unix(1_000_000_000, int64(ms)*1e6) }

// Of more paths than are waited for, those that have waited longest are told.
func TestSettleIsBounded(t *testing.T) {
	told := 0
	s := NewSettler(time.Hour, func(e Event) {
		if want := fmt.Sprint(told); e.Rel != want {
			t.Fatalf("%s is told, not %s", e.Rel, want)
		}
		told++
	})
	for i := range maxWaiting + 100 {
		s.Add(Event{Op: Create, Rel: fmt.Sprint(i), At: at(i)})
		if len(s.at) > maxWaiting {
			t.Fatalf("%d wait", len(s.at))
		}
	}
	if told != 100 {
		t.Errorf("%d are told", told)
	}
}

// arrival is a Create that may have replaced something.
const arrival = Rescan + 1

// A row is what happens to paths at which time, and what is told when, if a path
// has to be quiet for 100 ms.
func TestSettle(t *testing.T) {
	type change struct {
		ms  int
		op  Op
		rel string
	}
	for name, c := range map[string]struct {
		in   []change
		want string
	}{
		"one":                      {[]change{{0, Create, "a"}}, "100 create a"},
		"create and write":         {[]change{{0, Create, "a"}, {50, Modify, "a"}, {60, Attrib, "a"}}, "160 create a"},
		"came and went":            {[]change{{0, Create, "a"}, {50, Modify, "a"}, {60, Remove, "a"}}, ""},
		"replaced, perhaps":        {[]change{{0, arrival, "a"}, {50, Modify, "a"}, {60, Remove, "a"}}, "160 delete a"},
		"perhaps, and again":       {[]change{{0, arrival, "a"}, {50, Remove, "a"}, {60, Create, "a"}}, "160 create a"},
		"again, and then gone":     {[]change{{0, arrival, "a"}, {50, Remove, "a"}, {60, Create, "a"}, {70, Remove, "a"}}, "170 delete a"},
		"replaced what is new":     {[]change{{0, Create, "a"}, {50, arrival, "a"}, {60, Remove, "a"}}, ""},
		"replaced what was there":  {[]change{{0, Modify, "a"}, {50, arrival, "a"}, {60, Remove, "a"}, {70, Create, "a"}}, "170 modify a"},
		"replaced":                 {[]change{{0, Remove, "a"}, {50, Create, "a"}}, "150 modify a"},
		"attributes, then content": {[]change{{0, Attrib, "a"}, {10, Modify, "a"}}, "110 modify a"},
		"changed, then gone":       {[]change{{0, Modify, "a"}, {10, Remove, "a"}}, "110 delete a"},
		"never quiet":              {slices.Repeat([]change{{-60, Modify, "a"}}, 30), "1020 modify a; 1840 modify a"},
		"above first":              {[]change{{0, Create, "d"}, {10, Create, "d/e"}, {20, Attrib, "d"}}, "110 create d; 110 create d/e"},
		"two":                      {[]change{{0, Modify, "a"}, {10, Modify, "b"}, {90, Modify, "a"}}, "110 modify b; 190 modify a"},
		"a move ends it":           {[]change{{0, Create, "a"}, {10, Move, "b"}}, "10 create a; 10 move b"},
		"a loss ends it":           {[]change{{0, Create, "a"}, {10, Overflow, ""}}, "10 create a; 10 overflow "},
	} {
		var got []string
		now := 0
		s := NewSettler(100*time.Millisecond, func(e Event) { got = append(got, fmt.Sprintf("%d %v %s", now, e.Op, e.Rel)) })
		for i, x := range c.in {
			if x.ms < 0 {
				x.ms = -x.ms * i
			}
			for ; now < x.ms; now += 10 {
				s.Due(at(now))
			}
			e := Event{Op: x.op, Rel: x.rel, At: at(now)}
			if x.op == arrival {
				e.Op, e.Over = Create, true
			}
			s.Add(e)
		}
		for !s.Next().IsZero() {
			now += 10
			s.Due(at(now))
		}
		if all := strings.Join(got, "; "); all != c.want {
			t.Errorf("%s: got %q, want %q", name, all, c.want)
		}
	}
}

// What is told of a type is right, or nothing is: another thing may be there by
// the time of the look.
func TestTypes(t *testing.T) {
	y := NewTyper()
	seq := uint64(0)
	happens := func(o Op, rel string, kind uint8) {
		seq++
		if o != Modify {
			y.Changed(rel, kind == listing.KindDir, seq)
		}
		y.Push(Event{Op: o, Rel: rel, Kind: kind, Seq: seq})
	}
	happens(Create, "a", 0)
	happens(Create, "b", 0)
	happens(Create, "d/x", 0)
	rels, n := y.Batch()
	if !slices.Equal(rels, []string{"a", "b", "d/x"}) || n != 3 {
		t.Fatalf("%v, %d", rels, n)
	}
	happens(Remove, "b", 0)               // after the look, or before: who knows
	happens(Remove, "d", listing.KindDir) // and so it is with all below it
	happens(Modify, "a", 0)
	if rels, _ := y.Batch(); rels != nil {
		t.Errorf("asked for %v while an answer is under way", rels)
	}
	y.Resolve(n, map[string]uint8{"a": listing.KindFile, "b": listing.KindLink, "d/x": listing.KindFIFO})
	var got []string
	take := func(e *Event) { got = append(got, fmt.Sprintf("%v %s %s", e.Op, e.Rel, typeOf(e.Kind))) }
	y.Release(take)
	rels, n = y.Batch()
	y.Resolve(n, map[string]uint8{"a": listing.KindFile})
	y.Release(take)
	want := []string{"create a file", "create b ", "create d/x ", "delete b ", "delete d dir", "modify a file"}
	if !slices.Equal(got, want) || !slices.Equal(rels, []string{"a"}) || !y.Empty() {
		t.Errorf("got %q, asked for %v", got, rels)
	}
}

// Of more events than are kept, those that wait for their type go without; what was
// seen for them says nothing of others that took their places.
func TestTypesAreBounded(t *testing.T) {
	y := NewTyper()
	told := 0
	tell := func(e *Event) {
		if e.Kind != listing.KindNone || e.Rel != fmt.Sprint(told) {
			t.Fatalf("event %d: %s is told to be a %q", told, e.Rel, typeOf(e.Kind))
		}
		told++
	}
	push := func(i int) { y.Push(Event{Op: Create, Rel: fmt.Sprint(i), Seq: uint64(i + 1)}) }
	push(0)
	rels, n := y.Batch()
	most := 0
	for i := range 3 * maxQueue {
		push(i + 1)
		y.Release(tell)
		most = max(most, len(y.queue))
	}
	if told < 2*maxQueue || most > maxQueue {
		t.Errorf("%d are told, %d were kept", told, most)
	}
	first := y.queue[0].Rel // has the place of the one that was asked for
	kinds := map[string]uint8{first: listing.KindFile}
	for _, rel := range rels {
		kinds[rel] = listing.KindFile
	}
	y.Resolve(n, kinds)
	if y.Known(first) != listing.KindNone || y.Known("0") != listing.KindNone {
		t.Error("what was seen before an event is told of it")
	}
}

// Whatever a name is, a line is printable, and the name can be read back.
func FuzzLine(f *testing.F) {
	for _, name := range []string{"a/b", "", "\x1b[2J", "\u202e", "a\"b\\", "\xff", "\U000e0001", "ä €"} {
		f.Add(name, "x")
	}
	f.Fuzz(func(t *testing.T, name, from string) {
		e := Event{Op: Move, Kind: listing.KindFile, Rel: name, From: from, At: at(0)}
		for _, asJSON := range []bool{false, true} {
			line := e.AppendLine(nil, asJSON)
			if !utf8.Valid(line) || strings.ContainsFunc(string(line), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("%q", line)
			}
			if !asJSON {
				continue
			}
			var back struct {
				Path, From string
				Path64     []byte `json:"path_b64"`
				From64     []byte `json:"from_b64"`
			}
			if err := json.Unmarshal(line, &back); err != nil || back.Path+string(back.Path64) != name || back.From+string(back.From64) != from {
				t.Errorf("%v: %q and %q as %s", err, name, from, line)
			}
		}
	})
}
