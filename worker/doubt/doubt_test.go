package doubt

import (
	"fmt"
	"testing"
	"time"
)

var start = time.Unix(1000, 0)

func TestDoubts(t *testing.T) {
	var d Set
	covers := func(rel string) bool { return len(d.Of(nil, rel, false)) > 0 }
	d.Add("a/b", start)
	for rel, want := range map[string]bool{"a": false, "a/b": true, "a/b/c/d": true, "a/bc": false, "": false, "b": false} {
		if covers(rel) != want {
			t.Errorf("%q: %v", rel, !want)
		}
	}
	d.Add("a", start.Add(time.Second))
	d.Add("a/b", start.Add(time.Second))
	if got := d.Of(nil, "a/b/c", true); len(got) != 2 || got[0] != (Doubt{true, start.Add(time.Second), start.Add(time.Second)}) ||
		got[1] != (Doubt{true, start, start.Add(time.Second)}) {
		t.Errorf("%+v", got)
	}
	d.Forget(start.Add(time.Second))
	if !covers("a/b") {
		t.Error("a younger note was forgotten with the older one")
	}
	d.Forget(start.Add(2 * time.Second))
	if covers("a/b") || len(d.at)+len(d.order) != 0 {
		t.Error("not forgotten")
	}
	for i := range 2 * maxNotes {
		now := start.Add(time.Duration(i))
		if until := d.Add(fmt.Sprint(i), now); !until.IsZero() && (!until.Before(now) || covers("0") || !covers(fmt.Sprint(i))) {
			t.Fatalf("number %d made it forget until %v", i, until)
		}
	}
	if len(d.at) > maxNotes {
		t.Errorf("%d doubts", len(d.at))
	}
}
