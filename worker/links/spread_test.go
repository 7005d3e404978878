package links

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/worker/queue"
)

// bits are of those that are to be spread.
func bits() []queue.Change { return []queue.Change{queue.Attr, queue.Content} }

// waits is a queue that is as simple as can be, and knows in which step what was
// added, and what waits was told by the kernel, be it under another name.
type waits struct {
	pending     map[string]queue.Change
	added, told map[queue.Change]map[string]int
	calls       int
	step        int
}

func newWaits() *waits {
	w := &waits{pending: map[string]queue.Change{}, added: map[queue.Change]map[string]int{}, told: map[queue.Change]map[string]int{}, step: 1}
	for _, bit := range bits() {
		w.added[bit], w.told[bit] = map[string]int{}, map[string]int{}
	}
	return w
}

func (w *waits) Pending(rel string) queue.Change { w.calls++; return w.pending[rel] }

func (w *waits) Add(rel string, c queue.Change, _ time.Time) {
	w.calls++
	w.pending[rel] |= c
	for _, bit := range bits() {
		if c&bit != 0 {
			w.added[bit][rel] = w.step
		}
	}
}

// tell is what the kernel tells under a name.
func (w *waits) tell(rel string, c queue.Change) {
	w.Add(rel, c, time.Time{})
	for _, bit := range bits() {
		if c&bit != 0 {
			w.told[bit][rel] = w.step
		}
	}
}

// last is when the last change was told that waits for one of the names.
func (w *waits) last(names []string, bit queue.Change) int {
	last := 0
	for _, rel := range names {
		if w.pending[rel]&bit != 0 {
			last = max(last, w.told[bit][rel])
		}
	}
	return last
}

// TestSpread compares what is spread with what must be: when a name goes, each
// change that waits for one of the names has been added for all of them since it
// was told, under whichever name, and whatever came, went and was done meanwhile.
func TestSpread(t *testing.T) {
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 7))
	x, targets := New(), []*waits{newWaits(), newWaits(), newWaits()}
	var waiting []Waiting
	for _, w := range targets {
		waiting = append(waiting, w)
	}
	left := 0
	x.Left = func(rel string, ino uint64) {
		names := x.Names(ino)
		if !slices.Contains(names, rel) {
			t.Fatalf("%q is none of %q", rel, names)
		}
		var last []int
		for _, w := range targets {
			last = append(last, w.last(names, queue.Attr), w.last(names, queue.Content))
		}
		x.Spread(ino, time.Unix(int64(targets[0].step), 0), waiting)
		for i, w := range targets {
			for k, bit := range bits() {
				told := last[2*i+k]
				for _, to := range names {
					if w.added[bit][to] < told {
						t.Fatalf("step %d, target %d: change %d, told in step %d, is not due for %q of %q", w.step, i, bit, told, to, names)
					}
					if w.pending[to]&bit != 0 { // else it has been brought over under this name
						w.told[bit][to] = max(w.told[bit][to], told)
					}
				}
				if told > 0 {
					left++
				}
			}
		}
	}
	for range 60_000 {
		rel := fmt.Sprintf("%c/%c", 'a'+r.IntN(3), 'a'+r.IntN(4))
		switch r.IntN(12) {
		case 0, 1, 2, 3:
			x.Set(rel, uint64(1+r.IntN(3)), 2)
		case 4, 5:
			x.Forget(rel)
		case 6, 7, 8:
			c := queue.Change(1 + r.IntN(7))
			x.Changed(rel, c)
			for _, w := range targets {
				w.tell(rel, c)
			}
		case 9:
			x.ForgetTree(rel[:1])
		case 10:
			x.Walk(true)
			for _, ino := range []uint64{1, 2, 3} {
				for _, rel := range x.Names(ino) {
					if r.IntN(4) > 0 {
						x.Set(rel, ino, 2)
					}
				}
			}
			x.Sweep()
		case 11: // things are taken between steps only
			for _, w := range targets {
				w.step++
				for rel := range w.pending {
					if r.IntN(3) > 0 {
						delete(w.pending, rel)
						delete(w.told[queue.Attr], rel)
						delete(w.told[queue.Content], rel)
					}
				}
			}
		}
		sound(t, x)
	}
	if left < 1000 {
		t.Errorf("only %d changes waited when a name went", left)
	}
}

// What waits for one name of a file is due for all, in a queue that has collapsed, too.
func TestSpreadInAQueue(t *testing.T) {
	now := time.Unix(1e9, 0)
	q := queue.New(queue.Config{MaxPaths: 4}, now)
	spread := func(names ...string) {
		x := New()
		for _, rel := range names {
			x.Set(rel, 7, 2)
		}
		x.Spread(7, now, []Waiting{q})
	}
	q.Add("a", queue.Name, now)
	spread("a", "b")
	if q.Len() != 1 {
		t.Error("a name is not the file's own")
	}
	q.Add("a", queue.Content, now)
	spread("a", "b")
	if q.Pending("b") != queue.Content {
		t.Errorf("%b", q.Pending("b"))
	}
	for i := range 5 {
		q.Add(fmt.Sprintf("d/%d", i), queue.Content, now)
	}
	spread("a", "c")
	if q.Len() != 0 || q.Pending("c") != queue.Content || q.Pending("e") != 0 {
		t.Errorf("%d wait; c %b e %b", q.Len(), q.Pending("c"), q.Pending("e"))
	}
}

// What Spread asks of the queues, and adds, is in proportion to the names, also
// when each of them comes with a change of its own while another one goes.
func TestSpreadCountsSteps(t *testing.T) {
	calls := func(n int) int {
		x, w := New(), newWaits()
		x.Left = func(_ string, ino uint64) { x.Spread(ino, time.Time{}, []Waiting{w}) }
		for i := range n {
			x.Set(fmt.Sprint("old", i), 7, 2)
		}
		for i := range n {
			rel := fmt.Sprint("new", i)
			w.tell(rel, queue.Name|queue.Content)
			x.Set(rel, 7, 2)
			x.Forget(fmt.Sprint("old", i))
		}
		for i := range n {
			x.Changed(fmt.Sprint("new", i), queue.Attr)
			w.tell(fmt.Sprint("new", i), queue.Attr)
			x.Forget(fmt.Sprint("new", i))
		}
		return w.calls
	}
	few, many := calls(500), calls(2000)
	t.Logf("500 names: %d calls, 2,000 names: %d", few, many)
	if many > 5*few || many > 20*2000 {
		t.Errorf("2,000 names: %d calls, 500 names: %d", many, few)
	}
}

// BenchmarkNames is the memory of a name: of a file with two, and with many.
func BenchmarkNames(b *testing.B) {
	const names = 1 << 17
	for _, each := range []int{2, 1 << 12} {
		b.Run(fmt.Sprintf("%d", each), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				x := New()
				for i := range names {
					x.Set(fmt.Sprintf("d%05d/name-%07d", i/100, i), uint64(1+i/each), uint32(each))
				}
				b.ReportMetric(float64(heap()-before)/names, "B/name")
				runtime.KeepAlive(x)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
