// Package links knows the names of files that have several.
//
// rsync keeps hard links only between the paths of one list: names that are
// left out stay as they were on the target, stale and split, with exit code 0.
// So a list must hold all names of such a file, and this index knows them.
//
// Trust: runs in the worker. Names are hostile, and never looked into here
// beyond their slashes.
// Imports: the standard library and the queue's kinds of change.
//
// Invariants: only inodes with several links are kept; a name has one inode;
// moving a directory moves one node. A file may have any number of names (ext4
// allows 65,000, tmpfs has no limit), and all may go one after the other: what
// one name's going takes does not depend on how many others there are.
package links

import (
	"slices"
	"strings"
	"time"
)

// Index is of one root. It is not safe for concurrent use.
type Index struct {
	// Left, if set, is told that rel is about to be no name of ino any more,
	// which has others; of those that go with it at the end of a walk it is told
	// together, under one. A change made through one name, of which the kernel
	// told under that name alone, concerns the others: who has such a change of
	// any of them waiting must queue it for all of them, rel included (Spread).
	Left func(rel string, ino uint64)

	root   node
	walk   uint32 // counts walks
	all    bool   // it is for all targets
	inos   map[uint64]*inode
	names  int
	shared map[string]uint64 // see Share
	full   bool              // shared could not take all

	at    time.Time       // the step that given is of
	given map[share]given // see Spread
}

// inode has what a name has of it that has one other: 16 bytes.
type inode struct {
	// names are in no order, but that the even ones come first: what waits for
	// one of these was given to all of these when it came (Spread).
	names []*node
	even  uint32
	// away is how many links have names outside this root (or in what is
	// excluded), by the last search; 0 before one.
	away uint32
}

// node is a path component: a directory on the way to a name, or a name.
type node struct {
	parent *node
	name   string
	kids   map[string]*node
	ino    uint64 // 0: not a name
	seen   uint32 // the walk in which it was set last
	pos    uint32 // in its inode's names
}

// New makes an empty index.
func New() *Index { return &Index{inos: map[uint64]*inode{}, shared: map[string]uint64{}} }

// Walk begins a walk that shows all names again by Set, for all targets or some. See
// Sweep and Parted.
func (x *Index) Walk(all bool) { x.walk, x.all = x.walk+1, all }

// Sweep ends the walk: names that were not set since it began are gone.
func (x *Index) Sweep() {
	for ino, in := range x.inos {
		var gone []*node
		for _, n := range in.names {
			if n.seen != x.walk {
				gone = append(gone, n)
			}
		}
		in.away = 0
		if len(gone) > 0 {
			x.leaves(gone[0], ino)
		}
		for _, n := range gone {
			x.remove(n)
			prune(n)
		}
	}
	x.given = nil // it may be of many
}

// Share notes that rel, which is no regular file, is one of several names of
// inode ino, and so will be on the targets. Of two links, FIFOs or devices that
// are alike rsync changes no more than the attributes, even where the target
// has one inode for both: names that were split stay one there, until one of
// them has been deleted. A regular file is written anew under its name, which
// splits it. What was shared once is remembered under the path it then had, as
// targets know it, whatever becomes of it here.
func (x *Index) Share(rel string, ino uint64) {
	if _, ok := x.shared[rel]; !ok && len(x.shared) >= maxShared {
		x.full = true
		return
	}
	x.shared[strings.Clone(rel)] = ino
}

// maxShared bounds the memory of names that were shared.
const maxShared = 1 << 16

// Shared says whether a target may have rel as one of several names of an inode.
func (x *Index) Shared(rel string) bool {
	_, ok := x.shared[rel]
	return ok || x.full
}

// Parted says whether a target may have rel, which is a name of inode ino, as one of
// another inode, as far as that is remembered: if it is made anew on all targets, it
// is not said again.
func (x *Index) Parted(rel string, ino uint64) bool {
	was, ok := x.shared[rel]
	if ok = ok && was != ino; ok && x.all {
		x.shared[rel] = ino
	}
	return ok
}

// Set notes that rel is a name of inode ino, which has nlink links. With fewer
// than two it is Forget. An inode 0 is no inode.
func (x *Index) Set(rel string, ino uint64, nlink uint32) {
	if nlink < 2 || ino == 0 || rel == "" {
		x.Forget(rel)
		return
	}
	n := x.find(rel, true)
	n.seen = x.walk
	if n.ino == ino {
		return
	}
	x.unname(n)
	in := x.inos[ino]
	if in == nil {
		in = &inode{}
		x.inos[ino] = in
	}
	n.ino, n.pos = ino, uint32(len(in.names))
	in.names = append(in.names, n)
	x.names++
}

