package watch

import (
	"maps"
	"slices"
	"strings"

	"lockstep/worker/below"
	"lockstep/worker/listing"
	"lockstep/worker/tell"
)

// fresh is a directory that came while the root was watched. Between its coming
// and its watch names may have come into it, which no event tells: the listing
// that follows the watch does. A name may be told by both, in any order: the
// first one announces it. Of what has gone since the watch, no listing is believed
// that has it: if it is older, it has gone; if it is newer, an event says that it
// has come again. Once it was listed and every event up to then has been applied,
// events alone tell of it.
type fresh struct{ names map[string]bool } // false: it has gone

func newFresh() *fresh { return &fresh{map[string]bool{}} }

func base(rel string) string { return rel[strings.LastIndexByte(rel, '/')+1:] }

func (f *fresh) has(rel string) bool { return f.names[base(rel)] }

// above is the new directory that a path is in; nil: it is in another one.
func (r *Root) above(rel string) *fresh {
	if i := strings.LastIndexByte(rel, '/'); i > 0 && len(r.fresh) > 0 {
		return r.fresh[rel[:i]]
	}
	return nil
}

// unheard says whether nobody has heard yet of a directory, or of one above it:
// the tree may know it sooner, from a listing. Its content is told when it is
// (see relist).
func (r *Root) unheard(dir string) bool {
	if len(r.fresh) == 0 {
		return false
	}
	for i := 0; i < len(dir); i++ {
		if dir[i] != '/' {
			continue
		}
		if f := r.fresh[dir[:i]]; f != nil {
			name, _, _ := strings.Cut(dir[i+1:], "/")
			if !f.names[name] {
				return true
			}
		}
	}
	return false
}

// isNew takes down that a directory has just been told of.
func (r *Root) isNew(rel string) {
	r.fresh[rel] = newFresh()
	r.told = append(r.told, rel)
}

// relist has what was listed before it was told of listed again.
func (r *Root) relist() {
	for _, rel := range r.told {
		r.track.Again(rel)
	}
	r.told = r.told[:0]
}

// announce says whether a name is news, and takes it down.
func (r *Root) announce(rel string) bool {
	f := r.above(rel)
	if f == nil {
		return true
	}
	if f.has(rel) {
		return false
	}
	f.names[base(rel)] = true
	return true
}

// withdraw says whether anybody has heard of a name that is no more.
func (r *Root) withdraw(rel string) bool {
	f := r.above(rel)
	if f == nil {
		return true
	}
	had := f.has(rel)
	f.names[base(rel)] = false
	return had
}

// met is an entry of a listing.
func (r *Root) met(rel string, kind uint8) {
	f := r.above(rel)
	if f == nil || kind == listing.KindNone {
		return
	}
	if _, heard := f.names[base(rel)]; heard {
		return
	}
	f.names[base(rel)] = true
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
	below.Cut(r.doubted, rel)
}

// moveBelow gives a directory another path, with all that is below it.
func (r *Root) moveBelow(from, to string) {
	below.Move(r.failed, from, to)
	below.Move(r.doubted, from, to)
	r.full = append(r.full, below.Move(r.fresh, from, to)...) // its listing may have been for the old path
}

// stepFresh lets new directories be like all others once they were listed and
// every event up to then has been applied. Then it also tells what is in doubt:
// not before, because what is still in the queue may concern it.
func (r *Root) stepFresh() {
	calm := r.track.Idle() && len(r.walks) == 0 && len(r.left) == 0
	if r.closing || len(r.full) == 0 && (len(r.doubted) == 0 || !calm) {
		return
	}
	listed := r.full
	r.full, r.closing = nil, true
	began := r.host.Now()
	r.host.Barrier(func() {
		r.closing = false
		for _, rel := range listed {
			switch {
			case r.track.Busy(rel) || r.failed[rel]:
			case r.busyAbove(rel):
				r.later = append(r.later, rel)
			default:
				delete(r.fresh, rel)
			}
		}
		if len(r.fresh) == 0 {
			r.track.Acknowledged(began)
		}
		if !calm || !r.track.Idle() || r.lost != "" {
			return
		}
		for _, rel := range slices.Sorted(maps.Keys(r.doubted)) {
			r.rescan(rel, r.doubted[rel])
		}
		clear(r.doubted)
	})
}

// busyAbove says whether a directory above rel is being listed: if that came with
// a rename, all below it is listed next.
func (r *Root) busyAbove(rel string) bool {
	for i := strings.LastIndexByte(rel, '/'); i > 0; i = strings.LastIndexByte(rel[:i], '/') {
		if r.track.Busy(rel[:i]) {
			return true
		}
	}
	return false
}
