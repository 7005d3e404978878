package dnotify

import (
	"iter"
	"time"
)

// id is a directory for as long as its inode is pinned by a descriptor. With the
// mount, since what is mounted twice below a root has two paths.
type id struct{ dev, ino, mount uint64 }

// place is a root as the worker knows it.
type place struct {
	number uint32
	cross  bool // what is mounted below belongs to it
	top    *node
	byID   map[id]*node
	// overflow: a record that says so waits in the queue of reports.
	overflow bool
}

// node is a watched directory.
type node struct {
	of     *place
	parent *node // nil: the root itself, or an orphan
	name   string
	kids   map[string]*node
	id     id
	hint   uint64 // its number in the listing of its parent, which need not be id.ino
	fd     int
	seen   uint32 // the last listing of its parent that held it
	left   uint32 // the last listing of its parent that did not
	times  times  // of the listing that its kids are

	changed bool // signalled, and not yet put into the queue of reports
	dirty   bool // to be listed
	queued  bool // in the queue of reports
	certain bool // equal times prove that the listing is still true
	closed  bool
}

// tree are the watched directories of all roots.
type tree struct {
	byFD    []*node // indexed by descriptor: small numbers without holes
	count   int
	orphans []orphan // directories that are gone from their place, oldest first
}

// orphan is a directory that its parent's listing no longer holds.
type orphan struct {
	node  *node
	until time.Time // when it is given up
}

// at is the node of a descriptor, nil when it is none of ours (any more).
func (t *tree) at(fd int) *node {
	if fd < 0 || fd >= len(t.byFD) {
		return nil
	}
	return t.byFD[fd]
}

// add takes a directory that is open and watched. It has no place yet.
func (t *tree) add(n *node) {
	for len(t.byFD) <= n.fd {
		t.byFD = append(t.byFD, nil)
	}
	t.byFD[n.fd] = n
	n.of.byID[n.id] = n
	t.count++
}

// remove forgets a node; its descriptor is the caller's to close.
func (t *tree) remove(n *node) {
	n.closed = true
	t.byFD[n.fd] = nil
	delete(n.of.byID, n.id)
	t.count--
}

// attach puts n, which has no place, into p; what had that name has moved.
func (t *tree) attach(n, p *node, name string, until time.Time) {
	if before := p.kids[name]; before != nil {
		t.orphan(before, until)
	}
	n.parent, n.name = p, name
	if p.kids == nil {
		p.kids = map[string]*node{}
	}
	p.kids[name] = n
}

// detach takes n out of its parent.
func (t *tree) detach(n *node) {
	delete(n.parent.kids, n.name)
	if len(n.parent.kids) == 0 {
		n.parent.kids = nil
	}
	n.parent = nil
}

// orphan takes n out of its place until another one is found, or time is up.
func (t *tree) orphan(n *node, until time.Time) {
	t.detach(n)
	t.orphans = append(t.orphans, orphan{n, until})
}

// move puts n where a listing of p has found it. What the tree knows may be
// older than that: p can still be below n in it. Then some directory between
// them has moved as well, which one nobody knows: the topmost is taken for it,
// and doubt says that n may still hold it.
func (t *tree) move(n, p *node, name string, until time.Time) (doubt bool) {
	for up := p; up != nil; up = up.parent {
		if up.parent == n {
			t.orphan(up, until)
			doubt = true
			break
		}
	}
	if n.parent != nil {
		t.detach(n)
	}
	t.attach(n, p, name, until)
	return doubt
}

// overdue takes the next orphan out of the list whose time is up at now, nil
// when there is none. Those that have found a place are passed over.
func (t *tree) overdue(now time.Time) *node {
	for len(t.orphans) > 0 {
		o := t.orphans[0]
		lost := o.node.parent == nil && !o.node.closed
		if lost && now.Before(o.until) {
			return nil
		}
		t.orphans = t.orphans[1:]
		if lost {
			return o.node
		}
	}
	t.orphans = nil
	return nil
}

// below are n and all directories below it, each before its kids. The loop may
// remove what it is given.
func below(n *node) iter.Seq[*node] {
	return func(yield func(*node) bool) {
		for rest := []*node{n}; len(rest) > 0; {
			n := rest[len(rest)-1]
			rest = rest[:len(rest)-1]
			for _, kid := range n.kids {
				rest = append(rest, kid)
			}
			if !yield(n) {
				return
			}
		}
	}
}

// appendPath adds n's path below its root to dst. It has none when it or a
// directory above it is an orphan.
func (n *node) appendPath(dst []byte) ([]byte, bool) {
	size, up := 0, n
	for ; up.parent != nil; up = up.parent {
		size += len(up.name) + 1
	}
	if up != up.of.top {
		return dst, false
	}
	if size == 0 {
		return dst, true
	}
	start := len(dst)
	dst = append(dst, make([]byte, size-1)...)
	for end := len(dst); ; n = n.parent {
		end -= len(n.name)
		copy(dst[end:], n.name)
		if end == start {
			return dst, true
		}
		end--
		dst[end] = '/'
	}
}

// lost says whether n has no place in its root at present.
func (n *node) lost() bool {
	for n.parent != nil {
		n = n.parent
	}
	return n != n.of.top
}
