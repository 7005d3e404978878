package behind

import "slices"

// rename is one that was told: a place, another one, and where what was renamed is
// now; "" is anywhere outside. A place is a name in a directory, and goes where that
// goes.
type rename struct{ from, to, now string }

// renames are those that are kept, and which of them are from a place, and of what is
// at one now: of a file nothing else is below, and there may be many.
type renames struct {
	all       []rename
	from, now map[string][]int // nil: to be made
}

func (r *renames) index() {
	if r.now != nil {
		return
	}
	r.from, r.now = map[string][]int{}, map[string][]int{}
	for i, one := range r.all {
		r.from[one.from] = append(r.from[one.from], i)
		r.now[one.now] = append(r.now[one.now], i)
	}
}

func (r *renames) add(one rename) {
	if r.now != nil {
		r.from[one.from] = append(r.from[one.from], len(r.all))
		r.now[one.now] = append(r.now[one.now], len(r.all))
	}
	r.all = append(r.all, one)
}

// forget forgets the oldest ones.
func (r *renames) forget(n int) {
	r.all, r.from, r.now = slices.Delete(r.all, 0, n), nil, nil
}

// carry has what was renamed be where it is after one more rename, and says what of it
// is back.
func (r *renames) carry(to, from string, dir bool) (back []rename) {
	if dir && from != "" {
		for i := range r.all {
			one := &r.all[i]
			one.from, one.to = carried(one.from, from, to, false), carried(one.to, from, to, false)
			if was := one.now; was != carried(was, from, to, true) {
				if one.now = carried(was, from, to, true); one.now == one.from {
					back = append(back, *one)
				}
			}
		}
		r.from, r.now = nil, nil
		return back
	}
	r.index()
	at := r.now[from]
	if from == "" { // from a place that nobody knows: it may be that
		at = r.from[to]
	}
	for _, i := range slices.Clone(at) {
		one := &r.all[i]
		r.now[one.now] = slices.DeleteFunc(r.now[one.now], func(j int) bool { return j == i })
		one.now = to
		if r.now[to] = append(r.now[to], i); one.now == one.from {
			back = append(back, *one)
		}
	}
	return back
}

// half is the first half of a rename, until the next word of any, or a barrier: both
// come from one event.
type half struct {
	from   string
	cookie uint32
	dir    bool
}

// Left takes down the first half of a rename, and says what is in doubt for those
// before it.
//
// Fanotify makes one event of equal ones that nobody has read yet, at the place of the
// first: of in, out and in again it tells in and out (fanotify_merge in
// fs/notify/fanotify/fanotify.c; seen on Linux 6.18). So where something is again at
// the place that it was renamed from, the same rename may have happened once more.
func (b *Behind) Left(from string, cookie uint32, dir bool) (doubts []string) {
	doubts = b.end()
	b.half = half{from, cookie, dir}
	return doubts
}

// Arrived takes down the second half of a rename, or one from outside, and says what
// is in doubt.
func (b *Behind) Arrived(to string, cookie uint32, dir bool) (doubts []string) {
	if from := b.half.from; from != "" && b.half.cookie == cookie {
		b.half = half{}
		return b.renamed(to, from, dir)
	}
	return append(b.end(), b.renamed(to, "", dir)...)
}

// end: the second half of the last rename does not come: it led outside.
func (b *Behind) end() []string {
	h := b.half
	if h.from == "" {
		return nil
	}
	b.half = half{}
	return b.renamed("", h.from, h.dir)
}

func (b *Behind) renamed(to, from string, dir bool) (doubts []string) {
	for _, one := range b.renames.carry(to, from, dir) {
		doubts = append(doubts, one.from, one.to)
	}
	if len(b.renames.all) == maxSteps {
		b.beyond = true
	} else {
		b.renames.add(rename{from, to, to})
	}
	if b.older || b.beyond {
		return []string{""}
	}
	return slices.DeleteFunc(doubts, func(at string) bool { return at == "" })
}

// carried is where something is after a rename of a directory above it, or (itself) of
// what it is.
func carried(at, from, to string, itself bool) string {
	switch n := len(from); {
	case n == 0 || len(at) < n || at[:n] != from:
		return at
	case len(at) > n && at[n] == '/' && to == "":
		return ""
	case len(at) > n && at[n] == '/', len(at) == n && itself:
		return to + at[n:]
	}
	return at
}
