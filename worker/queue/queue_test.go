package queue

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var epoch = time.Unix(1_000_000, 0)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func half() float64 { return 0.5 }

var testConfig = Config{
	Delay: 200 * time.Millisecond, MaxDelay: 2 * time.Second, BigDelay: time.Minute,
	RetryMin: time.Second, RetryMax: 8 * time.Second,
}

func rels(b *Batch) string {
	if b == nil {
		return "<nil>"
	}
	var out []string
	for _, e := range b.Entries {
		out = append(out, e.Rel)
	}
	return strings.Join(out, " ")
}

func wantTake(t *testing.T, q *Queue, ms int, want string) *Batch {
	t.Helper()
	b := q.Take(at(ms), 0)
	if got := rels(b); got != want {
		t.Fatalf("Take at %d ms: %s, want %s", ms, got, want)
	}
	return b
}

func wantNext(t *testing.T, q *Queue, now, want int) {
	t.Helper()
	next, ok := q.Next(at(now))
	if want < 0 && ok || want >= 0 && (!ok || !next.Equal(at(want))) {
		t.Fatalf("Next at %d ms: %v %v, want %d ms", now, next.Sub(epoch), ok, want)
	}
}

func TestSettle(t *testing.T) {
	q := New(testConfig, epoch)
	wantNext(t, q, 0, -1)
	q.Add("a", Content, at(0))
	wantNext(t, q, 0, 200)
	q.Add("a", Content, at(150))
	wantNext(t, q, 150, 350)
	wantTake(t, q, 349, "<nil>")
	q.Add("b", Content, at(165)) // within the slack of a
	q.Done(wantTake(t, q, 350, "a b"), at(360))
	if !q.Idle() {
		t.Fatal("not idle")
	}
	wantNext(t, q, 360, -1)
}

func TestHardLimit(t *testing.T) {
	q := New(testConfig, epoch)
	for ms := 0; ms < 2000; ms += 100 {
		wantTake(t, q, ms, "<nil>")
		q.Add("busy", Content, at(ms))
	}
	wantNext(t, q, 1999, 2000)
	wantTake(t, q, 2000, "busy")
}

func TestNoDelay(t *testing.T) {
	q := New(Config{}, epoch)
	q.Add("a", Name, at(5))
	wantNext(t, q, 5, 5)
	wantTake(t, q, 5, "a")
}

// TestCombine is the whole product of an old and a new change, by the state
// the path is in when the new one comes.
func TestCombine(t *testing.T) {
	const all = Attr | Content | Name | Replaced
	for old := Change(1); old <= all; old++ {
		for change := Change(1); change <= all; change++ {
			t.Run(fmt.Sprintf("waiting/%04b/%04b", old, change), func(t *testing.T) {
				q := New(testConfig, epoch)
				q.Add("p", old, at(0))
				q.Add("p", change, at(1))
				b := wantTake(t, q, 201, "p")
				if b.Entries[0].Change != old|change {
					t.Fatalf("change %04b", b.Entries[0].Change)
				}
			})
			t.Run(fmt.Sprintf("running/%04b/%04b", old, change), func(t *testing.T) {
				q := New(testConfig, epoch)
				q.Add("p", old, at(0))
				b := wantTake(t, q, 200, "p")
				q.Add("p", change, at(201))
				if got := q.Pending("p"); got != old|change {
					t.Fatalf("pending %04b", got)
				}
				wantTake(t, q, 5000, "<nil>")
				q.Done(b, at(5000))
				if b = wantTake(t, q, 5000, "p"); b.Entries[0].Change != change {
					t.Fatalf("change %04b", b.Entries[0].Change)
				}
			})
			t.Run(fmt.Sprintf("failed/%04b/%04b", old, change), func(t *testing.T) {
				q := New(testConfig, epoch)
				q.Add("p", old, at(0))
				b := wantTake(t, q, 200, "p")
				q.Add("p", change, at(201))
				q.Requeue(b, b.Entries, at(300), half)
				b = q.Take(at(10_000), 0)
				if b.Entries[0].Change != old|change || b.Entries[0].Attempts != 1 {
					t.Fatalf("%+v", b.Entries[0])
				}
			})
			t.Run(fmt.Sprintf("big/%04b/%04b", old, change), func(t *testing.T) {
				q := New(testConfig, epoch)
				q.Add("p", old, at(0))
				b := wantTake(t, q, 200, "p")
				q.Defer(b, []string{"p"}, at(210))
				q.Done(b, at(220))
				q.Add("p", change, at(300))
				small := change&(Name|Replaced) != 0
				if (q.Len() == 1) != small || (q.Big() == 1) == small {
					t.Fatalf("small %d, big %d", q.Len(), q.Big())
				}
				take := q.TakeBig
				if small {
					take = q.Take
				}
				if b := take(at(130_000), 0); rels(b) != "p" || b.Entries[0].Change != old|change {
					t.Fatalf("%v", rels(b))
				}
			})
		}
	}
}

