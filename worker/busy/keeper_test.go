package busy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockstep/monitor"
	"lockstep/worker/listing"
	"lockstep/worker/tree"
)

// stage is a Keeper with a tracker that does as it is told, and a file system of one
// directory.
type stage struct {
	k       *Keeper
	tree    *tree.Tree
	resting map[tree.ID]bool
	now     time.Time
	entries []listing.Entry
	self    uint64
	looks   int
	events  []string
	said    []string
	pruned  int
}

func (s *stage) Tree() *tree.Tree        { return s.tree }
func (s *stage) Rest(id tree.ID) bool    { s.resting[id] = true; return true }
func (s *stage) Resting(id tree.ID) bool { return s.resting[id] }
func (s *stage) Wake(id tree.ID)         { delete(s.resting, id) }

const rate = 100

func newStage(entries int) (*stage, tree.ID) {
	s := &stage{tree: tree.New(), resting: map[tree.ID]bool{}, now: time.Unix(1_000_000, 500)}
	old := uint64(s.now.Add(-time.Hour).UnixNano())
	for i := range entries {
		s.entries = append(s.entries, listing.Entry{Kind: listing.KindFile, Name: fmt.Sprint(i), Ino: uint64(i), Ctime: old})
	}
	s.self = old
	id, _ := s.tree.Add(s.tree.Root(), "hot")
	s.tree.SetWD(id, 7)
	s.k = New(Config{
		Rate:  rate,
		Emit:  func(e monitor.PathEvent) { s.events = append(s.events, fmt.Sprintf("%v %s/%s", e.Mask, e.Dir, e.Name)) },
		Prune: func(string) { s.pruned++ },
		Say:   func(rel string, busy bool) { s.said = append(s.said, fmt.Sprint(rel, " ", busy)) },
	}, s)
	s.k.Step(s.now)
	return s, id
}

// second lets a second pass with so many events, and answers what is asked.
func (s *stage) second(events int) {
	for range events {
		s.k.Event(7)
	}
	if events >= rate {
		s.change()
	}
	s.now = s.now.Add(time.Second)
	s.k.Step(s.now)
	for p := s.k.Poller(); p != nil && len(p.Ahead(s.now)) > 0; p = s.k.Poller() {
		rel := p.Ahead(s.now)[0]
		p.Take(1)
		s.looks++
		p.Listed(rel, listing.Part{Entries: s.entries, Ctime: s.self}, s.now, s.now, true)
		s.k.Step(s.now)
	}
}

func (s *stage) seconds(n, events int) {
	for range n {
		s.second(events)
	}
}

// change is one of a file, a while ago by its time.
func (s *stage) change() { s.entries[0].Ctime++ }

func TestBusyAndCalm(t *testing.T) {
	s, id := newStage(10)
	s.seconds(20, rate-1)
	if s.looks > 0 || s.k.Poller() != nil || !s.k.Next().IsZero() {
		t.Fatalf("a calm directory is listed %d times", s.looks)
	}
	s.seconds(lasting, rate)
	if s.resting[id] || s.looks == 0 {
		t.Fatalf("it rests at once, or is not listed: %d looks", s.looks)
	}
	s.seconds(3, rate)
	if !s.resting[id] || !slices.Equal(s.said, []string{"hot true"}) {
		t.Fatalf("it does not rest: %q", s.said)
	}
	for range 10 {
		s.events = nil
		s.change()
		if s.second(0); len(s.events) == 0 {
			t.Fatal("a change is not told")
		}
	}
	if !s.resting[id] || s.pruned != 1 {
		t.Fatalf("it rests: %v, pruned %d times", s.resting[id], s.pruned)
	}
	s.seconds(calm+1, 0)
	if s.resting[id] {
		t.Fatal("it is calm and not watched")
	}
	s.events = nil
	s.change() // before it was watched again, and not seen yet
	s.seconds(8, 0)
	if len(s.events) == 0 || !slices.Equal(s.said, []string{"hot true", "hot false"}) || s.pruned != 2 {
		t.Fatalf("%q, said %q, pruned %d times", s.events, s.said, s.pruned)
	}
	if s.k.Poller() != nil || s.k.Times() != 1 {
		t.Error("it is still listed, or was not counted")
	}
}

// What always changes a little is watched again after a while.
func TestRestIsLimited(t *testing.T) {
	s, id := newStage(10)
	s.seconds(6, rate)
	if !s.resting[id] {
		t.Fatal("it does not rest")
	}
	for range int(longest/time.Second) + 2 {
		s.change()
		s.second(0)
	}
	if s.resting[id] {
		t.Error("it rests for ever")
	}
}

// A directory that is dearer to list than to hear of is left alone, for a while.
func TestLargeDirectory(t *testing.T) {
	s, id := newStage(rate + 1)
	s.seconds(20, rate)
	if s.resting[id] || s.looks != 1 || len(s.said) > 0 {
		t.Errorf("it rests, or was listed %d times: %q", s.looks, s.said)
	}
	s.seconds(int(longest/time.Second), rate)
	if s.looks != 2 {
		t.Errorf("it was listed %d times", s.looks)
	}
}

// So is one that grows large while it rests.
func TestGrowing(t *testing.T) {
	s, id := newStage(10)
	s.seconds(6, rate)
	if !s.resting[id] {
		t.Fatal("it does not rest")
	}
	big, _ := newStage(rate + 1)
	s.entries = big.entries
	if s.seconds(2, 0); s.resting[id] {
		t.Error("it is listed on and on")
	}
}

// One that goes, or is moved, is forgotten.
func TestGone(t *testing.T) {
	s, id := newStage(10)
	s.seconds(7, rate)
	if !s.resting[id] {
		t.Fatal("it does not rest")
	}
	s.tree.Remove(id, func(int32, uint16) {})
	if s.second(0); s.k.Poller() != nil || len(s.k.dirs) > 0 {
		t.Error("it is not forgotten")
	}
}

// Without a rate nothing is ever busy.
func TestNever(t *testing.T) {
	k := New(Config{}, nil)
	k.Event(1)
	k.Step(time.Unix(1, 0))
	if k != nil || k.Poller() != nil || !k.Next().IsZero() || k.Times() != 0 {
		t.Error("there is a keeper")
	}
}

// A line is not said for ever.
func TestLinesAreFew(t *testing.T) {
	s, _ := newStage(1)
	for i := range 100 {
		s.k.say(fmt.Sprint(i), true)
	}
	if len(s.said) != lines {
		t.Errorf("%d lines", len(s.said))
	}
	s.k.now = s.k.now.Add(2 * time.Minute)
	if s.k.say("later", true); len(s.said) != lines+1 {
		t.Errorf("%d lines", len(s.said))
	}
}
