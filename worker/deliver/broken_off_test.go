package deliver

import (
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/worker/links"
	"lockstep/worker/plan"
	"lockstep/worker/queue"
)

// What went by a prune is not deleted by a list when another path of its batch
// vanished meanwhile: the rules protect what is in it.
func TestGoneAgain(t *testing.T) {
	h := &reviewHost{now: time.Now(), idx: links.New(), opt: plan.Options{Excluded: func(rel string, _ bool) bool { return rel == "gone/x.keep" }}}
	tg := New(h, 1, "t", queue.Config{RetryMin: time.Second, RetryMax: 5 * time.Minute})
	tg.live = true
	a := &away{tg, h, t}
	tg.Queue.Add("gone", queue.Name|queue.Attr|queue.Replaced, h.now)
	tg.Queue.Add("f", queue.Content, h.now)
	stats := &ipc.StatAnswer{Stats: []ipc.PathStat{{Kind: ipc.KindFile, Nlink: 1, Ino: 7}, {Status: 2}}} // f, gone
	start := func() *ipc.Start {
		s, ok := h.asked[len(h.asked)-1].(*ipc.Start)
		if !ok {
			t.Fatalf("%#v", h.asked[len(h.asked)-1])
		}
		return s
	}
	a.next()
	a.answer(stats)
	a.answer(&ipc.StartAnswer{Job: 1})
	a.ends(24, "file has vanished: \"/s/f\"\n") // f went and came back
	a.answer(stats)
	a.answer(&ipc.StartAnswer{Job: 2})
	a.ends(0, "")
	a.next()
	a.answer(&ipc.StatAnswer{Stats: []ipc.PathStat{{Status: 2}}})
	if k := start().Kind; k == ipc.JobList {
		t.Errorf("the directory that went by a prune is deleted by a list, with what is excluded in it: job %d %s", k, tg.lanes[0].jobs[0].List)
	}
}

// After a list that failed nothing is pruned in its batch: there may be a link on
// the way, which rsync would follow. All of it comes again.
func TestNoPruneAfterFailedList(t *testing.T) {
	for code, want := range map[uint8]ipc.JobKind{23: ipc.JobList, 0: ipc.JobPrune} {
		h := &reviewHost{now: time.Now(), idx: links.New()}
		tg := New(h, 1, "t", queue.Config{RetryMin: time.Second, RetryMax: 5 * time.Minute})
		tg.live = true
		a := &away{tg, h, t}
		tg.Queue.Add("d", queue.Name|queue.Replaced, h.now)
		stats := &ipc.StatAnswer{Stats: []ipc.PathStat{{Kind: ipc.KindDir, Nlink: 2, Ino: 7}}}
		a.next()
		a.answer(stats)
		a.answer(&ipc.StartAnswer{Job: 1})
		a.ends(code, "")
		if code != 0 {
			a.next()
			a.answer(stats)
		}
		s, ok := h.asked[len(h.asked)-1].(*ipc.Start)
		if !ok || s.Kind != want {
			t.Errorf("after code %d: %#v, want a job of kind %d", code, h.asked[len(h.asked)-1], want)
		}
	}
}

// A comparison of content that breaks off does not keep a new target from its
// changes; it is made again.
func TestContentBreaks(t *testing.T) {
	h := &reviewHost{now: time.Now(), idx: links.New()}
	tg := New(h, 1, "t", queue.Config{RetryMin: time.Second, RetryMax: 5 * time.Minute, MaxPaths: 2})
	a := &away{tg, h, t}
	for _, rel := range []string{"a", "b", "c"} {
		tg.Queue.Add(rel, queue.Content, h.now)
	}
	for range 5 {
		if at := tg.Next(); at.After(h.now) {
			h.now = at
		}
		tg.Advance()
		if tg.away || tg.lanes[0] != nil { // knock
			a.answer(&ipc.StartAnswer{Job: 9})
			a.ends(0, "")
		}
		if !tg.BeginPass() {
			t.Fatal("no pass")
		}
		tg.StartPass(nil, false)
		a.answer(&ipc.StartAnswer{Job: 1})
		a.ends(0, "")
		a.answer(&ipc.StartAnswer{Job: 2})
		a.ends(30, "[Receiver] io timeout after 120 seconds -- exiting\n")
		if !tg.live || tg.redoAt.IsZero() {
			t.Fatalf("live %v, again at %v", tg.live, tg.redoAt)
		}
	}
	if !tg.live {
		t.Error("five passes went through, and no change may follow")
	}
}
