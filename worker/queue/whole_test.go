package queue

import (
	"slices"
	"testing"
	"time"
)

// What lacks a directory's names is a pass's to delete, once: that something else
// changes there meanwhile does not call for another one; that it is replaced again
// does, and so does a pass that failed.
func TestPassPrunesOnce(t *testing.T) {
	for name, c := range map[string]struct {
		during Change
		ok     bool
		want   Change
	}{
		"attributes":   {Attr, true, Attr},
		"again":        {Attr | Replaced, true, Attr | Replaced},
		"only content": {Content, true, Attr | Content},
		"failed":       {Attr, false, Attr | Replaced},
	} {
		q := New(Config{}, epoch)
		q.Add("", Attr|Replaced, epoch)
		q.AddWhole(epoch)
		if !q.BeginWhole(epoch) {
			t.Fatal("no pass begins")
		}
		q.Add("", c.during, epoch)
		q.EndWhole(c.ok, epoch, func() float64 { return 0 })
		if got := q.Pending(""); got != c.want {
			t.Errorf("%s: %v waits, want %v", name, got, c.want)
		}
	}
}

// TestWholeEnds: a path of which a plan can only say that a whole pass is
// needed does not ask for one after the other for ever: the last one compares
// its content. So it is with one that only waits beside it; but what is written
// to while its batch is planned is as new.
func TestWholeEnds(t *testing.T) {
	for name, c := range map[string]struct {
		writes []int // before which Return f is written to
		passes int   // that are needed
	}{
		"never":  {nil, 2},
		"first":  {[]int{0}, 3},
		"second": {[]int{1}, 4},
		"both":   {[]int{0, 1}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			q := New(Config{}, epoch)
			q.Add("f", Content, epoch)
			q.Add("p", Replaced, epoch)
			for pass := range c.passes {
				b := q.Take(epoch, 0)
				if _, ok := b.find("f"); !ok {
					t.Fatalf("pass %d has ended f", pass)
				}
				if slices.Contains(c.writes, pass) {
					q.Add("f", Content, epoch)
				}
				q.AddWhole(epoch)
				q.Return(b, epoch)
				if !q.BeginWhole(epoch) {
					t.Fatal("begin")
				}
				if got, last := q.Contents(), pass == c.passes-1; slices.Contains(got, "f") != last {
					t.Errorf("pass %d of %d compares the content of %q", pass, c.passes, got)
				}
				q.EndWhole(true, epoch, half)
				q.Add("p", Replaced, epoch)
			}
			if q.Pending("f") != 0 {
				t.Error("it goes on and on")
			}
		})
	}
}

// What a pass was to end that failed, the next one ends.
func TestWholeEndsAfterFailure(t *testing.T) {
	q := New(Config{}, epoch)
	q.Add("f", Content, epoch)
	for pass := range 3 {
		now := epoch.Add(time.Duration(pass) * time.Hour)
		if b := q.Take(now, 0); pass < 2 {
			q.AddWhole(now)
			q.Return(b, now)
		}
		q.BeginWhole(now)
		if got := q.Contents(); slices.Contains(got, "f") != (pass > 0) {
			t.Errorf("pass %d compares the content of %q", pass, got)
		}
		q.EndWhole(pass != 1, now, half)
	}
	if !q.Idle() {
		t.Error("not idle")
	}
}
