package worker

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/worker/queue"
	"lockstep/worker/track"
)

// namesOf is a root that knows n names of one inode.
func namesOf(t *testing.T, n int) (r *root, names []string) {
	r = testRoot(t, 2)
	for i := range n {
		names = append(names, fmt.Sprintf("d%03d/name-%06d", i%100, i))
		r.links.Set(names[i], 7, uint32(n))
	}
	return r, names
}

// leavings are the ways in which the names of a file go.
var leavings = []struct {
	name  string
	leave func(r *root, names []string)
}{
	{"one by one", func(r *root, names []string) {
		for _, rel := range names {
			(*sink)(r).Dirty(rel, track.Name, nil)
			r.links.Forget(rel)
		}
	}},
	{"after a write", func(r *root, names []string) {
		(*sink)(r).Dirty(names[len(names)-1], track.Content, nil)
		for _, rel := range names {
			r.links.Forget(rel)
		}
	}},
	{"renamed, as a batch's stats show it", func(r *root, names []string) {
		for _, rel := range names {
			(*sink)(r).Dirty(rel, track.Name, nil)
			(*sink)(r).Dirty(rel+".1", track.Name|track.Content|track.Attr, nil)
		}
		for _, rel := range names {
			r.links.Forget(rel)
			r.links.Set(rel+".1", 7, uint32(len(names)))
		}
	}},
	{"replaced, each by a file of its own", func(r *root, names []string) {
		for i, rel := range names {
			(*sink)(r).Dirty(rel, track.Name|track.Content|track.Attr, nil)
			r.links.Set(rel, uint64(100+i), 2)
		}
	}},
	{"in a sweep", func(r *root, names []string) {
		r.links.Walk(true)
		r.links.Set(names[0], 7, 2)
		r.links.Sweep()
	}},
}

// processor is the time that this thread has had.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// What it takes that all names of a file go is in proportion to them: it is done
// in the one goroutine that also reads the events. Of one step of the engine:
// its time does not change.
func TestNamesGoInTimeInProportion(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // its share is not ours
	for _, c := range leavings {
		cost := func(n int) time.Duration {
			least := time.Hour
			for range 5 {
				r, names := namesOf(t, n)
				runtime.GC()
				began := processor(t)
				c.leave(r, names)
				least = min(least, processor(t)-began)
			}
			return least
		}
		few, many := cost(2000), cost(8000)
		t.Logf("%s: 2,000 names %v, 8,000 names %v: %.1f times", c.name, few, many, float64(many)/float64(few))
		if many > 10*few { // in proportion it is 4 to 6 times, as caches are left; each with each, 16 and more
			t.Errorf("%s: 8,000 names take %.1f times as long as 2,000", c.name, float64(many)/float64(few))
		}
	}
}

// Whichever name goes, a change that was told under another one is due for all,
// at every target for which it waits.
func TestANameThatGoesLeavesNoChangeBehind(t *testing.T) {
	for _, c := range leavings[1:] {
		r, names := namesOf(t, 20)
		waits := func(i int, rel string) bool { return r.targets[i].Queue.Pending(rel)&queue.Content != 0 }
		r.links.Set("first", 7, 21)
		r.links.Forget("first")                               // all have been looked at, and nothing waits
		r.targets[1].Queue.Add(names[3], queue.Name, r.e.now) // no change of the file
		(*sink)(r).Dirty(names[5], track.Content, nil)
		c.leave(r, names)
		for _, rel := range names {
			if !waits(0, rel) || !waits(1, rel) {
				t.Errorf("%s: the change of %s is not due for %s", c.name, names[5], rel)
			}
		}
	}
}
