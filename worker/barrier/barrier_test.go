package barrier

import (
	"slices"
	"testing"
)

// Each barrier has a mark of its own, one at a time, in the order in which they were
// added; also one that is added by another one.
func TestQueue(t *testing.T) {
	marks, called := 0, []int(nil)
	q := Queue{Mark: func() { marks++ }}
	q.Reached() // nobody waits
	q.Add(func() {
		called = append(called, 1)
		q.Add(func() { called = append(called, 3) })
	})
	q.Add(func() { called = append(called, 2) })
	for i, want := range []int{1, 2, 3} {
		if marks != want || len(called) != i {
			t.Fatalf("%d marks, called %v, want %d marks", marks, called, want)
		}
		q.Reached()
	}
	q.Reached()
	if marks != 3 || !slices.Equal(called, []int{1, 2, 3}) {
		t.Errorf("%d marks, called %v", marks, called)
	}
}
