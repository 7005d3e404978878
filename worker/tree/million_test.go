package tree

import (
	"fmt"
	"runtime"
	"testing"
)

// bytesPerDir is the project's budget for user space.
const bytesPerDir = 120

// wide is a tree of about n directories, 100 below each but the last, with a
// watch each and names as people give them.
func wide(n int) *Tree {
	tr := New()
	top := tr.Root()
	wd := int32(0)
	add := func(parent ID, name string) ID {
		id, _ := tr.Add(parent, name)
		wd++
		tr.SetWD(id, wd)
		return id
	}
	for i := range n {
		if i%100 == 0 {
			top = add(tr.Root(), fmt.Sprintf("project-%07d", i))
		}
		add(top, fmt.Sprintf("directory-%07d", i))
	}
	return tr
}

// heap is what is alive in the whole process.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBudget asserts the bytes of heap that a directory costs, as the runtime
// counts them, and that Bytes is no other number.
func TestBudget(t *testing.T) {
	sizes := []int{1_000_000, 550_000} // the tables fully used, and half
	if testing.Short() {
		sizes = []int{120_000, 70_000}
	}
	for _, n := range sizes {
		before := heap()
		tr := wide(n)
		used := heap() - before
		per := float64(used) / float64(tr.Len())
		t.Logf("%d directories: %.1f bytes of heap each, by the tree's own account %.1f", tr.Len(), per, float64(tr.Bytes())/float64(tr.Len()))
		if per > bytesPerDir {
			t.Errorf("%.1f bytes a directory at %d, at most %d", per, tr.Len(), bytesPerDir)
		}
		if own := float64(tr.Bytes()); own < 0.98*float64(used) || own > 1.02*float64(used) {
			t.Errorf("Bytes is %.0f, the runtime counts %d", own, used)
		}
		runtime.KeepAlive(tr)
	}
}

// TestBudgetAfterChurn: what was deleted and made again costs nothing.
func TestBudgetAfterChurn(t *testing.T) {
	const n = 50_000
	before := heap()
	tr := wide(n)
	for round := range 4 {
		var kids []ID
		for _, id := range tr.Children(nil, tr.Root()) {
			kids = tr.Children(kids[:0], id)
			for i, kid := range kids {
				if i%2 == round%2 {
					tr.Remove(kid, func(int32, uint16) {})
				}
			}
			for i := range kids {
				if i%2 == round%2 {
					tr.Add(id, fmt.Sprintf("directory-%d-%07d", round, i))
				}
			}
		}
	}
	per := float64(heap()-before) / float64(tr.Len())
	t.Logf("%d directories: %.1f bytes of heap each", tr.Len(), per)
	if tr.Len() < n || per > bytesPerDir {
		t.Errorf("%.1f bytes a directory at %d, at most %d", per, tr.Len(), bytesPerDir)
	}
	runtime.KeepAlive(tr)
}

// BenchmarkMillion is what 1,000,000 directories take.
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		tr := wide(1_000_000)
		b.ReportMetric(float64(tr.Bytes())/float64(tr.Len()), "bytes/dir")
		b.ReportMetric(float64(tr.Len()), "dirs")
	}
}
