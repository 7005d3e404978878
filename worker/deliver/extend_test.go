package deliver

import (
	"fmt"
	"slices"
	"testing"

	"lockstep/ipc"
	"lockstep/worker/queue"
)

// asker is a host that answers when the test says so.
type asker struct {
	*reviewHost
	stats   []*ipc.Stat
	flights []Flight
	lists   [][]byte
}

func (h *asker) Ask(m ipc.Message, list []byte, f Flight) {
	switch m := m.(type) {
	case *ipc.Stat:
		h.stats, h.flights = append(h.stats, m), append(h.flights, f)
	case *ipc.Start:
		h.lists = append(h.lists, list)
	}
}

// answer answers all that was asked, and what is asked for that; it returns the
// paths. Before the last answer it calls between.
func (h *asker) answer(t *testing.T, between func()) (rels []string) {
	t.Helper()
	for len(h.stats) > 0 {
		m, f := h.stats[0], h.flights[0]
		h.stats, h.flights = h.stats[1:], h.flights[1:]
		a := &ipc.StatAnswer{}
		for _, rel := range m.Rels {
			rels = append(rels, rel)
			s := ipc.PathStat{Kind: ipc.KindFile, Nlink: 1, Ino: 7}
			if rel == "d" {
				s = ipc.PathStat{Kind: ipc.KindDir, Nlink: 2}
			}
			a.Stats = append(a.Stats, s)
		}
		if len(h.stats) == 0 && between != nil {
			between()
			between = nil
		}
		if err := f(a, true); err != nil {
			t.Fatal(err)
		}
	}
	return rels
}

// A batch takes in what has come while it was planned, up to one request's paths,
// and asks for that alone.
func TestBatchGrowsWhilePlanned(t *testing.T) {
	_, h := reviewTarget()
	host := &asker{reviewHost: h}
	tg := New(host, 1, "t", queue.Config{})
	tg.live = true
	add := func(from, to int) {
		for i := from; i < to; i++ {
			tg.Queue.Add(fmt.Sprintf("d/%05d", i), queue.Name|queue.Content, h.now)
		}
	}
	add(0, 100)
	tg.Advance()
	asked := host.answer(t, func() { add(100, 100+extendTo) })
	slices.Sort(asked)
	if n := len(slices.Compact(slices.Clone(asked))); n != len(asked) || n != extendTo {
		t.Errorf("%d paths were asked for, %d of them different; want %d", len(asked), n, extendTo)
	}
	if len(host.lists) != 1 {
		t.Fatalf("%d commands", len(host.lists))
	}
	if waiting := tg.Queue.Len(); waiting != 100 {
		t.Errorf("%d paths wait, want 100", waiting)
	}
}
