// Package walks turns the walks that a tracker asks for into requests to the
// helper, and its answers into listings; and makes the
// requests of a round of listings that are compared.
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

// Batch is the request for the first n of walks, as many as one can hold.
func Batch(root ipc.RootID, walks []track.Walk) (m *ipc.Watch, n int) {
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

// Part is what the helper says of one walk of a batch.
func Part(batch []track.Walk, d *ipc.Dir) (listing.Part, error) {
	w, err := at(batch, d)
	p := partOf(d)
	p.Serial = w.Serial
	return p, err
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

// Round asks for the next directories of a round of listings, if it is time.
func Round(p *poll.Poller, root ipc.RootID, now func() time.Time, ask func(ipc.Message, deliver.Flight)) {
	rels := p.Ahead(now())
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
	asked := now()
	ask(&ipc.Watch{Root: root, All: true, Rels: batch, Since: since}, func(m ipc.Message, _ bool) error {
		a, err := deliver.Answer[ipc.WatchAnswer](m)
		if err != nil {
			return err
		}
		for i := range a.Dirs {
			rel, err := at(batch, &a.Dirs[i])
			if err != nil {
				return err
			}
			p.Listed(rel, partOf(&a.Dirs[i]), asked, now(), true)
		}
		return nil
	})
}
