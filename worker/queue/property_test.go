package queue

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// sim drives a queue with random changes and failures in simulated time, and
// knows of each path what has not yet been acknowledged.
type sim struct {
	t       *testing.T
	r       *rand.Rand
	q       *Queue
	c       Config
	now     time.Time
	open    map[string]*pending
	run     [2]*Batch
	end     [2]time.Time
	held    map[string]Change // what the pass under way will acknowledge
	pass    time.Time         // its end; zero: none
	acks    int
	hurried bool // by Retry, perhaps paths that a pass has ended and left waiting

	contents  subtrees       // what the pass under way compares
	returned  map[string]int // how often by Return since the last change
	collapsed int            // paths whose content a pass compared
	ended     int            // of them, those that were returned again and again
	extended  int            // paths that came into a batch later
}

type pending struct {
	first, last time.Time
	change      Change
	clean       bool // never failed, deferred or in the way: its time limits hold
	whole       bool // a whole pass was needed meanwhile: it may have collapsed into that
}

func (s *sim) add() {
	rel := "x"
	for range s.r.IntN(4) {
		rel += "/" + string(rune('a'+s.r.IntN(4)))
	}
	change := Change(1 + s.r.IntN(15))
	waits := s.q.Pending(rel) != 0 // what a pass has ended may wait on, to be compared: it is due as it was
	s.q.Add(rel, change, s.now)
	delete(s.returned, rel)
	p := s.open[rel]
	if p == nil {
		p = &pending{first: s.now, clean: !waits && s.quiet()}
		s.open[rel] = p
	}
	p.last = s.now
	p.change |= change
}

// quiet: nothing runs that a new path would have to wait for.
func (s *sim) quiet() bool {
	s.hurried = s.hurried && s.q.Len()+s.q.Big() > 0
	return !s.hurried && s.run[0] == nil && s.run[1] == nil && !s.q.Whole() && s.q.Attempts() == 0
}

func (s *sim) disturb() {
	for _, p := range s.open {
		p.clean = false
		p.whole = p.whole || s.q.Whole() || !s.pass.IsZero()
	}
}

// taken checks a batch's times and takes its paths over.
func (s *sim) taken(lane int, b *Batch) {
	if s.run[lane] != nil {
		s.t.Fatal("two batches in one lane")
	}
	slack := min(s.c.Delay/8, slackMax)
	for i, e := range b.Entries {
		if i > 0 && b.Entries[i-1].Rel >= e.Rel {
			s.t.Fatal("not sorted")
		}
		p := s.open[e.Rel]
		if p == nil {
			continue // acknowledged by a pass, or an echo of the big lane
		}
		early := s.now.Add(slack)
		if p.clean && early.Before(p.last.Add(s.c.Delay)) && early.Before(p.first.Add(s.c.MaxDelay)) {
			s.t.Fatalf("%s taken %v after its last change", e.Rel, s.now.Sub(p.last))
		}
		if p.clean && s.now.After(p.first.Add(s.c.MaxDelay+slack)) {
			s.t.Fatalf("%s taken %v after its first change", e.Rel, s.now.Sub(p.first))
		}
		if !p.whole && e.Change&p.change != p.change {
			s.t.Fatalf("%s: change %04b, want %04b", e.Rel, e.Change, p.change)
		}
	}
	s.exclusive(b, s.run[1-lane])
	for _, e := range b.Entries {
		delete(s.open, e.Rel) // until it fails
	}
	s.run[lane] = b
	s.end[lane] = s.now.Add(time.Duration(s.r.IntN(500)) * time.Millisecond)
	s.disturb()
}

// exclusive: no path is under way twice, and nothing below one that may go.
func (s *sim) exclusive(a, b *Batch) {
	if b == nil {
		return
	}
	for _, x := range a.Entries {
		for _, y := range b.Entries {
			up, down := x, y
			if len(x.Rel) > len(y.Rel) {
				up, down = y, x
			}
			if x.Rel == y.Rel || strings.HasPrefix(down.Rel, up.Rel+"/") && up.Change&moves != 0 {
				s.t.Fatalf("%q and %q at the same time", x.Rel, y.Rel)
			}
		}
	}
}

