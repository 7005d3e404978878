// Package tree mirrors the directories of one watched root: a node has a
// parent, a bare name and a watch descriptor, so that a rename moves one node.
//
// Trust: part of the worker. Names are chosen by whoever can write in the root.
// Imports: the standard library only. Pure: time is an argument.
//
// Invariants: a watch descriptor belongs to one node at most; a name is used
// once below a parent; every node is reached from the root or from one detached
// node ("in limbo": moved away, its new place not known yet); an ID that
// outlived its node is recognised and finds nothing. Not safe for concurrent
// use.
//
// A node costs 44 bytes, its name, and two hash buckets of 4 bytes each at a
// load of one half to one: there is no map and no pointer per directory.
package tree

import (
	"hash/maphash"
	"slices"
)

// ID names a node: its slot, and the slot's generation. None is no node.
type ID uint64

// None is the ID of no node.
const None ID = 0

// NoWD is the watch descriptor of a directory that is not watched.
const NoWD int32 = -1

// Slots are int32; these are none.
const (
	nilSlot  int32 = -1
	freeSlot int32 = -2 // as a parent: the slot is free
	rootSlot int32 = 0
)

const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
	nodeBytes = 44 // size of node; a test asserts it
)

// node is one directory. Siblings are a doubly linked list; hashNext and
// wdNext chain the nodes of one bucket.
type node struct {
	parent, first, next, prev int32
	hashNext, wdNext          int32
	wd                        int32
	gen                       uint32
	stamp                     uint32
	name                      uint32 // where in the arena
	nameLen                   uint8
	mark                      uint16
}

// Tree is the mirror of one root. The zero value is not usable: see New.
type Tree struct {
	chunks  [][]node
	used    int32 // slots ever used
	free    int32 // head of the free list, linked by next
	count   int
	watched int
	names   arena
	byName  []int32
	byWD    []int32
	seed    maphash.Seed
	limbo   []limbo
	buf     []byte

	given    [lateHalves]given // what Expire removed last; see again
	givenUp  int               // how many that were
	returned int
}

// New returns a tree of the root alone, which has no watch yet.
func New() *Tree {
	t := &Tree{free: nilSlot, seed: maphash.MakeSeed()}
	t.byName = newBuckets(16)
	t.byWD = newBuckets(16)
	t.alloc()
	return t
}

// Root is the root's ID. The root is never removed, moved or detached.
func (t *Tree) Root() ID { return t.id(rootSlot) }

// Len counts the nodes: the root, and those in limbo too.
func (t *Tree) Len() int { return t.count }

// Watched counts the nodes that have a watch descriptor.
func (t *Tree) Watched() int { return t.watched }

// Bytes is the memory that the tree holds.
func (t *Tree) Bytes() int {
	const limboBytes = 32
	return len(t.chunks)*chunkSize*nodeBytes + t.names.bytes() +
		4*(len(t.byName)+len(t.byWD)) + limboBytes*cap(t.limbo)
}

// at is the node in a slot.
func (t *Tree) at(slot int32) *node {
	return &t.chunks[slot>>chunkBits][slot&(chunkSize-1)]
}

// id is a slot's ID as long as its present node lives.
func (t *Tree) id(slot int32) ID {
	if slot < 0 {
		return None
	}
	return ID(uint64(t.at(slot).gen)<<32 | uint64(uint32(slot)+1))
}

// slot is the place of a living node, nilSlot when the ID outlived it.
func (t *Tree) slot(id ID) int32 {
	low := uint32(id)
	if low == 0 || low > uint32(t.used) {
		return nilSlot
	}
	slot := int32(low - 1)
	n := t.at(slot)
	if n.gen != uint32(id>>32) || n.parent == freeSlot {
		return nilSlot
	}
	return slot
}

// Valid says whether the node still lives (attached or in limbo).
func (t *Tree) Valid(id ID) bool { return t.slot(id) != nilSlot }

// Path is the node's path below the root, "" for the root itself, and whether
// the node is attached: false (and "") in limbo or when the ID is stale.
func (t *Tree) Path(id ID) (rel string, attached bool) {
	t.buf, attached = t.AppendPath(t.buf[:0], id)
	return string(t.buf), attached
}

// AppendPath appends what Path is to dst.
func (t *Tree) AppendPath(dst []byte, id ID) (path []byte, attached bool) {
	size := 0
	slot := t.slot(id)
	for s := slot; s != rootSlot; s = t.at(s).parent {
		if s == nilSlot {
			return dst, false
		}
		size += int(t.at(s).nameLen) + 1
	}
	if size == 0 {
		return dst, true
	}
	size-- // no slash before the first name
	end := len(dst) + size
	dst = slices.Grow(dst, size)[:end]
	for s := slot; s != rootSlot; s = t.at(s).parent {
		name := t.nameOf(s)
		end -= len(name)
		copy(dst[end:], name)
		if t.at(s).parent != rootSlot {
			end--
			dst[end] = '/'
		}
	}
	return dst, true
}

