package track

import (
	"math/rand/v2"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/ipc"
	"lockstep/monitor"
	"lockstep/worker/busy"
	"lockstep/worker/poll"
)

// rested is a sim's Keeper of busy directories, and what it has asked the helper for.
type rested struct {
	*busy.Keeper
	asked  map[uint64]asked // by serial
	serial uint64
	times  uint64 // directories that became busy, or calm again
	most   uint64 // that rested at once
	poll   *poll.Poller
}

// floods is how many events a second are too many here.
const floods = 50

// newBusySim is a sim in which now and then too much happens in a directory: its
// watch is given up, and its listings are compared until it is calm.
func newBusySim(tb testing.TB, next func(int) int) *sim {
	s := newSim(tb, next)
	s.coarse(next)
	s.b = &rested{asked: map[uint64]asked{}}
	s.b.Keeper = busy.New(busy.Config{
		Root: 1, Rate: floods,
		Emit: func(e monitor.PathEvent) {
			s.logf("compared %q %q %v", e.Dir, e.Name, e.Mask)
			s.t.Path(e, s.now)
		},
		Prune: func(rel string) { s.Dirty(rel, Attr|Replaced, nil) },
		Say: func(rel string, begins bool) {
			s.logf("%q busy %v", rel, begins)
			s.b.times++
			s.b.most = max(s.b.most, s.t.Counters().Resting)
		},
	}, s.t)
	return s
}

// turnBusy floods a directory, and asks for what is to be listed.
func (s *sim) turnBusy() {
	if s.b == nil {
		return
	}
	// The model sends an operation's events any time after it; no more than a moment.
	pass := func(d time.Duration) {
		for s.k.step() {
		}
		s.now = s.now.Add(d)
	}
	if s.next(4) == 0 {
		dirs := s.k.root.dirs(nil)
		if d := dirs[s.next(len(dirs))]; d.wd != 0 {
			s.logf("a flood in %s", s.where(d))
			for range 4 {
				for range floods * 2 {
					s.b.Event(d.wd)
				}
				pass(time.Second)
				s.stepBusy()
			}
		}
	}
	if s.next(3) == 0 {
		pass(time.Second)
	}
	s.stepBusy()
	s.askBusy()
}

func (s *sim) stepBusy() {
	if s.b != nil {
		s.b.Step(s.now)
	}
}

func (s *sim) askBusy() {
	p := s.b.Poller()
	if p == nil {
		return
	}
	s.b.poll = p
	rels := p.Ahead(s.now)
	n := min(len(rels), 1+s.next(4))
	if n == 0 {
		return
	}
	for _, rel := range rels[:n] {
		s.b.serial++
		serial := ownSerial + s.b.serial
		s.b.asked[serial] = asked{rel, s.now, true}
		s.logf("look %q", rel)
		s.h.asked = append(s.h.asked, Walk{Serial: serial, Rel: rel, All: true, Since: 1})
	}
	p.Take(n)
}

// listedBusy applies an answer to the keeper, if it is its own.
func (s *sim) listedBusy(l Listing) bool {
	if s.b == nil || l.Serial < ownSerial {
		return false
	}
	if !l.More && s.h.flaky > 0 && s.next(4) == 0 {
		l.Status, l.Entries = uint16(ipc.StatusTimeout), nil
	}
	s.b.poll.Listed(s.b.asked[l.Serial].rel, l, s.b.asked[l.Serial].at, s.now, true)
	return true
}

// waitsBusy has time go on while a directory rests.
func (s *sim) waitsBusy() bool {
	if s.b == nil {
		return false
	}
	s.stepBusy()
	if s.b.Poller() == nil {
		return false
	}
	s.now = s.now.Add(300 * time.Millisecond)
	s.askBusy()
	return true
}

