package queue

import (
	"cmp"
	"slices"
	"strings"
)

// subtrees are what a collapsed queue remembers: paths at or below which
// content may differ. There are at most maxSubtrees; of more, the deepest make
// room for the directories that hold them, down to the root. The zero value is
// empty.
//
// None is below another one, and they are in the order of their names (inOrder),
// in which what is below a path follows it at once: so a path is covered by the
// last one that is not after it, or by none. Whatever is done here costs a small
// multiple of the paths' bytes: who writes in the tree chooses how deep they are.
type subtrees []string

// maxSubtrees keeps the rules that choose them short; half of it is left when
// the deepest have made room.
const maxSubtrees = 1000

// covers says whether the path, or a directory above it, is among them.
func (s subtrees) covers(rel string) bool {
	_, in := s.find(rel)
	return in
}

// find is where a path belongs, and whether it is covered.
func (s subtrees) find(rel string) (at int, covered bool) {
	at, same := slices.BinarySearchFunc(s, rel, inOrder)
	return at, same || at > 0 && within(rel, s[at-1])
}

// with adds a path.
func (s subtrees) with(rel string) subtrees {
	at, covered := s.find(rel)
	if covered {
		return s
	}
	end := at
	for end < len(s) && within(s[end], rel) {
		end++
	}
	s = slices.Replace(s, at, end, rel)
	if len(s) > maxSubtrees {
		return s.coarser()
	}
	return s
}

// union adds all of another set.
func (s subtrees) union(other subtrees) subtrees {
	for _, rel := range other {
		s = s.with(rel)
	}
	return s
}

// coarser cuts all paths at the greatest depth at which few enough are left. Cut
// at some depth, a path is another one than that before it if they part above.
func (s subtrees) coarser() subtrees {
	var part []int // how many part from the one before after so many names
	for i := range s[1:] {
		n := strings.Count(s[i][:shared(s[i], s[i+1])], "/")
		for len(part) <= n {
			part = append(part, 0)
		}
		part[n]++
	}
	d, left := 0, 1
	for d < len(part) && left+part[d] <= maxSubtrees/2 {
		left += part[d]
		d++
	}
	if d == 0 {
		return subtrees{""}
	}
	out := make(subtrees, 0, left)
	for _, rel := range s {
		if top := first(rel, d); len(out) == 0 || out[len(out)-1] != top {
			out = append(out, strings.Clone(top)) // the long one is to be forgotten
		}
	}
	return out
}

// list is the paths in order.
func (s subtrees) list() []string { return slices.Clone(s) }

// inOrder compares paths name by name.
func inOrder(a, b string) int {
	n := shared(a, b)
	switch {
	case n == len(a) || n == len(b):
		return cmp.Compare(len(a), len(b))
	case a[n] == '/':
		return -1
	case b[n] == '/':
		return 1
	}
	return cmp.Compare(a[n], b[n])
}

// shared is how many bytes two paths begin with alike.
func shared(a, b string) (n int) {
	const step = 64 // compared at once
	least := min(len(a), len(b))
	for n+step <= least && a[n:n+step] == b[n:n+step] {
		n += step
	}
	for n < least && a[n] == b[n] {
		n++
	}
	return n
}

// within says whether a path is below another one; all are below "".
func within(rel, dir string) bool {
	return dir == "" || len(rel) > len(dir) && rel[len(dir)] == '/' && rel[:len(dir)] == dir
}

// first is the first n names of a path, all of it if there are fewer.
func first(rel string, n int) string {
	for i := range len(rel) {
		if rel[i] == '/' {
			if n--; n == 0 {
				return rel[:i]
			}
		}
	}
	return rel
}
