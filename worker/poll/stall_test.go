package poll

import (
	"slices"
	"testing"
	"time"

	"lockstep/worker/listing"
)

var stalled = listing.Part{Status: 1024}

// What was not looked at is not waited for as if it had been: a mark waits for two
// rounds that listed all, whichever of them the server missed.
func TestMarksWaitForAStall(t *testing.T) {
	for missed := range 4 { // the round that is under way at the mark, those after it, none
		for _, every := range []time.Duration{time.Second, 0} {
			r := newRig(t, every)
			r.dirs = []string{"", "d"}
			r.walk("", folder("d"))
			r.walk("d")
			called := 0
			round := func(n int) {
				r.now = r.now.Add(time.Minute)
				if every == 0 {
					r.Ask("d")
				}
				rels := slices.Clone(r.Ahead(r.now))
				r.Take(len(rels))
				if n == 0 {
					r.Mark(func() { called++ })
				}
				for _, rel := range rels {
					part := map[string]listing.Part{"": {Entries: []listing.Entry{folder("d")}}, "d": {}}[rel]
					if rel == "d" && n == missed {
						part = stalled
					}
					r.Listed(rel, part, r.now, r.now, true)
				}
			}
			want := map[bool][]int{
				true:  {3, 4, 4, 3}, // rounds, the one under way among them
				false: {2, 1, 1, 1},
			}[every > 0][missed]
			rounds := 0
			for called == 0 && rounds < 10 {
				round(rounds)
				rounds++
			}
			if rounds != want {
				t.Errorf("every %v, round %d missed: called after %d rounds, want %d", every, missed, rounds, want)
			}
			if full := r.Counters().Rounds; every > 0 && int(full) != rounds-map[bool]int{true: 1}[missed < 3] {
				t.Errorf("round %d missed: %d of %d rounds are counted", missed, full, rounds)
			}
			r.expect()
		}
	}
}

// A mark that waits for what is late waits for a round that looked at it.
func TestLateMarksWaitForAStall(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{""}
	r.walk("")
	fresh := file("f", 0)
	fresh.Ctime = uint64(r.now.Add(2 * time.Minute).UnixNano())
	answer := map[string]listing.Part{"": {Entries: []listing.Entry{fresh}}}
	called := 0
	r.Mark(func() { called++ })
	r.round(map[string]listing.Part{"": {}})
	r.round(answer) // shows what may change once more within the tick
	r.expect("f CREATE")
	for range 3 {
		r.round(map[string]listing.Part{"": stalled})
		if r.expect(); called > 0 || !r.Stalled() {
			t.Fatalf("called %d times before it is told again; stalled %v", called, r.Stalled())
		}
	}
	r.round(answer)
	if r.expect("f MODIFY|ATTRIB"); called != 1 || r.Stalled() {
		t.Errorf("called %d times after it; stalled %v", called, r.Stalled())
	}
}

// Without rounds, nobody else asks again for a directory that could not be listed:
// not at once, and as long as it takes.
func TestAskedAgainWithoutRounds(t *testing.T) {
	r := newRig(t, 0)
	r.dirs = []string{"", "d"}
	r.walk("", folder("d"))
	r.walk("d", file("f", 1))
	r.Ask("d")
	asked := 0
	for range 50 {
		rels := slices.Clone(r.Ahead(r.now))
		if len(rels) == 1 {
			asked++
			r.Take(1)
			r.Listed("d", stalled, r.now, r.now, true)
		}
		next := r.Next()
		if next.IsZero() || !next.After(r.now) && len(rels) == 1 {
			t.Fatalf("asked %d times, and next at %v", asked, next)
		}
		r.now = r.now.Add(time.Second)
	}
	if asked != 10 {
		t.Errorf("asked %d times in 50 seconds", asked)
	}
	called := false
	r.Mark(func() { called = true })
	if called {
		t.Error("called before it was looked at")
	}
	r.walk("d", file("f", 2)) // for another reason
	if r.expect("d/f MODIFY|ATTRIB|CREATE"); !called || r.Stalled() {
		t.Errorf("called %v, stalled %v", called, r.Stalled())
	}
	if r.now = r.now.Add(time.Minute); len(r.Ahead(r.now)) != 0 || !r.Next().IsZero() {
		t.Error("it is asked for although it was listed")
	}
}