// TestBusySimulation is TestSimulation with directories whose watch is given up
// while too much happens in them.
func TestBusySimulation(t *testing.T) {
	total, times, most := coverage{}, uint64(0), uint64(0)
	count := testenv.Seeds(t, 1500, func(t *testing.T, seed uint64, alone bool) {
		s := newBusySim(t, rand.New(rand.NewPCG(seed, 17)).IntN)
		s.keepLog = alone
		s.run(3, map[bool]int{true: 6000, false: 300}[seed%100 == 99])
		total.add(s.cover)
		times += s.b.times
		most = max(most, s.b.most)
	})
	t.Logf("%d times busy or calm, at most %d at once, %+v", times, most, total)
	if count >= 500 && (total.exchanges == 0 || times < count || most < 3) {
		t.Error("the simulation does not meet what it is there for")
	}
}

// newHot is a busy sim in which all goes well, and its one directory, "a".
func newHot(t *testing.T) (*sim, *inode) {
	s := newBusySim(t, rand.New(rand.NewPCG(1, 1)).IntN)
	s.noMarks, s.k.maxMarks, s.k.maxQueue, s.h.flaky = 0, 1<<20, 1<<20, 0
	s.all = s.all[:1]
	s.k.create(s.k.root, "a", true)
	s.start()
	s.settle()
	return s, s.k.root.kids["a"]
}

// second is one in which too much happens in d; between what is listed and what
// comes of it, meanwhile is called.
func (s *sim) second(d *inode, meanwhile func()) {
	for range floods * 2 {
		s.b.Event(d.wd)
	}
	s.now = s.now.Add(time.Second)
	s.stepBusy()
	for s.askBusy(); !s.h.idle(); {
		s.h.step()
	}
	meanwhile()
	for len(s.h.answers) > 0 {
		s.deliver()
	}
}

// told has the kernel's events read and what they mark done.
func (s *sim) told() {
	for s.k.step() {
	}
	s.readEvents(1 << 10)
	s.all[0].flush()
}

// TestBusyStrays: what a target has copied, and went before a comparison could show
// it, is deleted there.
func TestBusyStrays(t *testing.T) {
	t.Run("told before the watch was given up, gone after", func(t *testing.T) {
		s, d := newHot(t)
		for {
			s.second(d, func() {
				s.k.create(d, "b", false) // not in the listing that is under way
				s.told()
			})
			if s.t.Resting(s.t.tree.Find("a")) {
				break
			}
			s.k.unlink(d, "b")
			s.told()
		}
		if s.all[0].root.kids["a"].kids["b"] == nil {
			t.Fatal("it was not copied")
		}
		s.k.unlink(d, "b")
		for range 4 { // before it is calm
			s.second(d, func() { s.told() })
		}
		if s.all[0].root.kids["a"].kids["b"] != nil {
			t.Error("it is still there")
		}
		s.settle()
		s.check()
	})
	t.Run("come and gone during a pass", func(t *testing.T) {
		s, d := newHot(t)
		for !s.t.Resting(s.t.tree.Find("a")) {
			s.second(d, func() {})
		}
		for range 4 { // what was told before is in order
			s.k.create(d, "c", false)
			s.second(d, func() { s.told() })
			s.k.unlink(d, "c")
		}
		m := s.all[0]
		s.k.create(d, "b", false)
		for m.begin(); len(m.pass) > 0; {
			m.step()
		}
		s.k.unlink(d, "b")
		if m.root.kids["a"].kids["b"] == nil {
			t.Fatal("it was not copied")
		}
		s.settle()
		s.check()
	})
}

// A directory that is new when another one is watched again is new to everybody: no
// comparison that follows finds it missing in the tree.
func TestNewWhenWatchedAgain(t *testing.T) {
	s, d := newHot(t)
	id := s.t.tree.Find("a")
	if !s.t.Rest(id) {
		t.Fatal("it does not rest")
	}
	s.told()
	s.k.create(d, "new", true)
	s.k.create(d.kids["new"], "f", false)
	s.t.Wake(id)
	s.t.Path(monitor.PathEvent{Mask: monitor.Attrib | monitor.IsDir, Name: []byte("a")}, s.now) // which a comparison tells
	s.settle()
	s.check()
}
