package worker

import (
	"fmt"
	"lockstep/worker/walks"
	"strings"
	"testing"

	"lockstep/ipc"
	"lockstep/monitor"
	"lockstep/worker/queue"
)

// forest is a tree of wide directories with deep ones in each.
type forest struct{ wide, deep int }

// list is a directory's listing; its descriptor is told by its path.
func (h forest) list(rel string, _ bool) (d ipc.Dir) {
	var i, j int
	names := func(format string, n int) {
		for k := range n {
			d.Entries = append(d.Entries, ipc.Entry{Kind: ipc.KindDir, Name: fmt.Sprintf(format, k)})
		}
	}
	if strings.Contains(rel, "file") {
		return ipc.Dir{WD: -1, Status: 2} // it is gone again
	}
	switch strings.Count(rel, "/") + min(len(rel), 1) {
	case 0:
		d.WD = 1
		names("d%04d", h.wide)
	case 1:
		_, _ = fmt.Sscanf(rel, "d%d", &i)
		d.WD = int32(2 + i)
		names("e%04d", h.deep)
	default:
		_, _ = fmt.Sscanf(rel, "d%d/e%d", &i, &j)
		d.WD = int32(2 + h.wide + i*h.deep + j)
	}
	return d
}

// A verification of 100,000 directories leaves the engine free: only a few
// requests are under way at a time, however slowly they are answered, and
// between any two packets an event is applied at once.
func TestVerificationNeverStalls(t *testing.T) {
	f := forest{wide: 1000, deep: 100}
	s := newAnswering(t, f.list)
	for i := range f.wide {
		s.event(mkdir(fmt.Sprintf("d%04d", i)))
	}
	s.serve(nil)
	all := uint64(f.wide*f.deep + f.wide + 1)
	before := s.numbers()
	if before.Dirs != all {
		t.Fatalf("%d directories, want %d", before.Dirs, all)
	}
	answers := 0
	s.most, s.walks, s.longest = 0, 0, 0
	s.verify()
	s.serve(func() {
		answers++
		name := fmt.Sprintf("file%06d", answers)
		s.event(monitor.Event{WD: 2, Mask: monitor.CloseWrite, Name: []byte(name)})
		if s.targets[0].Queue.Pending("d0000/"+name)&queue.Content == 0 {
			t.Fatalf("event %d was not applied at once", answers)
		}
	})
	got := s.numbers()
	if got.Verified != before.Verified+1 || got.Stale+got.Missing+got.Repairs != 0 || got.VerifyDirs-before.VerifyDirs != all {
		t.Errorf("%+v", got)
	}
	t.Logf("%d directories in %d packets, with an event between any two; %d requests with %d walks under way at most; to apply the slowest packet took %v",
		all, answers, s.most, s.walks, s.longest)
	if s.most > walks.Most || s.walks > 4096 || answers < int(all)/ipc.MaxRels {
		t.Errorf("%d requests with %d walks under way, %d answers", s.most, s.walks, answers)
	}
}
