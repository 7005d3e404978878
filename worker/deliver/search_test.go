package deliver

import (
	"fmt"
	"testing"

	"lockstep/ipc"
	"lockstep/worker/queue"
)

// A file whose links change faster than they are found holds up no other path,
// whoever makes them.
func TestLinksThatChangeHoldUpNobody(t *testing.T) {
	_, h := reviewTarget()
	host := &linking{reviewHost: h}
	tg := New(host, 1, "t", queue.Config{})
	tg.live = true
	tg.Queue.Add("busy", queue.Name|queue.Content, h.now)
	tg.Queue.Add("calm", queue.Name|queue.Content, h.now)
	tg.Advance()
	for host.flight != nil {
		f, m := host.flight, host.answer
		host.flight = nil
		if err := f(m, true); err != nil {
			t.Fatal(err)
		}
	}
	if host.list != "./calm\x00" || host.searches != maxSearches {
		t.Fatalf("the command's list is %q, after %d searches", host.list, host.searches)
	}
	tg.lanes[laneNormal].Exited(ipc.Exited{End: ipc.EndExited})
	if n := tg.Queue.Len(); n != 1 {
		t.Errorf("%d paths wait, want busy alone", n)
	}
}

// linking is a host on which a file has one more link at each look than were found.
type linking struct {
	*reviewHost
	flight   Flight
	answer   ipc.Message
	nlink    uint32
	searches int
	list     string
}

func (h *linking) Dirs() []string { return []string{""} }

func (h *linking) Ask(m ipc.Message, list []byte, f Flight) {
	h.flight = f
	switch m := m.(type) {
	case *ipc.Stat:
		a := &ipc.StatAnswer{}
		for _, rel := range m.Rels {
			s := ipc.PathStat{Kind: ipc.KindFile, Nlink: 1, Ino: 7}
			if rel == "busy" {
				h.nlink++
				s = ipc.PathStat{Kind: ipc.KindFile, Nlink: h.nlink + 1, Ino: 8}
			}
			a.Stats = append(a.Stats, s)
		}
		h.answer = a
	case *ipc.Watch:
		h.searches++
		a := &ipc.WatchAnswer{Dirs: make([]ipc.Dir, 1)}
		for i := range h.nlink {
			a.Dirs[0].Entries = append(a.Dirs[0].Entries, ipc.Entry{Name: fmt.Sprintf("link%d", i), Kind: ipc.KindFile, Ino: 8, Nlink: h.nlink})
		}
		h.answer = a
	case *ipc.Start:
		h.list, h.answer = string(list), &ipc.StartAnswer{Job: 1}
		h.flight = nil
	}
}
