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
type subtrees map[string]struct{}

// maxSubtrees keeps the rules that choose them short; half of it is left when
// the deepest have made room.
const maxSubtrees = 1000

// covers says whether the path, or a directory above it, is among them.
func (s subtrees) covers(rel string) bool {
	if len(s) == 0 {
		return false
	}
	for {
		if _, in := s[rel]; in || rel == "" {
			return in
		}
		rel = parent(rel)
	}
}

// with adds a path.
func (s subtrees) with(rel string) subtrees {
	if s.covers(rel) {
		return s
	}
	if s == nil {
		s = subtrees{}
	}
	s[rel] = struct{}{}
	if len(s) > maxSubtrees {
		return s.coarser()
	}
	return s
}

// union adds all of another set.
func (s subtrees) union(other subtrees) subtrees {
	for rel := range other {
		s = s.with(rel)
	}
	return s
}

// coarser cuts all paths at the greatest depth at which few enough are left.
func (s subtrees) coarser() subtrees {
	deepest := 0
	for rel := range s {
		deepest = max(deepest, depth(rel))
	}
	for d := deepest - 1; d > 0; d-- {
		if cut := s.cut(d); len(cut) <= maxSubtrees/2 {
			return cut
		}
	}
	return subtrees{"": {}}
}

// cut replaces paths deeper than d by the directories at depth d above them.
func (s subtrees) cut(d int) subtrees {
	out := subtrees{}
	for rel := range s {
		for depth(rel) > d {
			rel = parent(rel)
		}
		out[strings.Clone(rel)] = struct{}{}
	}
	for rel := range out {
		if out.covers(parent(rel)) && rel != "" {
			delete(out, rel)
		}
	}
	return out
}

// depth is how many names rel has; the root has none.
func depth(rel string) int {
	if rel == "" {
		return 0
	}
	return strings.Count(rel, "/") + 1
}

// list is the paths in order.
func (s subtrees) list() []string {
	out := make([]string, 0, len(s))
	for rel := range s {
		out = append(out, rel)
	}
	slices.SortFunc(out, cmp.Compare)
	return out
}
