package track

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/worker/doubt"
	"lockstep/worker/listing"
)

// sim runs a Tracker between the model kernel, helper and mirror, and lets
// chance decide whose turn it is.
type sim struct {
	tb      testing.TB
	next    func(int) int
	k       *kernel
	p       *polled // finds changes by comparing; nil: the kernel tells
	h       *helper
	b       *rested   // gives watches up and compares instead; nil: nobody does
	all     []*mirror // the targets, each at its own pace
	t       *Tracker
	now     time.Time
	settles time.Time // settling was begun then; zero: it is not under way
	slower  int       // how many times slower the last target is
	noMarks int       // watches are refused above this number; 0: never
	gone    string
	log     []string
	keepLog bool
	cover   *coverage
	files   int // share of file operations
	weights [6]int
	twins   bool   // files of the same size and time come to be
	loses   bool   // now and then a watch ends without cause
	doubts  bool   // now and then a verification is asked for
	joins   bool   // the passes are still to begin beside the walk that is under way
	blind   uint64 // the last listing of that walk that tells no times
	names   string
	deepest int
}

// coverage shows that the simulation meets what it is there for.
type coverage struct {
	overflows, unpaired, stale, repairs, exchanges, ops, suspects, trusts, besides, joined, short uint64
}

func (c *coverage) add(o *coverage) {
	c.ops += o.ops
	c.overflows += o.overflows
	c.unpaired += o.unpaired
	c.stale += o.stale
	c.repairs += o.repairs
	c.exchanges += o.exchanges
	c.suspects += o.suspects
	c.trusts += o.trusts
	c.besides += o.besides
	c.joined += o.joined
	c.short += o.short
}

func excludedName(rel string, isDir bool) bool {
	name := rel[strings.LastIndexByte(rel, '/')+1:]
	return name == "x" || name == "y" && isDir
}

func newSim(tb testing.TB, next func(int) int) *sim {
	s := &sim{tb: tb, next: next, now: time.Unix(1000, 0), cover: &coverage{}}
	queue := []int{1 << 20, 1 << 20, 4, 10, 30}[next(5)]
	marks := 1 << 20
	if next(6) == 0 {
		s.noMarks = 3 + next(8)
		marks = s.noMarks
	}
	s.k = newKernel(queue, marks)
	s.h = &helper{k: s.k, next: next}
	if next(6) == 0 {
		s.h.flaky = 3 + next(10)
	}
	for range 1 + next(3) {
		s.all = append(s.all, newMirror(s.k, excludedName))
	}
	s.slower = 1 + next(3)*20
	s.files = next(3)
	s.twins = next(2) == 0
	s.loses = next(6) == 0
	s.doubts = next(6) == 0
	s.names = []string{"abcxy", "abc", "ab", "a"}[next(4)]
	s.deepest = 3 + next(3)
	for i := range s.weights { // some are quick in this life, some are slow
		s.weights[i] = 1 << next(5)
	}
	s.t = New(Config{
		PairWait: 500 * time.Millisecond,
		MaxWalks: []int{1, 3, 4096}[next(3)],
		Excluded: excludedName,
	}, s)
	return s
}

func (s *sim) Dirty(rel string, c Change, e *Entry) {
	s.logf("  dirty %q %04b", rel, c)
	if excludedName(rel, false) || excludedName(rel, true) && e != nil && e.Kind == listing.KindDir {
		s.tb.Fatalf("an excluded path was marked: %q", rel)
	}
	for _, m := range s.all {
		m.mark(rel, c)
	}
}

func (s *sim) Suspect(rel string, doubts []doubt.Doubt) {
	for i, m := range s.all {
		if m.suspects(doubts) {
			s.logf("  target %d suspects %q", i, rel)
			m.mark(rel, Replaced)
			s.cover.suspects++
		} else {
			s.cover.trusts++
		}
	}
}

