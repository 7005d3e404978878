package poll_test

import (
	"fmt"
	"testing"
	"time"

	"lockstep/monitor"
	"lockstep/worker/doubt"
	"lockstep/worker/listing"
	"lockstep/worker/poll"
	"lockstep/worker/track"
	"lockstep/worker/tree"
)

// server is a tree of directories with ten files each, what a tracker and a Poller
// make of it, and what is to be sent because of that.
type server struct {
	track   *track.Tracker
	poll    *poll.Poller
	now     time.Time
	dirs    map[string][]listing.Entry
	status  func(rel string) uint16
	walks   []listing.Walk
	content map[string]bool
	failed  int
}

func newServer(every time.Duration) *server {
	s := &server{
		now: time.Unix(1_000_000, 500), dirs: map[string][]listing.Entry{}, content: map[string]bool{},
		status: func(string) uint16 { return 0 },
	}
	old := uint64(s.now.Add(-time.Hour).UnixNano())
	for d := range 10 {
		dir := fmt.Sprint("d", d)
		s.dirs[""] = append(s.dirs[""], listing.Entry{Kind: listing.KindDir, Ino: uint64(d), Ctime: old, Name: dir})
		for f := range 10 {
			s.dirs[dir] = append(s.dirs[dir], listing.Entry{Kind: listing.KindFile, Ino: uint64(d*100 + f), Size: 1, Ctime: old, Name: fmt.Sprint(f)})
		}
	}
	s.track = track.New(track.Config{Excluded: func(string, bool) bool { return false }, Paths: true, Compared: true}, s)
	s.poll = poll.New(poll.Config{
		Root: 1, Every: every, Inodes: true,
		Dirs:  func() []string { return s.track.Tree().Paths(4096) },
		Known: func(rel string) bool { return s.track.Tree().Find(rel) != tree.None },
		Emit:  func(e monitor.PathEvent) { s.track.Path(e, s.now) },
	})
	s.track.Start(true, 0)
	s.walk()
	return s
}

func (s *server) answer(rel string) listing.Part {
	if status := s.status(rel); status != 0 {
		return listing.Part{Status: status, WD: -1}
	}
	return listing.Part{WD: -1, Entries: s.dirs[rel]}
}

// walk answers what the tracker asks for.
func (s *server) walk() {
	for len(s.walks) > 0 {
		w := s.walks[0]
		s.walks = s.walks[1:]
		part := s.answer(w.Rel)
		part.Serial = w.Serial
		s.track.Listing(part, s.now)
		s.poll.Listed(w.Rel, part, s.now, s.now, false)
	}
}

// round lets some time pass, and answers what the Poller asks for.
func (s *server) round() {
	s.now = s.now.Add(time.Minute)
	for rels := s.poll.Ahead(s.now); len(rels) > 0; rels = s.poll.Ahead(s.now) {
		rels = append([]string(nil), rels...)
		s.poll.Take(len(rels))
		for _, rel := range rels {
			s.poll.Listed(rel, s.answer(rel), s.now, s.now, true)
			s.walk()
		}
		if s.poll.Next().After(s.now) {
			break
		}
	}
	s.track.Retry()
	s.walk()
}

func (s *server) Dirty(rel string, c track.Change, _ *listing.Entry) {
	if c&track.Content != 0 {
		s.content[rel] = true
	}
}
func (s *server) Walk(w listing.Walk)              { s.walks = append(s.walks, w) }
func (s *server) Failed(string, uint16)            { s.failed++ }
func (s *server) Suspect(string, []doubt.Doubt)    {}
func (s *server) Forgotten(time.Time)              {}
func (s *server) Seen(string, listing.Entry, bool) {}
func (s *server) Unwatch(int32)                    {}
func (s *server) Rescan(string)                    {}
func (s *server) RootGone(string)                  {}
func (s *server) Skip(string, uint8)               {}
func (s *server) TooLong(string)                   {}

// A server that does not answer for a while has nothing sent again but what has
// changed meanwhile. One that is away for long is told of as a failure, and then
// nothing is relied on that was known before.
func TestWhatAStallHasSentAgain(t *testing.T) {
	for name, c := range map[string]struct {
		status  uint16
		rounds  int // without an answer, a minute each
		failed  bool
		content int // files that are sent again; one has changed
	}{
		"nothing":             {0, 1, false, 1},
		"timeout":             {1024, 1, false, 1},
		"busy":                {1025, 5, false, 1},
		"interrupted":         {4, 1, false, 1},
		"an error of its own": {listing.EIO, 3, false, 1},
		"no permission":       {13, 1, true, 100},
		"away for long":       {1024, 12, true, 100},
	} {
		for _, every := range []time.Duration{time.Second, 0} {
			s := newServer(every)
			s.round()
			s.status = func(string) uint16 { return c.status }
			for range c.rounds {
				s.ask()
				s.round()
			}
			s.status = func(string) uint16 { return 0 }
			s.dirs["d3"][3].Ctime = uint64(s.now.Add(-30 * time.Second).UnixNano())
			for range 3 {
				s.ask()
				s.round()
			}
			if len(s.content) != c.content || !s.content["d3/3"] || (s.failed > 0) != c.failed {
				t.Errorf("%s, every %v: %d files are sent again, want %d; %d failures told", name, every, len(s.content), c.content, s.failed)
			}
		}
	}
}

// ask is what signals do where there are no rounds.
func (s *server) ask() {
	for rel := range s.dirs {
		s.poll.Ask(rel)
	}
}