// reopen notes again what a batch has not done.
func (s *sim) reopen(entries []Entry) {
	for _, e := range entries {
		p := s.open[e.Rel]
		if p == nil {
			p = &pending{first: e.First, last: e.Last}
			s.open[e.Rel] = p
		}
		p.change |= e.Change
		p.clean = false
	}
}

// extend has a batch take in what has come since it was taken.
func (s *sim) extend(lane int, b *Batch) {
	s.disturb()
	s.q.Extend(b, s.now, s.r.IntN(10))
	for i, e := range b.Entries {
		if i > 0 && b.Entries[i-1].Rel >= e.Rel {
			s.t.Fatal("not sorted")
		}
		p := s.open[e.Rel]
		if p == nil || s.q.items[e.Rel] != nil {
			continue
		}
		if !p.whole && e.Change&p.change != p.change {
			s.t.Fatalf("%s: change %04b, want %04b", e.Rel, e.Change, p.change)
		}
		delete(s.open, e.Rel)
		s.extended++
	}
	s.exclusive(b, s.run[1-lane])
}

func (s *sim) finish(lane int) {
	b := s.run[lane]
	if s.r.IntN(2) == 0 {
		s.extend(lane, b)
	}
	s.run[lane] = nil
	s.disturb()
	if lane == laneSmall && s.r.IntN(4) == 0 && len(b.Entries) > 0 {
		e := b.Entries[s.r.IntN(len(b.Entries))]
		s.q.Defer(b, []string{e.Rel}, s.now)
		s.reopen([]Entry{e})
	}
	switch s.r.IntN(6) {
	case 0:
		n := 0
		if len(b.Entries) > 0 {
			n = s.r.IntN(len(b.Entries) + 1)
		}
		s.reopen(b.Entries[:n])
		s.acks += len(b.Entries) - n
		s.q.Requeue(b, b.Entries[:n], s.now, s.r.Float64)
	case 1:
		s.reopen(b.Entries)
		s.q.Postpone(b, b.Entries, s.now, s.r.Float64)
	case 2:
		s.reopen(b.Entries)
		for _, e := range b.Entries {
			s.returned[e.Rel]++
		}
		if s.r.IntN(2) == 0 {
			s.q.AddWhole(s.now) // it is why a batch is returned
		}
		s.q.Return(b, s.now)
	default:
		s.acks += len(b.Entries)
		s.q.Done(b, s.now)
	}
}

func (s *sim) wholePass() {
	if !s.pass.IsZero() && !s.now.Before(s.pass) {
		s.pass = time.Time{}
		ok := s.r.IntN(3) > 0
		if ok {
			s.acks += len(s.held)
		} else {
			for rel, c := range s.held {
				s.reopen([]Entry{{Rel: rel, Change: c, First: s.now, Last: s.now}})
			}
		}
		s.disturb()
		s.q.EndWhole(ok, s.now, s.r.Float64)
		if ok {
			s.compared(s.held, s.contents)
		}
	}
	if s.pass.IsZero() && s.q.BeginWhole(s.now) {
		s.pass = s.now.Add(time.Duration(s.r.IntN(3000)) * time.Millisecond)
		s.held = map[string]Change{}
		s.contents = nil
		for _, rel := range s.q.Contents() {
			s.contents = s.contents.with(rel)
		}
		for rel, p := range s.open {
			s.held[rel] = p.change
			delete(s.open, rel)
		}
	}
}

// compared: of what a pass has ended, new content is compared by it, or is to be
// sent all the same, however often it was returned.
func (s *sim) compared(held map[string]Change, contents subtrees) {
	for rel, c := range held {
		switch {
		case c&(Content|Name) == 0:
		case contents.covers(rel):
			s.collapsed++
			if s.returned[rel] > 1 {
				s.ended++
			}
		case s.q.Pending(rel)&(Content|Name) == 0 && !s.q.dirty.covers(rel):
			s.t.Fatalf("%s: content that changed is taken for compared", rel)
		}
	}
}