func TestSplit(t *testing.T) {
	q := New(testConfig, epoch)
	for i := range 16 {
		q.Add(fmt.Sprintf("f%02d", i), Content, at(0))
	}
	// f07 fails whatever it goes with; the others are all there in the end.
	now, jobs, alone := 200, 0, 0
	for q.Len() > 0 && alone < 4 {
		next, ok := q.Next(at(now))
		if !ok {
			t.Fatal("no next")
		}
		now = int(next.Sub(epoch) / time.Millisecond)
		b := q.Take(next, 0)
		if b == nil {
			now++
			continue
		}
		jobs++
		most := 16
		for _, e := range b.Entries {
			most = min(most, 16>>e.Attempts)
		}
		if len(b.Entries) > max(1, most) {
			t.Fatalf("%d paths after %d attempts", len(b.Entries), b.Entries[0].Attempts)
		}
		if slices.ContainsFunc(b.Entries, func(e Entry) bool { return e.Rel == "f07" }) {
			if len(b.Entries) == 1 {
				alone++
			}
			q.Requeue(b, b.Entries, at(now), half)
			continue
		}
		q.Done(b, at(now))
	}
	if q.Len() != 1 || q.Doubt() != 1 {
		t.Fatalf("%d wait, %d in doubt", q.Len(), q.Doubt())
	}
	if jobs > 20 {
		t.Fatalf("%d jobs", jobs)
	}
	if now < 8_000 {
		t.Fatalf("four failures alone in %d ms: the back-off does not grow", now)
	}
	// A new change brings it soon, and it still goes alone.
	q.Add("f07", Content, at(now))
	q.Add("good", Content, at(now+800))
	wantNext(t, q, now, now+1000)
	wantTake(t, q, now+1000, "f07")
}

func TestPostpone(t *testing.T) {
	q := New(testConfig, epoch)
	for i := range 4 {
		q.Add(fmt.Sprint(i), Content, at(0))
	}
	now := 200
	for i, wait := range []int{750, 1500, 3000, 6000, 6000} {
		b := wantTake(t, q, now, "0 1 2 3")
		q.Postpone(b, b.Entries, at(now), half)
		if int(q.Attempts()) != i+1 {
			t.Fatalf("attempts %d", q.Attempts())
		}
		q.Add("0", Attr, at(now))
		wantNext(t, q, now, now+wait)
		wantTake(t, q, now+wait-1, "<nil>")
		now += wait
	}
	q.Retry(at(now))
	q.Done(wantTake(t, q, now, "0 1 2 3"), at(now))
	if q.Attempts() != 0 {
		t.Fatal("attempts after success")
	}
}

func TestReturn(t *testing.T) {
	q := New(testConfig, epoch)
	q.Add("a", Content, at(0))
	b := wantTake(t, q, 200, "a")
	q.Return(b, at(210))
	b = wantTake(t, q, 210, "a")
	if b.Entries[0].Attempts != 0 || !b.Entries[0].First.Equal(at(0)) {
		t.Fatalf("%+v", b.Entries[0])
	}
	q.Done(b, at(220))
	q.Done(b, at(220)) // no effect
	q.Return(b, at(230))
	if !q.Idle() {
		t.Fatal("an ended batch came back")
	}
}

