package worker

import (
	"testing"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rules/ordered"
	"lockstep/worker/queue"
	"lockstep/worker/track"
)

// An event in a directory that is not to be monitored is left to the next whole
// pass; what a listing marks is not, for a pass may not see that it differs.
func TestUnheard(t *testing.T) {
	s, _ := newWorld(t)
	set, err := ordered.Parse("rules", []byte("-m^a$"))
	if err != nil {
		t.Fatal(err)
	}
	s.rules = s.rules.With(set)
	dirty := (*sink)(s.root).Dirty
	dirty("a/told", track.Content, nil)
	dirty("a/listed", track.Content, &track.Entry{})
	dirty("c/told", track.Content, nil)
	for rel, want := range map[string]queue.Change{"a/told": 0, "a/listed": queue.Content, "c/told": queue.Content} {
		if got := s.targets[0].Queue.Pending(rel); got != want {
			t.Errorf("%s: %v waits, want %v", rel, got, want)
		}
	}
}

// Of names that shared an inode, one that left it unheard is deleted by the pass, and
// made anew after it: so that the others keep their attributes.
func TestPartsNames(t *testing.T) {
	s, _ := newWorld(t)
	for _, rel := range []string{"a", "b"} {
		s.links.Share(rel, 7)
	}
	s.walking = true
	s.links.Walk(true)
	seen := (*sink)(s.root).Seen
	link := func(ino uint64) track.Entry { return track.Entry{Kind: uint8(ipc.KindLink), Nlink: 1, Ino: ino} }
	seen("a", link(8), false)
	seen("b", link(7), false)
	if rules, over := s.omit.Rules(); string(rules) != "H /a\x00" || over {
		t.Errorf("the rules %q", rules)
	}
	for rel, want := range map[string]queue.Change{"a": queue.Content, "b": 0} {
		if got := s.targets[0].Queue.Pending(rel); got != want {
			t.Errorf("%s: %v waits, want %v", rel, got, want)
		}
	}
}

// Of what a handler has nobody can count: how much there is in the source must be known,
// or one that was emptied looks like one that always was.
func TestHandlersSourceIsCounted(t *testing.T) {
	s, _ := newWorld(t)
	if s.listsAll() {
		t.Error("of a tree that rsync copies all is listed")
	}
	s.cfg.Tell = settings.TellPaths
	if !s.listsAll() {
		t.Error("of a handler's source not all is listed")
	}
}