// One that can never be listed is given up after a while, and nobody waits any more;
// it was said before, and not each time.
func TestStallsEnd(t *testing.T) {
	for _, every := range []time.Duration{time.Second, 0} {
		r := newRig(t, every)
		said := 0
		r.cfg.Say = func(rel string, status uint16) {
			if said++; rel != "d" || status != 5 {
				t.Errorf("said %q %d", rel, status)
			}
		}
		r.dirs = []string{"", "d"}
		r.walk("", folder("d"))
		r.walk("d", file("f", 1))
		r.Ask("d")
		called := 0
		r.Mark(func() { called++ })
		for i := 0; called == 0 && i < 10_000; i++ {
			if r.now = r.now.Add(time.Second); len(r.told) > 0 {
				r.dirs = []string{""} // whoever keeps the tree finds that it cannot be read
			}
			rels := slices.Clone(r.Ahead(r.now))
			r.Take(len(rels))
			for _, rel := range rels {
				part := listing.Part{Entries: []listing.Entry{folder("d")}}
				if rel == "d" {
					part = listing.Part{Status: listing.EIO}
				}
				r.Listed(rel, part, r.now, r.now, true)
			}
		}
		if took := r.now.Sub(zero); took < patience || took > patience+time.Minute {
			t.Errorf("every %v: it was waited for during %v", every, took)
		}
		if r.expect("d CHANGED|ISDIR"); r.Stalled() || said < 2 || said > int(patience/sayEvery)+1 {
			t.Errorf("every %v: stalled %v, said %d times", every, r.Stalled(), said)
		}
	}
}

// What goes while it cannot be listed is waited for no longer.
func TestStalledDirectoriesGo(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{"", "d", "d/e"}
	r.walk("", folder("d"))
	r.walk("d", folder("e"))
	r.walk("d/e")
	r.round(map[string]listing.Part{"": {Entries: []listing.Entry{folder("d")}}, "d": stalled, "d/e": stalled})
	r.dirs = []string{""}
	r.round(map[string]listing.Part{"": {}})
	if r.expect("d DELETE|ISDIR"); r.Stalled() {
		t.Errorf("stalled: %v", r.stall.dirs)
	}
}

// That another directory is refused each time keeps nobody waiting: each was listed
// in one of two rounds.
func TestStallsByTurns(t *testing.T) {
	r := newRig(t, time.Second)
	r.dirs = []string{"", "a", "b"}
	top := listing.Part{Entries: []listing.Entry{folder("a"), folder("b")}}
	r.walk("", top.Entries...)
	r.walk("a")
	r.walk("b")
	called := 0
	r.Mark(func() { called++ })
	answer := map[string]listing.Part{"": top, "a": {}, "b": {}}
	for i := range 7 {
		rel := []string{"a", "b"}[i%2]
		answer[rel] = stalled
		r.round(answer)
		answer[rel] = listing.Part{}
		if want := map[bool]int{true: 1}[i >= 3]; called != want || int(r.Counters().Rounds) != (i+1)/2 {
			t.Errorf("after %d rounds: called %d times, %d rounds are counted", i+1, called, r.Counters().Rounds)
		}
	}
}

// A listing that was asked for before the one that was refused does not answer for it.
func TestOlderListingsDoNotEndAStall(t *testing.T) {
	r := newRig(t, 0)
	r.walk("")
	before := r.now
	r.now = r.now.Add(time.Second)
	r.Ask("")
	r.Ahead(r.now)
	r.Take(1)
	r.Listed("", stalled, r.now, r.now, true)
	called := 0
	r.Mark(func() { called++ })
	if r.Listed("", listing.Part{}, before, r.now, false); called > 0 || !r.Stalled() {
		t.Error("an older listing ends a stall")
	}
	if r.walk(""); called != 1 || r.Stalled() {
		t.Error("a later listing does not end a stall")
	}
}

// Of directories that are listed for want of a watch, a refusal is told at once.
func TestOwnDirectoriesDoNotStall(t *testing.T) {
	r := newRig(t, time.Second)
	r.cfg.Own = true
	r.dirs = []string{"d"}
	r.walk("d", file("f", 1))
	r.round(map[string]listing.Part{"d": stalled})
	if r.expect("d CHANGED|ISDIR"); r.Stalled() {
		t.Error("it is waited for")
	}
}
