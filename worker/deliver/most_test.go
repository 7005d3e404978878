package deliver

import (
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/worker/queue"
)

// answer lets all that the target has asked for succeed, with files that are there.
func answer(t *testing.T, tg *Target, h *reviewHost) {
	t.Helper()
	for range 20 {
		if len(h.asked) == 0 {
			return
		}
		last := h.asked[len(h.asked)-1]
		h.asked = nil
		var m ipc.Message
		switch q := last.(type) {
		case *ipc.Stat:
			stats := make([]ipc.PathStat, len(q.Rels))
			for i := range stats {
				stats[i] = ipc.PathStat{Kind: ipc.KindDir, Ino: uint64(i + 2), Nlink: 2}
			}
			m = &ipc.StatAnswer{Stats: stats}
		case *ipc.Start:
			m = &ipc.StartAnswer{Job: 7}
		default:
			t.Fatalf("%T", last)
		}
		if err := h.last(m, true); err != nil {
			t.Fatal(err)
		}
		for lane, k := range tg.lanes {
			if k != nil && k.phase == phaseRunning {
				tg.lanes[lane].Exited(ipc.Exited{Job: 7, End: ipc.EndExited})
			}
		}
	}
	t.Fatal("it goes on for ever")
}

// A target begins no further batch when it has had its number: a pass counts as one,
// and so does a batch, of directories too; what fails does not.
func TestMostBatches(t *testing.T) {
	tg, h := reviewTarget()
	tg.Most = 3
	add := func(names ...string) {
		for _, n := range names {
			tg.Queue.Add(n, queue.Name, h.now)
		}
		h.now = h.now.Add(time.Hour)
		h.asked = nil
		tg.Advance()
	}
	pass := func(code uint8) {
		t.Helper()
		tg.Queue.AddWhole(h.now)
		if !tg.BeginPass() {
			t.Fatal("no pass begins")
		}
		h.asked = nil
		tg.StartPass(nil, false)
		if err := h.last(&ipc.StartAnswer{Job: 5}, true); err != nil {
			t.Fatal(err)
		}
		tg.lanes[laneNormal].Exited(ipc.Exited{Job: 5, End: ipc.EndExited, Code: code})
		h.asked = nil
	}
	pass(12) // fails
	h.now = h.now.Add(2 * time.Hour)
	tg.away = false
	pass(0)
	if got := tg.Report().Batches; got != 1 {
		t.Fatalf("%d batches after a pass that failed and one that did not", got)
	}
	add("a", "a/b", "a/b/c", "d")
	answer(t, tg, h)
	if got := tg.Report().Batches; got != 2 {
		t.Fatalf("%d batches after four directories", got)
	}
	add("e")
	if len(h.asked) == 0 {
		t.Fatal("the third does not begin")
	}
	// Another lane, or a pass, would be the fourth.
	if tg.Queue.AddWhole(h.now); tg.BeginPass() || !tg.Next().IsZero() {
		t.Error("more than were asked for run")
	}
	answer(t, tg, h)
	if got := tg.Report().Batches; got != 3 {
		t.Errorf("%d batches", got)
	}
	add("f")
	if len(h.asked) > 0 || tg.BeginPass() || !tg.Next().IsZero() || tg.Queue.Len() != 1 {
		t.Errorf("a fourth begins, or is forgotten: %d asked, %d wait", len(h.asked), tg.Queue.Len())
	}
}
