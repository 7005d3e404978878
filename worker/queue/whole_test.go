package queue

import "testing"

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
