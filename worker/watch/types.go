package watch

import (
	"strings"

	"lockstep/ipc"
	"lockstep/worker/deliver"
	"lockstep/worker/listing"
)

// typer finds out of what type an event's subject was, which the kernel's event
// does not say, and keeps the order of events meanwhile.
//
// It looks at the path, then waits until every event up to that moment was
// heard. If none of them is of another thing at that path, what was seen there
// is what the event was about; else nobody can tell.
type typer struct {
	queue  []event
	asking bool
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
)

func newTyper() *typer {
	return &typer{last: map[string]uint64{}, known: map[string]uint8{}}
}

// changed notes that something came, went or moved at a path just now.
func (t *typer) changed(rel string, dir bool, seq uint64) {
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

// learn keeps what is at a path.
func (t *typer) learn(rel string, kind uint8) {
	if kind == listing.KindNone || kind == listing.KindDir {
		return
	}
	if len(t.known) >= maxKnown {
		clear(t.known)
	}
	t.known[rel] = kind
}

// mixed says whether another thing may be at the event's path by now.
func (t *typer) mixed(e *event) bool {
	if t.last[e.rel] > e.seq || t.lost > e.seq {
		return true
	}
	for _, u := range t.trees {
		if u.seq > e.seq && (e.rel == u.rel || strings.HasPrefix(e.rel, u.rel+"/")) {
			return true
		}
	}
	return false
}

// open says whether an event waits for its type.
func (e *event) open() bool {
	return e.kind == listing.KindNone && !e.asked && e.op <= move && e.op != remove
}

func (t *typer) push(e event) { t.queue = append(t.queue, e) }

// release gives out what need not wait.
func (t *typer) release(tell func(*event)) {
	n := 0
	for n < len(t.queue) && !t.queue[n].open() {
		tell(&t.queue[n])
		n++
	}
	if t.queue = t.queue[n:]; len(t.queue) == 0 && !t.asking {
		t.queue = nil
		t.trees = t.trees[:0]
		clear(t.last)
	}
}

// batch is what to look at next, and how many events wait for that.
func (t *typer) batch() (rels []string, events int) {
	seen := map[string]bool{}
	for i := range t.queue {
		e := &t.queue[i]
		if e.open() && !seen[e.rel] {
			if len(rels) == ipc.MaxRels {
				return rels, i
			}
			seen[e.rel] = true
			rels = append(rels, e.rel)
		}
	}
	return rels, len(t.queue)
}

// resolve uses what was seen.
func (t *typer) resolve(events int, kinds map[string]uint8) {
	t.asking = false
	for i := range t.queue[:min(events, len(t.queue))] {
		e := &t.queue[i]
		if !e.open() {
			continue
		}
		kind, looked := kinds[e.rel]
		if !looked {
			continue
		}
		if e.asked = true; !t.mixed(e) {
			e.kind = kind
			t.learn(e.rel, kind)
		}
	}
}

// stepTypes lets events go, and asks for the types of those that wait.
func (r *Root) stepTypes() {
	r.types.release(r.write)
	if r.types.asking || len(r.types.queue) == 0 {
		return
	}
	rels, events := r.types.batch()
	if n := deliver.FitRels(rels); n < len(rels) {
		rels = rels[:n]
	}
	r.types.asking = true
	r.host.Ask(&ipc.Stat{Root: r.cfg.Root, Rels: rels}, func(m ipc.Message, _ bool) error {
		a, err := deliver.Answer[ipc.StatAnswer](m)
		if err != nil {
			return err
		}
		kinds := make(map[string]uint8, len(rels))
		for i, s := range a.Stats[:min(len(rels), len(a.Stats))] {
			kinds[rels[i]] = uint8(s.Kind)
		}
		r.host.Barrier(func() { r.types.resolve(events, kinds) })
		return nil
	})
}
