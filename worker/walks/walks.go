// Package walks turns the walks that a tracker asks for into requests to the
// helper, and its answers into listings.
//
// Trust: part of the worker, untrusted. Pure.
//
// Invariant: walks are asked for in their order; the tracker relies on answers
// that come in it.
package walks

import (
	"fmt"

	"lockstep/ipc"
	"lockstep/worker/clock"
	"lockstep/worker/deliver"
	"lockstep/worker/listing"
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

// At is the one of what was asked for that an answer is about.
func At[T any](batch []T, d *ipc.Dir) (one T, err error) {
	if int(d.Index) >= len(batch) {
		return one, fmt.Errorf("a listing with index %d of %d", d.Index, len(batch))
	}
	return batch[d.Index], nil
}

// Part is what the helper says of one walk of a batch.
func Part(batch []track.Walk, d *ipc.Dir) (listing.Part, error) {
	w, err := At(batch, d)
	p := PartOf(d)
	p.Serial = w.Serial
	return p, err
}

// PartOf is a directory's answer as the pure packages have it.
func PartOf(d *ipc.Dir) listing.Part {
	return listing.Part{Status: uint16(d.Status), WD: d.WD, Ctime: d.Ctime, More: d.More, Entries: entries(d.Entries)}
}

func entries(in []ipc.Entry) []listing.Entry {
	out := make([]listing.Entry, len(in))
	for i, x := range in {
		out[i] = listing.Entry{Kind: uint8(x.Kind), Nlink: x.Nlink, Ino: x.Ino, Size: x.Size, Ctime: x.Ctime, Stamp: x.Stamp, Name: x.Name}
	}
	return out
}
