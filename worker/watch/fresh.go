package watch

import (
	"strings"

	"lockstep/worker/listing"
)

// fresh is a directory that came while the root was watched. Between its coming
// and its watch names may have come into it, which no event tells: the listing
// that follows the watch does. A name may be told by both, in any order: the
// first one announces it. Once it was listed and every event up to then has been
// applied, events alone tell of it.
type fresh struct{ names map[string]bool }

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
	delete(f.names, base(rel))
	return had
}

// met is an entry of a listing.
func (r *Root) met(rel string, kind uint8) {
	f := r.above(rel)
	if f == nil || f.has(rel) || kind == listing.KindNone {
		return
	}
	f.names[base(rel)] = true
	if kind == listing.KindDir {
		r.fresh[rel] = newFresh()
	}
	seq := r.note(rel, kind)
	r.types.learn(rel, kind)
	r.tell(event{op: create, kind: kind, rel: rel, seq: seq})
}

// forgetBelow forgets a directory that is no more, with all that is below it.
func (r *Root) forgetBelow(rel string) {
	for at := range r.fresh {
		if at == rel || strings.HasPrefix(at, rel+"/") {
			delete(r.fresh, at)
		}
	}
	for at := range r.failed {
		if at == rel || strings.HasPrefix(at, rel+"/") {
			delete(r.failed, at)
		}
	}
}

// moveBelow gives new directories at or below from their new paths.
func (r *Root) moveBelow(from, to string) {
	moved := map[string]*fresh{}
	for at, f := range r.fresh {
		if at == from || strings.HasPrefix(at, from+"/") {
			moved[to+at[len(from):]] = f
			delete(r.fresh, at)
		}
	}
	for at := range r.failed {
		if at == from || strings.HasPrefix(at, from+"/") {
			delete(r.failed, at)
			r.failed[to+at[len(from):]] = true
		}
	}
	for at, f := range moved {
		r.fresh[at] = f
		r.full = append(r.full, at) // its listing may have been for the old path
	}
}

// stepFresh lets new directories be like all others once they were listed and
// every event up to then has been applied.
func (r *Root) stepFresh() {
	if r.closing || len(r.full) == 0 {
		return
	}
	listed := r.full
	r.full, r.closing = nil, true
	began := r.host.Now()
	r.host.Barrier(func() {
		r.closing = false
		for _, rel := range listed {
			if !r.track.Busy(rel) && !r.failed[rel] {
				delete(r.fresh, rel)
			}
		}
		if len(r.fresh) == 0 {
			r.track.Acknowledged(began)
		}
	})
}
