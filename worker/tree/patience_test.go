package tree

import (
	"fmt"
	"testing"
	"time"
)

// What is in limbo is waited for longer while it may be found, but not for too
// much of it.
func TestPatience(t *testing.T) {
	tr := New()
	for i, c := range []struct {
		more int
		rest bool
		want time.Duration
	}{{1, true, time.Second}, {0, false, 20 * time.Second}, {1023, false, 20 * time.Second}, {1, false, time.Second}} {
		for n := range c.more {
			id, _ := tr.Add(tr.Root(), fmt.Sprint(i, "-", n))
			tr.Detach(id, uint32(n+1), time.Time{})
		}
		if got := tr.Patience(time.Second, c.rest); got != c.want {
			t.Errorf("case %d: %v, want %v", i, got, c.want)
		}
	}
}