// Forget drops one name, and nothing below it.
func (x *Index) Forget(rel string) {
	if n := x.find(rel, false); n != nil {
		x.unname(n)
		prune(n)
	}
}

// ForgetTree drops a name and all below it; "" drops all.
func (x *Index) ForgetTree(rel string) {
	n := x.find(rel, false)
	if n == nil {
		return
	}
	x.drop(n)
	n.kids = nil
	prune(n)
}

// MoveTree gives what was known as old, and below it, the name to. What was
// known there is dropped.
func (x *Index) MoveTree(old, to string) {
	if old == to || old == "" || to == "" || strings.HasPrefix(to, old+"/") {
		return // no rename(2) does this
	}
	x.ForgetTree(to)
	n := x.find(old, false)
	if n == nil {
		return
	}
	delete(n.parent.kids, n.name)
	prune(n.parent)
	dir, name := "", to
	if i := strings.LastIndexByte(to, '/'); i >= 0 {
		dir, name = to[:i], to[i+1:]
	}
	n.parent, n.name = x.find(dir, true), strings.Clone(name)
	n.parent.add(n)
}

// Names lists the known names of an inode, sorted.
func (x *Index) Names(ino uint64) []string {
	in := x.inos[ino]
	if in == nil {
		return nil
	}
	return paths(in.names)
}

// paths of nodes, sorted.
func paths(nodes []*node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.path()
	}
	slices.Sort(names)
	return names
}

// Each calls f with the known names of every inode that has several.
func (x *Index) Each(f func(names []string)) {
	for ino, in := range x.inos {
		if len(in.names) > 1 {
			f(x.Names(ino))
		}
	}
}

// Ino is the inode rel is known to name; 0 when it is not known.
func (x *Index) Ino(rel string) uint64 {
	if n := x.find(rel, false); n != nil {
		return n.ino
	}
	return 0
}

// Complete says whether Names knows all names below this root of an inode with
// nlink links: as many as it has links, or all but those a search did not find.
func (x *Index) Complete(ino uint64, nlink uint32) bool {
	in := x.inos[ino]
	if in == nil {
		return nlink < 2
	}
	return int64(nlink)-int64(len(in.names)) <= int64(in.away)
}

// Searched notes that the whole root has been listed and Set was called for
// every name found: what nlink counts beyond them is not below this root.
func (x *Index) Searched(ino uint64, nlink uint32) {
	in := x.inos[ino]
	if in == nil {
		return // every name has gone: nothing to complete
	}
	in.away = uint32(max(0, int64(nlink)-int64(len(in.names))))
}

// Len counts the names.
func (x *Index) Len() int { return x.names }

// find walks to rel's node; with create it makes what is missing.
func (x *Index) find(rel string, create bool) *node {
	n := &x.root
	for rel != "" {
		name, rest, _ := strings.Cut(rel, "/")
		kid := n.kids[name]
		if kid == nil {
			if !create {
				return nil
			}
			// A copy: else the node would keep the whole path alive.
			kid = &node{parent: n, name: strings.Clone(name)}
			n.add(kid)
		}
		n, rel = kid, rest
	}
	return n
}

func (n *node) add(kid *node) {
	if n.kids == nil {
		n.kids = map[string]*node{}
	}
	n.kids[kid.name] = kid
}

// unname takes a node's inode away, and tells before if that has other names.
func (x *Index) unname(n *node) {
	x.leaves(n, n.ino)
	x.remove(n)
}

func (x *Index) leaves(n *node, ino uint64) {
	if in := x.inos[ino]; in != nil && len(in.names) > 1 && x.Left != nil {
		x.Left(n.path(), ino)
	}
}

// remove takes a node's inode away.
func (x *Index) remove(n *node) {
	in := x.inos[n.ino]
	if in == nil {
		return
	}
	in.odd(n)
	last := len(in.names) - 1
	in.swap(n.pos, uint32(last))
	in.names[last] = nil
	if in.names = in.names[:last]; last == 0 {
		delete(x.inos, n.ino)
	}
	n.ino = 0
	x.names--
}

func (x *Index) drop(n *node) {
	x.unname(n)
	for _, kid := range n.kids {
		x.drop(kid)
	}
}

// prune removes a node that leads to no name, and its parents that led to it
// alone.
func prune(n *node) {
	for n.parent != nil && n.ino == 0 && len(n.kids) == 0 {
		delete(n.parent.kids, n.name)
		n = n.parent
	}
	if len(n.kids) == 0 {
		n.kids = nil
	}
}

func (n *node) path() string {
	var parts []string
	for ; n.parent != nil; n = n.parent {
		parts = append(parts, n.name)
	}
	slices.Reverse(parts)
	return strings.Join(parts, "/")
}