func (s *sim) Forgotten(time.Time)      { s.tb.Fatal("so many doubts are not expected") }
func (s *sim) Seen(string, Entry, bool) {}
func (s *sim) Walk(w Walk) {
	s.logf("  walk %d %q all %v watch %v", w.Serial, w.Rel, w.All, w.Watch)
	s.h.asked = append(s.h.asked, w)
	if s.p != nil {
		s.p.asked[w.Serial] = asked{rel: w.Rel, at: s.now}
	} else if s.b == nil && len(s.h.asked) > s.t.cfg.MaxWalks {
		s.tb.Fatal("more walks than allowed")
	}
}
func (s *sim) Unwatch(wd int32) {
	s.logf("  unwatch %d", wd)
	s.k.unmark(wd)
}
func (s *sim) Rescan(cause string) {
	s.logf("  rescan %s", cause)
	for _, m := range s.all {
		m.due, m.dirtied = true, true
	}
}
func (s *sim) RootGone(cause string)            { s.gone = cause }
func (s *sim) Skip(string, uint8)               {}
func (s *sim) Failed(rel string, status uint16) { s.logf("  failed %q %d", rel, status) }
func (s *sim) TooLong(rel string)               { s.tb.Fatalf("too long: %q", rel) }

func (s *sim) logf(format string, args ...any) {
	if s.keepLog {
		s.log = append(s.log, fmt.Sprintf(format, args...))
	}
}

// turn lets one of the parties do one thing.
func (s *sim) turn() {
	total := 0
	for _, w := range s.weights {
		total += w
	}
	party, left := 0, s.next(total)
	for left >= s.weights[party] {
		left -= s.weights[party]
		party++
	}
	switch party {
	case 0:
		if len(s.k.emit) == 0 {
			s.operation()
			return
		}
		s.k.step()
	case 1:
		s.k.step()
	case 2:
		s.h.step()
	case 3:
		s.deliver()
	case 4:
		if s.p != nil {
			s.stepPoll()
			return
		}
		s.readEvents(1 + s.next(4))
	case 5:
		s.slow()
	}
}

func (s *sim) deliver() {
	for range 1 + s.next(3) {
		if len(s.h.answers) == 0 {
			return
		}
		l := s.h.answers[0]
		s.h.answers = s.h.answers[1:]
		s.logf("answer %d status %d wd %d more %v %v", l.Serial, l.Status, l.WD, l.More, l.Entries)
		s.listed(l)
	}
}

func (s *sim) readEvents(n int) {
	for range n {
		e, ok := s.k.read()
		if s.readPath() {
			continue
		}
		if !ok {
			// What a loop does when the queue is empty. The kernel sends a
			// name's event before it unlocks the directory, so who has listed
			// the name finds its event in the queue.
			if len(s.k.emit) == 0 && s.p == nil {
				s.empty()
			}
			return
		}
		s.logf("event %v", e)
		s.t.Event(e, s.now)
		s.stepBusy()
	}
}

// slow is what happens less often: time, the timer, work on the target.
func (s *sim) slow() {
	s.now = s.now.Add(time.Duration(s.next(100)) * time.Millisecond)
	s.turnBusy()
	switch s.next(5) {
	case 0:
		if at, due := s.t.Next(); due && !at.After(s.now) {
			s.logf("tick")
			s.t.Tick(s.now)
		}
	case 1, 2:
		s.target()
	case 3:
		if c := s.t.Counters(); c.Failed+c.Unwatched > 0 && s.next(8) == 0 {
			s.logf("retry")
			s.t.Retry()
			if s.next(2) == 0 {
				s.t.Rewatch()
			}
		}
	case 4:
		if s.doubts && s.next(8) == 0 && !s.t.Counters().Verifying {
			s.logf("verify")
			s.t.Verify()
		}
	}
}

