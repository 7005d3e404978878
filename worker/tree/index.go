package tree

import (
	"hash/maphash"
	"strings"
)

// The two indexes are hash tables whose chains run through the nodes: the hash
// of names is seeded, because whoever writes in the root chooses the names.

func newBuckets(n int) []int32 {
	b := make([]int32, n)
	for i := range b {
		b[i] = nilSlot
	}
	return b
}

// mix spreads a small number over 32 bits (Fibonacci hashing).
func mix(n int32) uint32 { return uint32(uint64(uint32(n)) * 0x9e3779b97f4a7c15 >> 32) }

func (t *Tree) nameBucket(parent int32, name []byte) *int32 {
	h := uint32(maphash.Bytes(t.seed, name)) ^ mix(parent)
	return &t.byName[h&uint32(len(t.byName)-1)]
}

func (t *Tree) wdBucket(wd int32) *int32 {
	return &t.byWD[mix(wd)&uint32(len(t.byWD)-1)]
}

// nameOf is a node's name, nil as long as it has none (and the root's).
func (t *Tree) nameOf(slot int32) []byte {
	n := t.at(slot)
	if n.nameLen == 0 {
		return nil
	}
	return t.names.at(n.name, n.nameLen)
}

// Child is the node of that name below parent, or None.
func (t *Tree) Child(parent ID, name string) ID {
	slot := t.slot(parent)
	if slot == nilSlot || len(name) > maxName {
		return None
	}
	var buf [maxName]byte
	return t.id(t.child(slot, buf[:copy(buf[:], name)]))
}

// Find is the attached node at a path, or None.
func (t *Tree) Find(rel string) ID {
	at := t.Root()
	for name := range strings.SplitSeq(rel, "/") {
		if rel != "" {
			at = t.Child(at, name)
		}
	}
	return at
}

// Has says whether a directory is known at a path.
func (t *Tree) Has(rel string) bool { return t.Find(rel) != None }

func (t *Tree) child(parent int32, name []byte) int32 {
	for s := *t.nameBucket(parent, name); s != nilSlot; s = t.at(s).hashNext {
		if t.at(s).parent == parent && string(t.nameOf(s)) == string(name) {
			return s
		}
	}
	return nilSlot
}

// ByWD is the node that has the watch descriptor, or None.
func (t *Tree) ByWD(wd int32) ID { return t.id(t.findWD(wd)) }

func (t *Tree) findWD(wd int32) int32 {
	if wd < 0 {
		return nilSlot
	}
	for s := *t.wdBucket(wd); s != nilSlot; s = t.at(s).wdNext {
		if t.at(s).wd == wd {
			return s
		}
	}
	return nilSlot
}

// WD is the node's watch descriptor, NoWD without.
func (t *Tree) WD(id ID) int32 {
	if slot := t.slot(id); slot != nilSlot {
		return t.at(slot).wd
	}
	return NoWD
}

// SetWD gives the node a watch descriptor (NoWD takes it away) and returns the
// node that had it before, None when there was no other.
func (t *Tree) SetWD(id ID, wd int32) (before ID) {
	slot := t.slot(id)
	if slot == nilSlot || t.at(slot).wd == wd {
		return None
	}
	t.clearWD(slot)
	if wd < 0 {
		return None
	}
	if other := t.findWD(wd); other != nilSlot {
		t.clearWD(other)
		before = t.id(other)
	}
	if before == None {
		t.again(func(g given) bool { return g.wd == wd })
	}
	if t.watched >= len(t.byWD) {
		t.growWD()
	}
	bucket := t.wdBucket(wd)
	n := t.at(slot)
	n.wd, n.wdNext = wd, *bucket
	*bucket = slot
	t.watched++
	return before
}

func (t *Tree) clearWD(slot int32) {
	n := t.at(slot)
	if n.wd < 0 {
		return
	}
	link := t.wdBucket(n.wd)
	for *link != slot {
		link = &t.at(*link).wdNext
	}
	*link = n.wdNext
	n.wd, n.wdNext = NoWD, nilSlot
	t.watched--
}

func (t *Tree) growWD() {
	t.byWD = newBuckets(2 * len(t.byWD))
	for s := range t.used {
		if n := t.at(s); n.parent != freeSlot && n.wd >= 0 {
			bucket := t.wdBucket(n.wd)
			n.wdNext = *bucket
			*bucket = s
		}
	}
}

func (t *Tree) growNames() {
	t.byName = newBuckets(2 * len(t.byName))
	for s := range t.used {
		if t.at(s).parent >= 0 {
			t.index(s)
		}
	}
}

// index enters an attached child into the table of names.
func (t *Tree) index(slot int32) {
	n := t.at(slot)
	bucket := t.nameBucket(n.parent, t.nameOf(slot))
	n.hashNext = *bucket
	*bucket = slot
}

// unindex takes it out again. Preconditions: parent and name are still set.
func (t *Tree) unindex(slot int32) {
	n := t.at(slot)
	link := t.nameBucket(n.parent, t.nameOf(slot))
	for *link != slot {
		link = &t.at(*link).hashNext
	}
	*link = n.hashNext
	n.hashNext = nilSlot
}
