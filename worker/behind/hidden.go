package behind

import "slices"

// rename is one that was told: a place, another one, and where what was renamed is
// now; "" is anywhere outside. A place is a name in a directory, and goes where that
// goes.
type rename struct{ from, to, now string }

// half is the first half of a rename, until the next word of any, or a barrier: both
// come from one event.
type half struct {
	from   string
	cookie uint32
}

// Left takes down the first half of a rename, and says what is in doubt for those
// before it.
//
// Fanotify makes one event of equal ones that nobody has read yet, at the place of the
// first: of in, out and in again it tells in and out (fanotify_merge in
// fs/notify/fanotify/fanotify.c; seen on Linux 6.18). So where something is again at
// the place that it was renamed from, the same rename may have happened once more.
func (b *Behind) Left(from string, cookie uint32) (doubts []string) {
	doubts = b.end()
	b.half = half{from, cookie}
	return doubts
}

// Arrived takes down the second half of a rename, or one from outside, and says what
// is in doubt.
func (b *Behind) Arrived(to string, cookie uint32) (doubts []string) {
	if from := b.half.from; from != "" && b.half.cookie == cookie {
		b.half = half{}
		return b.renamed(to, from)
	}
	return append(b.end(), b.renamed(to, "")...)
}

// end: the second half of the last rename does not come: it led outside.
func (b *Behind) end() []string {
	from := b.half.from
	if from == "" {
		return nil
	}
	b.half = half{}
	return b.renamed("", from)
}

func (b *Behind) renamed(to, from string) (doubts []string) {
	for i := range b.renames {
		r := &b.renames[i]
		r.from, r.to = carried(r.from, from, to, false), carried(r.to, from, to, false)
		was := r.now
		if r.now = carried(r.now, from, to, true); from == "" && r.from == to {
			r.now, was = to, "" // from a place that nobody knows: it may be that
		}
		if r.now == r.from && was != r.now {
			doubts = append(doubts, r.from, r.to)
		}
	}
	if len(b.renames) == maxSteps {
		b.beyond = true
	} else {
		b.renames = append(b.renames, rename{from, to, to})
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
