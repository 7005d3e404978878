package watch

import (
	"maps"
	"slices"
	"strings"

	"lockstep/worker/below"
	"lockstep/worker/listing"
	"lockstep/worker/tell"
)

// isNew takes down that a directory has just been told of.
func (r *Root) isNew(rel string) {
	r.fresh.Open(rel)
	r.told = append(r.told, rel)
}

// relist has what was listed before it was told of listed again.
func (r *Root) relist() {
	for _, rel := range r.told {
		r.wants(rel)
	}
	r.told = r.told[:0]
}

// announce says whether a name that an event tells is news.
func (r *Root) announce(rel string, kind uint8) bool {
	dir := kind == listing.KindDir
	if r.fresh.Differs(rel, dir) {
		other := listing.KindDir
		if dir {
			other = listing.KindNone
		}
		r.gone(rel, other)
	}
	return r.fresh.Announce(rel, dir)
}

// met is an entry of a listing.
func (r *Root) met(rel string, kind uint8) {
	if kind == listing.KindNone || !r.fresh.Meet(rel, kind == listing.KindDir) {
		return
	}
	if kind == listing.KindDir {
		r.isNew(rel)
	}
	seq := r.note(rel, kind)
	r.types.Learn(rel, kind)
	r.change(tell.Event{Op: tell.Create, Kind: kind, Rel: rel, Seq: seq})
}

// forgetBelow forgets a directory that is no more, with all that is below it.
func (r *Root) forgetBelow(rel string) {
	below.Cut(r.fresh, rel)
	below.Cut(r.failed, rel)
	if r.arrivals != nil { // its end may be older than what is in doubt
		r.arrivals.Forget(rel)
		return
	}
	below.Cut(r.doubted, rel)
}

// moveBelow gives a directory another path, with all that is below it.
func (r *Root) moveBelow(from, to string) {
	below.Move(r.failed, from, to)
	below.Move(r.doubted, from, to)
	places := below.Move(r.fresh, from, to)
	for _, at := range places {
		r.full[at] = true // its listing may have been for the old path
	}
	r.moveArrivals(from, places)
}

// calm says whether what is in doubt can be told: nothing is under way that may
// concern it, or in a tree that never rests it has waited for long enough.
func (r *Root) calm() bool {
	return r.still() && len(r.left) == 0 || len(r.doubted) > 0 && r.host.Now().Sub(r.doubtedAt) >= impatience
}

// stepFresh lets new directories be like all others once they were listed and
// every event up to then has been applied. Then it also tells what is in doubt:
// not before, because what is still in the queue may concern it.
func (r *Root) stepFresh() {
	calm := r.calm()
	if r.closing || len(r.full) == 0 && (len(r.doubted) == 0 || !calm) {
		return
	}
	listed := r.full
	r.full, r.closing = map[string]bool{}, true
	began := r.host.Now()
	r.host.Barrier(func() {
		r.closing = false
		for rel := range listed {
			switch {
			case r.busy(rel) || r.full[rel]: // listed again, or moved, since
			case r.busyAbove(rel):
				r.later = append(r.later, rel)
			default:
				delete(r.fresh, rel)
			}
		}
		if len(r.fresh) == 0 {
			r.track.Acknowledged(began)
		}
		if !calm || !r.calm() || r.lost != "" {
			return
		}
		for _, rel := range slices.Sorted(maps.Keys(r.doubted)) {
			if up := max(strings.LastIndexByte(rel, '/'), 0); rel == "" || !below.Covers(r.doubted, rel[:up]) {
				r.rescan(rel, r.doubted[rel])
			}
		}
		clear(r.doubted)
	})
}

// again takes up those new directories that waited for a listing above them, now
// that one has ended.
func (r *Root) again() {
	for _, rel := range r.later {
		r.full[rel] = true
	}
	r.later = r.later[:0]
}

// busyAbove says whether a directory above rel is being listed: if that came with
// a rename, all below it is listed next.
func (r *Root) busyAbove(rel string) bool {
	for i := strings.LastIndexByte(rel, '/'); i > 0; i = strings.LastIndexByte(rel[:i], '/') {
		if r.busy(rel[:i]) {
			return true
		}
	}
	return false
}
