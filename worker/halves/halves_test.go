package halves

import (
	"testing"
	"time"
)

func TestWaiting(t *testing.T) {
	began := time.Unix(1e9, 0)
	var w Waiting
	if w.Due(began) || !w.Next().IsZero() {
		t.Error("nothing waits, and is due")
	}
	for i, rel := range []string{"a", "a/b", "c", "ab"} {
		w = append(w, Half{Cookie: uint32(i + 1), Rel: rel, At: began.Add(time.Duration(i) * time.Second)})
	}
	if got := w.Next(); !got.Equal(began.Add(Wait)) || w.Due(began.Add(Wait-1)) || !w.Due(got) {
		t.Errorf("the first is due at %v", got)
	}
	if _, ok := w.Take(0); ok {
		t.Error("an event without a cookie has a first half")
	}
	if h, ok := w.Take(3); !ok || h.Rel != "c" {
		t.Errorf("cookie 3 is of %+v", h)
	}
	if _, ok := w.Take(3); ok {
		t.Error("a half is there after it was taken")
	}
	for _, want := range []string{"a", "a/b"} { // above and at
		if h, ok := w.TakeAt("a/b"); !ok || h.Rel != want {
			t.Errorf("at a/b there is %+v, want %s", h, want)
		}
	}
	if h, ok := w.TakeAt("a"); ok {
		t.Errorf("at a there is %+v", h)
	}
	if h, ok := w.TakeAt(""); ok {
		t.Errorf("at the root there is %+v", h) // no name is it
	}
	if h := w.Oldest(); h.Rel != "ab" || len(w) != 0 {
		t.Errorf("the oldest is %+v", h)
	}
}