// bigRunning is a queue with dir/big under way in the lane of big files.
func bigRunning(t *testing.T) (*Queue, *Batch) {
	t.Helper()
	q := New(testConfig, epoch)
	q.Add("dir/big", Content|Name, at(0))
	b := wantTake(t, q, 200, "dir/big")
	q.Defer(b, []string{"dir/big"}, at(200))
	q.Done(b, at(200))
	if q.Big() != 1 || q.Len() != 0 {
		t.Fatalf("big %d, small %d", q.Big(), q.Len())
	}
	wantNext(t, q, 200, 60_000)
	big := q.TakeBig(at(60_000), 0)
	if rels(big) != "dir/big" {
		t.Fatalf("took %s", rels(big))
	}
	return q, big
}

func TestLanes(t *testing.T) {
	for _, c := range []struct {
		rel     string
		change  Change
		waits   bool
		comment string
	}{
		{"dir/big", Attr, true, "the same path"},
		{"dir/big", Name, true, "the same path"},
		{"dir/big/x", Name, true, "below it: it is no file any more"},
		{"dir", Attr, false, "attributes of a parent"},
		{"dir", Name, true, "a parent that may be gone"},
		{"", Attr, false, "the root"},
		{"dir/other", Name, false, "a sibling"},
		{"dir/big2", Name, false, "a longer name"},
		{"di", Name, false, "a shorter name"},
	} {
		q, big := bigRunning(t)
		q.Add(c.rel, c.change, at(60_000))
		want := c.rel
		if c.waits {
			want = "<nil>"
		}
		b := wantTake(t, q, 61_000, want)
		if c.waits {
			wantNext(t, q, 61_000, -1)
			q.Done(big, at(62_000))
			if got := q.Take(at(62_000), 0); rels(got) != c.rel {
				t.Errorf("%s: after the big file's end: %s", c.comment, rels(got))
			}
			continue
		}
		q.Done(b, at(61_100))
		q.Done(big, at(62_000))
		// The big job has set its parents' attributes as they were before.
		if got := q.Take(at(62_200), 0); rels(got) != " dir" {
			t.Errorf("%s: parents after the big file: %q", c.comment, rels(got))
		}
	}
}

func TestBigIsNotStarved(t *testing.T) {
	q, big := bigRunning(t)
	q.Done(big, at(60_000))
	q.Add("v", Content, at(60_000))
	b := q.Take(at(60_200), 0)
	q.Defer(b, []string{"v"}, at(60_200))
	q.Done(b, at(60_200))
	for ms := 60_200; ms < 60_000+120_000; ms += 10_000 {
		q.Add("v", Content, at(ms))
		if b := q.TakeBig(at(ms), 0); b != nil {
			t.Fatalf("taken at %d", ms)
		}
	}
	if b := q.TakeBig(at(180_000), 0); rels(b) != "v" {
		t.Fatal("a file that is always written never goes")
	}
}

func TestWhole(t *testing.T) {
	q := New(testConfig, epoch)
	q.Add("attr", Attr, at(0))
	q.Add("name", Name|Replaced, at(0))
	q.AddWhole(at(0))
	wantTake(t, q, 1000, "<nil>")
	wantNext(t, q, 1000, 1000)
	if !q.BeginWhole(at(1000)) || q.BeginWhole(at(1000)) {
		t.Fatal("begin")
	}
	wantNext(t, q, 1000, -1)
	q.Add("during", Attr, at(1500))
	wantTake(t, q, 3000, "<nil>")
	q.EndWhole(false, at(3000), half)
	wantNext(t, q, 3000, 3000)
	b := wantTake(t, q, 3000, "attr during name")
	if q.BeginWhole(at(10_000)) {
		t.Fatal("began beside a batch")
	}
	q.Return(b, at(3100))
	wantTake(t, q, 3750, "<nil>") // the pass is due: it goes first
	if !q.BeginWhole(at(3750)) {
		t.Fatal("not due")
	}
	q.Add("during2", Attr, at(3800))
	q.EndWhole(true, at(4000), half)
	b = wantTake(t, q, 5000, "during2 name")
	if b.Entries[1].Change != Content {
		t.Fatalf("%+v: the pass compares names, but not content", b.Entries[1])
	}
	q.Done(b, at(5000))
	if !q.Idle() {
		t.Fatal("not idle")
	}
}