// operation changes the file system.
func (s *sim) operation() {
	s.cover.ops++
	dirs := s.k.root.dirs(nil)
	if s.loses && s.next(20) == 0 {
		if d := dirs[s.next(len(dirs))]; d != s.k.root && d.wd != 0 {
			s.logf("the kernel ends watch %d", d.wd)
			s.k.unmark(d.wd)
			return
		}
	}
	dirs = s.k.out.dirs(dirs)
	pick := func() *inode { return dirs[s.next(len(dirs))] }
	name := func() string { return string(s.names[s.next(len(s.names))]) }
	d, n := pick(), name()
	if s.k.fan != nil {
		s.k.fan.pid = int32(s.next(2))
	}
	switch op := s.next(10 + 4*s.files); op {
	case 0, 1, 2:
		if d.kids[n] == nil && depth(d) < s.deepest && len(dirs) < 100 {
			s.logf("mkdir %s/%s", s.where(d), n)
			s.k.create(d, n, true)
		}
	case 3, 4, 5, 6:
		to, as := pick(), name()
		exchange := s.next(4) == 0
		if movable(d, n, to, as, exchange) && depth(to) < s.deepest {
			s.logf("rename %s/%s %s/%s exchange %v", s.where(d), n, s.where(to), as, exchange)
			s.k.rename(d, n, to, as, exchange)
			if exchange {
				s.cover.exchanges++
			}
		}
	case 7:
		if d.kids[n] != nil && len(d.kids[n].kids) == 0 {
			s.logf("remove %s/%s", s.where(d), n)
			s.k.unlink(d, n)
		}
	case 8:
		if d.kids[n] != nil {
			s.logf("chmod %s/%s", s.where(d), n)
			s.k.chmod(d, n)
		}
	default:
		switch there := d.kids[n]; {
		case there == nil:
			s.logf("create %s/%s", s.where(d), n)
			s.k.create(d, n, false)
			if files := s.k.files(d); s.twins && s.next(2) == 0 { // cp -p
				d.kids[n].look = files[s.next(len(files))].look
			}
		case !there.dir && op%2 == 0:
			silent := s.next(2) == 0
			s.logf("write %s/%s silent %v", s.where(d), n, silent)
			s.k.write(d, n, silent)
		case !there.dir:
			s.logf("unlink %s/%s", s.where(d), n)
			s.k.unlink(d, n)
		}
	}
}

func depth(d *inode) (n int) {
	for ; d.up != nil; d = d.up {
		n++
	}
	return n
}

func (s *sim) where(d *inode) string {
	for _, top := range []*inode{s.k.root, s.k.out} {
		if d == top {
			return map[*inode]string{s.k.root: "", s.k.out: "OUT"}[top]
		}
	}
	for _, name := range d.up.names() {
		if d.up.kids[name] == d {
			return s.where(d.up) + "/" + name
		}
	}
	return "?"
}

// run is one whole life: a tree, the initial walk, changes, quiet, and again.
func (s *sim) run(rounds, turns int) {
	for range s.next(30) {
		s.operation()
		s.k.emit = nil
	}
	s.start()
	for range rounds {
		for range s.next(turns) {
			s.turn()
		}
		s.settle()
		s.check()
	}
	s.verify()
	c := s.t.Counters()
	s.cover.overflows += c.Overflows
	s.cover.unpaired += c.Unpaired
	s.cover.stale += c.StaleEvents
	s.cover.repairs += c.Repairs
}

// verify: a verification of what is right finds nothing.
func (s *sim) verify() {
	s.noMarks, s.k.maxMarks = 0, 1<<20
	before := s.t.Counters().Verified
	s.t.Verify()
	s.settle()
	if c := s.t.Counters(); c.Verified != before+1 || c.Verifying || c.Stale+c.Missing != 0 {
		s.fatal("verification: %+v", c)
	}
	s.check()
}

func runSeed(tb testing.TB, seed uint64, keep bool) *coverage {
	rng := rand.New(rand.NewPCG(seed, 7))
	s := newSim(tb, rng.IntN)
	s.keepLog = keep
	if seed%100 == 99 {
		s.run(3, 6000)
	} else {
		s.run(3, 300)
	}
	return s.cover
}

// The tree is what the file system is, after whatever happens in whatever order.
func TestSimulation(t *testing.T) {
	total := coverage{}
	count := testenv.Seeds(t, 1500, func(t *testing.T, seed uint64, alone bool) {
		c := runSeed(t, seed, alone)
		total.add(c)
	})
	t.Logf("%+v", total)
	if count >= 500 && (total.overflows == 0 || total.unpaired == 0 || total.stale == 0 || total.repairs == 0 || total.exchanges == 0 || total.suspects == 0 || total.trusts == 0 || total.besides == 0 || total.joined == 0 || total.short == 0) {
		t.Error("the simulation does not meet what it is there for")
	}
}