func (s *sim) step() {
	for lane := range s.run {
		if s.run[lane] != nil && !s.now.Before(s.end[lane]) {
			s.finish(lane)
		}
	}
	s.wholePass()
	if b := s.q.Take(s.now, s.r.IntN(5)); b != nil {
		s.taken(laneSmall, b)
	}
	if b := s.q.TakeBig(s.now, 0); b != nil {
		s.taken(laneBig, b)
	}
}

// advance goes to the next time something can happen, at most limit ahead.
func (s *sim) advance(limit time.Duration) {
	next := s.now.Add(limit)
	if at, ok := s.q.Next(s.now); ok && at.Before(next) {
		next = at
	}
	for lane := range s.run {
		if s.run[lane] != nil && s.end[lane].Before(next) {
			next = s.end[lane]
		}
	}
	if !s.pass.IsZero() && s.pass.Before(next) {
		next = s.pass
	}
	if next.After(s.now) {
		s.now = next
	}
}

// TestNothingIsLost: whatever fails, every change is acknowledged by a batch
// taken, or a pass begun, after it; and the queue comes to rest.
func TestNothingIsLost(t *testing.T) {
	collapsed, ended, extended := 0, 0, 0
	for range 60 {
		seed := rand.Uint64()
		s := &sim{t: t, r: rand.New(rand.NewPCG(seed, 3)), now: epoch, open: map[string]*pending{}, returned: map[string]int{}}
		s.c = Config{
			Delay: time.Duration(s.r.IntN(300)) * time.Millisecond, MaxDelay: time.Second, BigDelay: 5 * time.Second,
			RetryMin: 100 * time.Millisecond, RetryMax: 2 * time.Second, MaxPaths: 20 + s.r.IntN(80),
		}
		s.c.MaxDelay = max(s.c.MaxDelay, s.c.Delay)
		s.q = New(s.c, s.now)
		ok := t.Run("", func(t *testing.T) {
			s.t = t
			t.Logf("seed %d", seed)
			for range 2000 {
				switch s.r.IntN(100) {
				case 0:
					s.q.AddWhole(s.now)
					s.disturb()
				case 1:
					s.q.Retry(s.now)
					s.hurried = true
					s.disturb()
				default:
					s.add()
				}
				if s.q.Whole() {
					s.disturb()
				}
				s.step()
				s.advance(time.Duration(s.r.IntN(60)) * time.Millisecond)
			}
			s.drain()
		})
		if !ok {
			return
		}
		collapsed += s.collapsed
		ended += s.ended
		extended += s.extended
	}
	if collapsed == 0 || ended == 0 || extended == 0 {
		t.Errorf("%d paths of queues that collapsed, %d that were returned again and again, %d that came into a batch later", collapsed, ended, extended)
	}
}

func (s *sim) drain() {
	for steps := 0; !s.q.Idle() || !s.pass.IsZero(); steps++ {
		if steps > 20_000 {
			s.t.Fatalf("no rest: %d wait, %d big, %d run, whole %v", s.q.Len(), s.q.Big(), s.q.InFlight(), s.q.Whole())
		}
		before := s.now
		s.step()
		s.advance(time.Hour)
		if s.now.Sub(before) >= time.Hour && !s.q.Idle() {
			s.t.Fatalf("stuck: %d wait, %d big, %d run, whole %v", s.q.Len(), s.q.Big(), s.q.InFlight(), s.q.Whole())
		}
	}
	for rel := range s.open {
		s.t.Errorf("%s is lost", rel)
	}
	if s.q.Doubt() != 0 || len(s.q.held) != 0 || s.q.bytes != 0 {
		s.t.Errorf("doubt %d, held %d, %d bytes", s.q.Doubt(), len(s.q.held), s.q.bytes)
	}
	if s.acks == 0 {
		s.t.Error("nothing was done")
	}
}
