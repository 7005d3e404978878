// Package walks turns the walks that a tracker asks for into requests to the
// helper, and its answers into listings; and makes the requests of a round of
// listings that are compared.
//
// Trust: part of the worker, untrusted. Pure.
//
// Invariant: walks are asked for in their order; the tracker relies on answers
// that come in it.
package walks

import (
	"fmt"
	"time"

	"lockstep/ipc"
	"lockstep/worker/clock"
	"lockstep/worker/deliver"
	"lockstep/worker/listing"
	"lockstep/worker/poll"
	"lockstep/worker/track"
)

// Most is how many requests a root has under way.
const Most = 4

// Queue is what a tracker wants listed, and what is under way of it.
type Queue struct {
	Root   ipc.RootID
	Host   Host
	List   []track.Walk
	Flying int // requests
}

// Host asks the helper, and knows the time.
type Host interface {
	Now() time.Time
	Ask(m ipc.Message, heard deliver.Flight)
}

// Take gets (part of) a directory's listing, and when it was asked for.
type Take func(rel string, part listing.Part, asked time.Time)

// Send asks for what is wanted, in its order, while there is room.
func (q *Queue) Send(take Take) {
	for q.Flying < Most && len(q.List) > 0 {
		q.List = q.List[q.Ask(q.List, take):]
	}
	if len(q.List) == 0 {
		q.List = nil
	}
}

// Ask asks for the first n of walks, as many as one request can hold.
func (q *Queue) Ask(walks []track.Walk, take Take) (n int) {
	m, n := batch(q.Root, walks)
	q.Flying++
	q.Host.Ask(m, q.heard(walks[:n:n], q.Host.Now(), take))
	return n
}

func (q *Queue) heard(batch []track.Walk, asked time.Time, take Take) deliver.Flight {
	return func(m ipc.Message, final bool) error {
		a, err := deliver.Answer[ipc.WatchAnswer](m)
		if err != nil {
			return err
		}
		for i := range a.Dirs {
			w, err := at(batch, &a.Dirs[i])
			if err != nil {
				return err
			}
			part := partOf(&a.Dirs[i])
			part.Serial = w.Serial
			take(w.Rel, part, asked)
		}
		if final {
			q.Flying--
		}
		return nil
	}
}

// batch is the request for the first n of walks, as many as one can hold.
func batch(root ipc.RootID, walks []track.Walk) (m *ipc.Watch, n int) {
	first := walks[0]
	var rels []string
	for _, w := range walks[:min(len(walks), ipc.MaxRels)] {
		if w.All != first.All || w.Watch != first.Watch || w.Since != first.Since {
			break
		}
		rels = append(rels, w.Rel)
	}
	n = deliver.FitRels(rels)
	return &ipc.Watch{Root: root, Watch: first.Watch, All: first.All, Rels: rels[:n], Since: clock.Least(first.Since)}, n
}

// at is the one of what was asked for that an answer is about.
func at[T any](batch []T, d *ipc.Dir) (one T, err error) {
	if int(d.Index) >= len(batch) {
		return one, fmt.Errorf("a listing with index %d of %d", d.Index, len(batch))
	}
	return batch[d.Index], nil
}

// partOf is a directory's answer as the pure packages have it.
func partOf(d *ipc.Dir) listing.Part {
	return listing.Part{Status: uint16(d.Status), WD: d.WD, Ctime: d.Ctime, More: d.More, Entries: entries(d.Entries)}
}

func entries(in []ipc.Entry) []listing.Entry {
	out := make([]listing.Entry, len(in))
	for i, x := range in {
		out[i] = listing.Entry{Kind: uint8(x.Kind), Nlink: x.Nlink, Ino: x.Ino, Size: x.Size, Ctime: x.Ctime, Stamp: x.Stamp, Name: x.Name}
	}
	return out
}

// maxPoll is how many directories one request of a round names: what the tracker
// wants listed waits for no more.
const maxPoll = 64

// Round asks for the next directories of a round of listings, if it is time, and
// not before all was asked for that is wanted.
func (q *Queue) Round(p *poll.Poller) {
	if p == nil || len(q.List) > 0 {
		return
	}
	rels := p.Ahead(q.Host.Now())
	rels = rels[:min(len(rels), maxPoll)]
	if len(rels) == 0 {
		return
	}
	rels = rels[:deliver.FitRels(rels)]
	// What the root itself is, no other directory's listing tells.
	since := uint64(0)
	if p.Self(rels[0]) {
		rels, since = rels[:1], 1
	}
	batch := append([]string(nil), rels...)
	p.Take(len(batch))
	asked := q.Host.Now()
	q.Host.Ask(&ipc.Watch{Root: q.Root, All: true, Rels: batch, Since: since}, func(m ipc.Message, _ bool) error {
		a, err := deliver.Answer[ipc.WatchAnswer](m)
		if err != nil {
			return err
		}
		for i := range a.Dirs {
			rel, err := at(batch, &a.Dirs[i])
			if err != nil {
				return err
			}
			p.Listed(rel, partOf(&a.Dirs[i]), asked, q.Host.Now(), true)
		}
		return nil
	})
}