// Name is the node's bare name, "" for the root and for a stale ID.
func (t *Tree) Name(id ID) string {
	if slot := t.slot(id); slot != nilSlot {
		return string(t.nameOf(slot))
	}
	return ""
}

// Parent is the node above, None for the root, in limbo, and for a stale ID.
func (t *Tree) Parent(id ID) ID {
	if slot := t.slot(id); slot != nilSlot {
		return t.id(t.at(slot).parent)
	}
	return None
}

// Attached says whether the root is above the node (or is it).
func (t *Tree) Attached(id ID) bool {
	slot := t.slot(id)
	for slot != nilSlot && slot != rootSlot {
		slot = t.at(slot).parent
	}
	return slot == rootSlot
}

// Within says whether id is top or is somewhere below it.
func (t *Tree) Within(id, top ID) bool {
	above := t.slot(top)
	if above == nilSlot {
		return false
	}
	slot := t.slot(id)
	for slot != nilSlot && slot != above {
		slot = t.at(slot).parent
	}
	return slot == above
}

// Children appends the nodes directly below id to dst, in no order.
func (t *Tree) Children(dst []ID, id ID) []ID {
	slot := t.slot(id)
	if slot == nilSlot {
		return dst
	}
	for s := t.at(slot).first; s != nilSlot; s = t.at(s).next {
		dst = append(dst, t.id(s))
	}
	return dst
}

// Walk calls visit for id and each node below it, parents first. The tree must
// not be changed meanwhile.
func (t *Tree) Walk(id ID, visit func(ID)) {
	top := t.slot(id)
	for s := top; s != nilSlot; s = t.following(s, top) {
		visit(t.id(s))
	}
}

// Paths lists every directory as it is now whose path has at most so many bytes.
func (t *Tree) Paths(most int) []string {
	out := make([]string, 0, t.Len())
	t.Walk(t.Root(), func(id ID) {
		if rel, ok := t.Path(id); ok && len(rel) <= most {
			out = append(out, rel)
		}
	})
	return out
}

// Marked lists the nodes below the root, and itself, that have one of the marks, which
// so many have at most.
func (t *Tree) Marked(marks uint16, most uint64) (ids []ID) {
	for s := int32(rootSlot); s != nilSlot && uint64(len(ids)) < most; s = t.following(s, rootSlot) {
		if t.at(s).mark&marks != 0 {
			ids = append(ids, t.id(s))
		}
	}
	return ids
}

// following is the node after s in the walk of top: its first child, else the
// next sibling of it or of the nearest ancestor that has one.
func (t *Tree) following(s, top int32) int32 {
	if first := t.at(s).first; first != nilSlot {
		return first
	}
	for s != top {
		if next := t.at(s).next; next != nilSlot {
			return next
		}
		s = t.at(s).parent
	}
	return nilSlot
}

// Mark is the 16 bits that the tree's owner keeps with a node, 0 at first.
func (t *Tree) Mark(id ID) uint16 {
	if slot := t.slot(id); slot != nilSlot {
		return t.at(slot).mark
	}
	return 0
}

// SetMark changes the node's bits.
func (t *Tree) SetMark(id ID, mark uint16) {
	if slot := t.slot(id); slot != nilSlot {
		t.at(slot).mark = mark
	}
}

// SetStamp notes when (by the owner's count of changes) the node's place last
// changed hands. A new node has stamp 0.
func (t *Tree) SetStamp(id ID, stamp uint32) {
	if slot := t.slot(id); slot != nilSlot {
		t.at(slot).stamp = stamp
	}
}

// Stamp is what SetStamp noted last, 0 for a stale ID.
func (t *Tree) Stamp(id ID) uint32 {
	if slot := t.slot(id); slot != nilSlot {
		return t.at(slot).stamp
	}
	return 0
}

// ResetStamps sets every stamp to 0.
func (t *Tree) ResetStamps() {
	for s := range t.used {
		t.at(s).stamp = 0
	}
}

// Settled says whether the node is attached and neither it nor a node above it
// has a later stamp: the path it had then still leads to it.
func (t *Tree) Settled(id ID, stamp uint32) bool {
	slot := t.slot(id)
	for slot != nilSlot {
		n := t.at(slot)
		if n.stamp > stamp {
			return false
		}
		if slot == rootSlot {
			return true
		}
		slot = n.parent
	}
	return false
}
