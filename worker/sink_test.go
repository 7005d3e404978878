package worker

import (
	"testing"

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
