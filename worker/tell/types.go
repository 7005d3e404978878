package tell

import (
	"strings"

	"lockstep/ipc"
	"lockstep/worker/listing"
)

// Typer finds out of what type an event's subject was, which the kernel's event
// does not say, and keeps the order of events meanwhile.
//
// It looks at the path, then waits until every event up to that moment was
// heard. If none of them is of another thing at that path, what was seen there
// is what the event was about; else nobody can tell.
type Typer struct {
	queue  []Event
	asking bool
	ahead  int               // events that the answer was to be for, and that have not waited for it
	last   map[string]uint64 // when something came, went or moved at a path, while events wait
	trees  []upheaval        // the same of directories with all that is in them
	lost   uint64            // before this, nobody can tell
	known  map[string]uint8  // types that were told lately
}

type upheaval struct {
	seq uint64
	rel string
}

const (
	maxTrees = 64
	maxKnown = 8 << 10
	maxLast  = 64 << 10
	maxQueue = 64 << 10 // beyond it no event waits for its type: it is told without
)

// NewTyper makes an empty one.
func NewTyper() *Typer {
	return &Typer{last: map[string]uint64{}, known: map[string]uint8{}}
}

// Changed notes that something came, went or moved at a path just now.
func (t *Typer) Changed(rel string, dir bool, seq uint64) {
	delete(t.known, rel)
	if dir {
		clear(t.known) // what is below it
	}
	switch {
	case len(t.queue) == 0 && !t.asking:
	case dir && len(t.trees) >= maxTrees, len(t.last) >= maxLast:
		t.trees, t.lost = t.trees[:0], seq
		clear(t.last)
	case dir:
		t.trees = append(t.trees, upheaval{seq, rel})
	default:
		t.last[rel] = seq
	}
}

// Learn keeps what is at a path.
func (t *Typer) Learn(rel string, kind uint8) {
	if kind == listing.KindNone || kind == listing.KindDir {
		return
	}
	if len(t.known) >= maxKnown {
		clear(t.known)
	}
	t.known[rel] = kind
}

// mixed says whether another thing may be at the event's path by now.
func (t *Typer) mixed(e *Event) bool {
	if t.last[e.Rel] > e.Seq || t.lost > e.Seq {
		return true
	}
	for _, u := range t.trees {
		if u.seq > e.Seq && (e.Rel == u.rel || strings.HasPrefix(e.Rel, u.rel+"/")) {
			return true
		}
	}
	return false
}

// open says whether an event waits for its type. A path that no request can name
// is not looked at.
func (e *Event) open() bool {
	return e.Kind == listing.KindNone && !e.asked && e.Op <= Move && e.Op != Remove && len(e.Rel) < ipc.MaxRel
}

// Push appends an event.
func (t *Typer) Push(e Event) {
	if n := len(t.queue); n > 0 && n%maxQueue == 0 {
		for i := range t.queue[n-maxQueue:] {
			t.queue[n-maxQueue+i].asked = true
		}
	}
	t.queue = append(t.queue, e)
}

// Release gives out what need not wait.
func (t *Typer) Release(tell func(*Event)) {
	n := 0
	for n < len(t.queue) && !t.queue[n].open() {
		tell(&t.queue[n])
		n++
	}
	t.ahead += n
	if t.queue = t.queue[n:]; len(t.queue) == 0 && !t.asking {
		t.queue = nil
		t.trees = t.trees[:0]
		clear(t.last)
	}
}

// Batch is what to look at next, and how many events wait for that.
func (t *Typer) Batch() (rels []string, events int) {
	if t.asking || len(t.queue) == 0 {
		return nil, 0
	}
	t.ahead = 0
	seen := map[string]bool{}
	for i := range t.queue {
		e := &t.queue[i]
		if e.open() && !seen[e.Rel] {
			if len(rels) == ipc.MaxRels {
				t.asking = true
				return rels, i
			}
			seen[e.Rel] = true
			rels = append(rels, e.Rel)
		}
	}
	t.asking = true
	return rels, len(t.queue)
}

// Empty says that no event waits.
func (t *Typer) Empty() bool { return len(t.queue) == 0 }

// Known is the type of what is at a path, if it was told lately.
func (t *Typer) Known(rel string) uint8 { return t.known[rel] }

// Resolve uses what was seen.
func (t *Typer) Resolve(events int, kinds map[string]uint8) {
	t.asking = false
	for i := range t.queue[:min(max(events-t.ahead, 0), len(t.queue))] {
		e := &t.queue[i]
		if !e.open() {
			continue
		}
		kind, looked := kinds[e.Rel]
		if !looked {
			continue
		}
		if e.asked = true; !t.mixed(e) {
			e.Kind = kind
			t.Learn(e.Rel, kind)
		}
	}
}
