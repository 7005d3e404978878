package tree

import "strings"

// alloc takes a slot for a new node without parent, name or watch.
func (t *Tree) alloc() int32 {
	slot := t.free
	if slot != nilSlot {
		t.free = t.at(slot).next
	} else {
		if int(t.used) == len(t.chunks)*chunkSize {
			t.chunks = append(t.chunks, make([]node, chunkSize))
		}
		slot = t.used
		t.used++
	}
	n := t.at(slot)
	*n = node{
		parent: nilSlot, first: nilSlot, next: nilSlot, prev: nilSlot,
		hashNext: nilSlot, wdNext: nilSlot, wd: NoWD, gen: n.gen,
	}
	t.count++
	return slot
}

// release gives a slot back; its IDs are stale from now on. Preconditions: it
// is linked nowhere and has no watch.
func (t *Tree) release(slot int32) {
	n := t.at(slot)
	t.names.drop(n.nameLen)
	gen := n.gen + 1
	*n = node{parent: freeSlot, next: t.free, gen: gen, wd: NoWD}
	t.free = slot
	t.count--
}

// ValidName says whether a name can be a node's: 1 to 255 bytes, no slash, no
// NUL, not . or ..
func ValidName(name string) bool {
	return len(name) > 0 && len(name) <= maxName && name != "." && name != ".." &&
		!strings.ContainsAny(name, "/\x00")
}

// link puts a node without parent below one.
func (t *Tree) link(slot, parent int32) {
	n, p := t.at(slot), t.at(parent)
	n.parent, n.prev, n.next = parent, nilSlot, p.first
	if p.first != nilSlot {
		t.at(p.first).prev = slot
	}
	p.first = slot
	t.index(slot)
}

// unlink takes a node from its parent, or off the list of those in limbo: it is
// in one place. (The list is long when many leave at once.)
func (t *Tree) unlink(slot int32) {
	n := t.at(slot)
	if n.parent == nilSlot {
		t.forget(slot)
		return
	}
	t.unindex(slot)
	if n.prev != nilSlot {
		t.at(n.prev).next = n.next
	} else {
		t.at(n.parent).first = n.next
	}
	if n.next != nilSlot {
		t.at(n.next).prev = n.prev
	}
	n.parent, n.prev, n.next = nilSlot, nilSlot, nilSlot
}

func (t *Tree) rename(slot int32, name string) {
	n := t.at(slot)
	if string(t.nameOf(slot)) == name {
		return
	}
	t.names.drop(n.nameLen)
	n.nameLen = 0
	if t.names.wasteful() {
		t.compact()
	}
	n.name = t.names.put([]byte(name))
	n.nameLen = uint8(len(name))
}

// Add makes a node below parent, or returns the one that is there. It returns
// None when the name cannot be one (see ValidName) or parent is stale.
func (t *Tree) Add(parent ID, name string) (id ID, added bool) {
	above := t.slot(parent)
	if above == nilSlot || !ValidName(name) {
		return None, false
	}
	if s := t.child(above, []byte(name)); s != nilSlot {
		return t.id(s), false
	}
	if t.count >= len(t.byName) {
		t.growNames()
	}
	slot := t.alloc()
	t.rename(slot, name)
	t.link(slot, above)
	return t.id(slot), true
}

// Move gives the node, with all below it, a new place; it may come out of
// limbo. It returns false, and changes nothing, when the name is taken, the
// place is below the node itself, or an ID is stale.
func (t *Tree) Move(id, parent ID, name string) bool {
	slot, above := t.slot(id), t.slot(parent)
	if slot == nilSlot || slot == rootSlot || above == nilSlot || !ValidName(name) {
		return false
	}
	if t.Within(parent, id) || t.child(above, []byte(name)) != nilSlot {
		return false
	}
	t.unlink(slot)
	t.rename(slot, name)
	t.link(slot, above)
	return true
}

// Remove ends the node and all below it, calling gone for each with its watch
// descriptor (NoWD without) and mark. The root and a stale ID are left alone.
func (t *Tree) Remove(id ID, gone func(wd int32, mark uint16)) {
	slot := t.slot(id)
	if slot == nilSlot || slot == rootSlot {
		return
	}
	t.unlink(slot)
	// From the bottom up, without recursion: a hostile tree can be deep.
	for {
		leaf := slot
		for t.at(leaf).first != nilSlot {
			leaf = t.at(leaf).first
		}
		n := t.at(leaf)
		wd, mark := n.wd, n.mark
		t.clearWD(leaf)
		if leaf != slot {
			t.unlink(leaf)
		}
		t.release(leaf)
		gone(wd, mark)
		if leaf == slot {
			break
		}
	}
	if t.names.wasteful() {
		t.compact()
	}
}
