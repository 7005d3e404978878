package track

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/monitor"
	"lockstep/worker/poll"
	"lockstep/worker/tree"
)

// polled is a sim's Poller, and what it has asked the helper for.
type polled struct {
	*poll.Poller
	asked  map[uint64]asked // by serial: also the tracker's walks
	serial uint64
	tick   time.Duration
	marked bool // a mark is under way
}

type asked struct {
	rel string
	at  time.Time
	own bool
}

// ownSerial is above those of the tracker's walks.
const ownSerial = 1 << 40

// coarse gives the file system a clock as coarse as those of real ones are.
func (s *sim) coarse(next func(int) int) (tick time.Duration) {
	ticks := []time.Duration{10 * time.Millisecond, time.Second, 2 * time.Second}
	tick = ticks[next(len(ticks))]
	s.k.clock = func() uint64 {
		at := s.now.Truncate(tick)
		if tick < time.Second {
			at = at.Add(1) // not a whole second, by which coarse times are known
		}
		return uint64(at.UnixNano())
	}
	for _, n := range []*inode{s.k.root, s.k.out} {
		s.k.stamp(n)
	}
	return tick
}

// newPollSim is a sim in which nobody tells of changes: each is found by comparing
// listings. Times are as coarse as the clocks of file systems are, so that what
// changes twice in a tick shows once.
func newPollSim(tb testing.TB, next func(int) int) *sim {
	s := newSim(tb, next)
	s.h.noWatch(tb)
	s.noMarks, s.loses, s.twins = 0, false, false
	tick := s.coarse(next)
	cfg := s.t.cfg
	cfg.Paths, cfg.Compared = true, true
	s.t = New(cfg, s)
	s.p = &polled{asked: map[uint64]asked{}, tick: tick}
	s.p.Poller = poll.New(poll.Config{
		Root: 1, Every: time.Duration(1+next(3)) * 100 * time.Millisecond, Inodes: true,
		Dirs: func() []string {
			var rels []string
			s.t.tree.Walk(s.t.tree.Root(), func(id tree.ID) {
				if rel, ok := s.t.tree.Path(id); ok {
					rels = append(rels, rel)
				}
			})
			return rels
		},
		Known: func(rel string) bool { return s.t.tree.Find(rel) != tree.None },
		Emit: func(e monitor.PathEvent) {
			s.logf("event %q %q %v", e.Dir, e.Name, e.Mask)
			s.t.Path(e, s.now)
		},
	})
	return s
}

// stepPoll asks for some directories of a round.
func (s *sim) stepPoll() {
	if s.t.Counters().Walks == 0 || !s.t.Complete() {
		return
	}
	s.markPoll()
	rels := s.p.Ahead(s.now)
	n := min(len(rels), 1+s.next(4))
	if n == 0 {
		return
	}
	for _, rel := range rels[:n] {
		s.p.serial++
		serial := ownSerial + s.p.serial
		s.p.asked[serial] = asked{rel, s.now, true}
		s.h.asked = append(s.h.asked, Walk{Serial: serial, Rel: rel, All: true, Since: 1})
	}
	s.p.Take(n)
}

// markPoll has what waits for the event queue to be empty wait for a round.
func (s *sim) markPoll() {
	var ended []*mirror
	for _, m := range s.all {
		if m.ended {
			ended = append(ended, m)
		}
	}
	settles := s.settles
	if s.p.marked || len(ended) == 0 && settles.IsZero() {
		return
	}
	s.p.marked = true
	s.p.Mark(func() {
		s.p.marked = false
		var later []*mirror
		for _, m := range s.all {
			if m.ended && !slices.Contains(ended, m) {
				later = append(later, m)
				m.ended = false
			}
		}
		now := s.settles
		if settles.IsZero() {
			s.settles = time.Time{}
		}
		s.empty()
		if settles.IsZero() {
			s.settles = now
		}
		for _, m := range later {
			m.ended = true
		}
	})
}

// listed applies an answer to the tracker and to the poller.
func (s *sim) listed(l Listing) {
	if s.p == nil {
		if !s.listedBusy(l) {
			s.t.Listing(l, s.now)
			s.join(l.Serial)
		}
		s.stepBusy()
		return
	}
	a := s.p.asked[l.Serial]
	if !a.own {
		s.t.Listing(l, s.now)
	}
	if !l.More {
		delete(s.p.asked, l.Serial)
	}
	s.p.Listed(a.rel, l, a.at, s.now, a.own)
}

// rounds has rounds made until two in a row find nothing, with all that comes of
// them done.
func (s *sim) rounds() bool {
	before := s.p.Counters()
	for s.p.Counters().Rounds < before.Rounds+2 {
		s.now = s.now.Add(3 * time.Second)
		s.stepPoll()
		for !s.h.idle() || len(s.h.answers) > 0 {
			s.h.step()
			s.deliver()
		}
	}
	return s.p.Counters().Changes == before.Changes && s.t.Idle()
}

// waits says whether something waits for a round.
func (s *sim) waits() bool {
	return s.p.marked || slices.ContainsFunc(s.all, func(m *mirror) bool { return m.ended })
}

// TestPollSimulation is TestSimulation with changes that only listings tell of.
func TestPollSimulation(t *testing.T) {
	total := coverage{}
	count := testenv.Seeds(t, 1500, func(t *testing.T, seed uint64, alone bool) {
		s := newPollSim(t, rand.New(rand.NewPCG(seed, 13)).IntN)
		s.keepLog = alone
		s.run(3, map[bool]int{true: 6000, false: 300}[seed%100 == 99])
		total.add(s.cover)
	})
	t.Logf("%+v", total)
	if count >= 500 && (total.exchanges == 0 || total.suspects == 0) {
		t.Error("the simulation does not meet what it is there for")
	}
}
