package queue

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Whatever is added stays covered, and there are never too many.
func TestSubtreesCoverAllThatWasAdded(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var s subtrees
		var added []string
		for range 4000 {
			names := make([]string, 1+rng.IntN(6))
			for i := range names {
				names[i] = string(rune('a' + rng.IntN(2+int(seed))))
			}
			rel := strings.Join(names, "/") + fmt.Sprint(rng.IntN(50))
			added = append(added, rel)
			s = s.with(rel)
			if len(s) > maxSubtrees {
				t.Fatalf("%d subtrees", len(s))
			}
		}
		for _, rel := range added {
			if !s.covers(rel) {
				t.Fatalf("seed %d: %q was added and is not covered", seed, rel)
			}
		}
		for _, rel := range s.list() {
			if rel != "" && s.covers(parent(rel)) {
				t.Errorf("%q is below another one", rel)
			}
		}
	}
}

// Changes in a few directories stay those directories, however many there are.
func TestSubtreesStayNarrow(t *testing.T) {
	var s subtrees
	for i := range 100_000 {
		s = s.with(fmt.Sprintf("srv/www/%d/file%d", i%30, i))
	}
	if s.covers("srv/other") || s.covers("srv/www/31") || !s.covers("srv/www/7/file7") {
		t.Errorf("%d: %q", len(s), s.list()[:min(len(s), 5)])
	}
}

// What there is at one depth, and where it is cut when there are too many.
func TestSubtreesAreCutWhereFewAreLeft(t *testing.T) {
	for name, c := range map[string]struct {
		rel  string // of the i-th path
		want string
	}{
		"first names":     {"%[1]d/a/b", "[]"},
		"second names":    {"a/%[1]d/b/c", "[a]"},
		"last names":      {"a/b/c/%[1]d", "[a/b/c]"},
		"of two":          {"a/%[2]d/c/%[1]d", "[a/0/c a/1/c]"},
		"with a prefix":   {"a-/%[2]d/%[1]d", "[a-/0 a-/1]"},
		"one is shallow":  {"x/%[3]s", "[x/b x/shallow]"},
		"root among them": {"%[4]s", "[]"},
	} {
		var s subtrees
		for i := range maxSubtrees + 1 {
			shallow, root := "shallow", ""
			if i > 0 {
				shallow, root = fmt.Sprintf("b/%d", i), fmt.Sprint(i)
			}
			s = s.with(strings.SplitN(fmt.Sprintf(c.rel+"\x00", i, i%2, shallow, root), "\x00", 2)[0])
		}
		if got := fmt.Sprint(s.list()); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A path that is four times as deep costs four times as much, not 64 times.
func TestSubtreesCostWhatPathsAreLong(t *testing.T) {
	cost := func(spec string, depth int) time.Duration {
		var paths []string
		for i := range maxSubtrees + 1 {
			paths = append(paths, fmt.Sprintf(spec, strings.Repeat("d/", depth), i))
		}
		least := time.Hour
		for range 5 {
			began := time.Now()
			var s subtrees
			for _, rel := range paths {
				s = s.with(rel)
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	for name, spec := range map[string]string{"first names": "%[2]d/%[1]sx", "last names": "%[1]s%[2]d"} {
		shallow, deep := cost(spec, 40), cost(spec, 160)
		if ratio := float64(deep) / float64(shallow); ratio > 12 {
			t.Errorf("%s: at four times the depth %.1f times the time (%v, %v)", name, ratio, shallow, deep)
		}
	}
}

// A queue that has collapsed remembers where content may differ until a pass
// that began after it has compared it.
func TestCollapseKeepsContent(t *testing.T) {
	now := time.Unix(1e9, 0)
	rnd := func() float64 { return 0.5 }
	q := New(Config{MaxPaths: 3}, now)
	for i := range 3 {
		q.Add(fmt.Sprintf("d/%d", i), Attr, now)
	}
	q.Add("d/0", Content, now)
	q.Add("e/x", Name, now) // one too many: it collapses, and this is dirty too
	q.Add("f/y", Attr, now) // the pass compares attributes
	q.Add("g/z", Content, now)
	if q.Len() != 0 || !q.Whole() || q.Collapses() != 1 {
		t.Fatalf("%d paths wait, whole %v", q.Len(), q.Whole())
	}
	want := "[d/0 e/x g/z]"
	for range 2 { // the pass fails once, and all is kept
		now = now.Add(time.Hour)
		if !q.BeginWhole(now) {
			t.Fatal("no pass begins")
		}
		if got := fmt.Sprint(q.Contents()); got != want {
			t.Fatalf("to be compared: %s, want %s", got, want)
		}
		q.EndWhole(false, now, rnd)
	}
	now = now.Add(time.Hour)
	q.BeginWhole(now)
	q.Add("h", Content, now)
	for i := range 5 { // it collapses again while the pass runs
		q.Add(fmt.Sprintf("i/%d", i), Content, now)
	}
	q.EndWhole(true, now, rnd)
	if !q.Whole() {
		t.Fatal("what has changed since the pass began is forgotten")
	}
	now = now.Add(time.Hour)
	q.BeginWhole(now)
	if got := fmt.Sprint(q.Contents()); got != "[h i/0 i/1 i/2 i/3 i/4]" {
		t.Errorf("to be compared by the second pass: %s", got)
	}
	q.KeepContents()
	q.EndWhole(true, now, rnd)
	q.AddWhole(now)
	q.BeginWhole(now)
	if len(q.Contents()) != 6 {
		t.Error("what could not be compared was not kept for the next pass")
	}
	q.EndWhole(true, now, rnd)
	if !q.Idle() {
		t.Error("not idle")
	}
}

// What may wait is bounded by its bytes, too: long paths are fewer.
func TestCollapseBoundsBytes(t *testing.T) {
	now := time.Unix(1e9, 0)
	q := New(Config{MaxPaths: 100}, now)
	long := func(i int) string { return fmt.Sprintf("%s/%d", strings.Repeat("d", 3998), i) }
	for i := range 5 {
		q.Add(long(i), Content, now)
		q.Add(long(i), Attr, now) // the same one
	}
	if q.Len() != 5 || q.Collapses() != 0 {
		t.Fatalf("%d wait, %d collapses", q.Len(), q.Collapses())
	}
	// What was done makes room.
	b := q.Take(now, 3)
	q.Done(b, now)
	for i := range 3 {
		q.Add(long(5+i), Content, now)
	}
	if q.Len() != 5 || q.Collapses() != 0 {
		t.Fatalf("%d wait, %d collapses", q.Len(), q.Collapses())
	}
	q.Add(long(8), Content, now)
	if q.Len() != 0 || q.Collapses() != 1 || !q.Whole() {
		t.Fatalf("%d paths of 4 kB wait, %d collapses", q.Len(), q.Collapses())
	}
	q.BeginWhole(now)
	if got := len(q.Contents()); got != 6 {
		t.Errorf("content is compared in %d places", got)
	}
	q.EndWhole(true, now, half)
	for i := range 5 {
		q.Add(long(i), Content, now)
	}
	if q.Len() != 5 || q.Collapses() != 1 {
		t.Errorf("after the pass, %d wait, %d collapses", q.Len(), q.Collapses())
	}
}