func TestWholeAgain(t *testing.T) {
	q := New(testConfig, epoch)
	q.AddWhole(at(0))
	if !q.BeginWhole(at(0)) {
		t.Fatal("begin")
	}
	q.AddWhole(at(10))
	q.EndWhole(true, at(20), half)
	if !q.Whole() || !q.BeginWhole(at(20)) {
		t.Fatal("what happened during the pass needs another one")
	}
	q.EndWhole(true, at(30), half)
	if q.Whole() {
		t.Fatal("still needed")
	}
}

func TestCollapse(t *testing.T) {
	c := testConfig
	c.MaxPaths = 100
	q := New(c, epoch)
	for i := range 100 {
		q.Add(fmt.Sprint(i), Content, at(0))
	}
	b := q.Take(at(200), 10)
	for i := range 1000 {
		q.Add(fmt.Sprint("n", i), Content, at(201))
	}
	if !q.Whole() || q.Len() != 0 || q.Doubt() != 0 {
		t.Fatalf("whole %v, %d wait", q.Whole(), q.Len())
	}
	q.Requeue(b, b.Entries, at(300), half)
	if !q.BeginWhole(at(300)) {
		t.Fatal("begin")
	}
	for i := range 1000 { // once more during the pass
		q.Add(fmt.Sprint("m", i), Content, at(301))
	}
	q.EndWhole(true, at(400), half)
	if !q.Whole() || !q.BeginWhole(at(400)) {
		t.Fatal("what came during the pass was lost")
	}
	q.Add("late", Content, at(401))
	q.EndWhole(true, at(500), half)
	wantTake(t, q, 700, "late")
}

// BenchmarkMemory measures what a waiting path costs, its own bytes included.
func BenchmarkMemory(b *testing.B) {
	paths := make([]string, defaultMaxPaths)
	measure := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := measure()
		q := New(Config{Delay: time.Second}, time.Unix(1e9, 0))
		for i := range paths {
			paths[i] = fmt.Sprintf("srv/www/example.org/releases/2024-%06d/assets/%08d.css", i/100, i)
			q.Add(paths[i], Content, time.Unix(1e9, int64(i)))
		}
		b.ReportMetric(float64(measure()-before)/float64(len(paths)), "bytes/path")
		runtime.KeepAlive(q)
		clear(paths)
	}
}

// What is written again while its batch is planned needs no second command; what
// else is due comes along; what failed comes alone.
func TestExtend(t *testing.T) {
	q := New(Config{}, epoch)
	q.Add("a", Name|Content|Attr, epoch)
	b := q.Take(epoch, 0)
	q.Add("a", Content, epoch)
	if q.Extend(b, epoch, 0) != nil || q.Len() != 0 {
		t.Errorf("%d wait of what was written again", q.Len())
	}
	q.Add("a", Attr, epoch)
	q.Add("0", Name, epoch)
	if q.Extend(b, epoch, 1) != nil || q.Len() != 2 {
		t.Errorf("a full batch grew: %d wait", q.Len())
	}
	if q.Extend(b, epoch, 3) == nil || q.Len() != 0 || len(b.Entries) != 2 || b.Entries[0].Rel != "0" {
		t.Errorf("%d wait, the batch is %+v", q.Len(), b.Entries)
	}
	q.Requeue(b, b.Entries[1:], epoch, func() float64 { return 0 })
	late := epoch.Add(time.Minute)
	b = q.Take(late, 0)
	q.Add("c", Name, late)
	if q.Extend(b, late, 3) != nil || q.Len() != 1 {
		t.Error("a batch that failed grew")
	}
	q.Done(b, late)
}
