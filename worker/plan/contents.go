package plan

import (
	"slices"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/worker/links"
)

// Contents is the stdin of the JobContent that compares, after a whole pass with
// the given rules, what is at the paths and below them. All names of a file are
// compared if one is: else rsync would split them. If the choice cannot be said
// in rules, the whole tree is compared.
func Contents(pass []byte, paths []string, idx *links.Index) []byte {
	if slices.Contains(paths, "") {
		return pass
	}
	chosen := make(map[string]bool, len(paths))
	for _, rel := range paths {
		chosen[rel] = true
	}
	covered := func(rel string) bool {
		return chosen[rel] || slices.ContainsFunc(above(rel), func(dir string) bool { return chosen[dir] })
	}
	paths = slices.Clone(paths)
	idx.Each(func(names []string) {
		if !slices.ContainsFunc(names, covered) {
			return
		}
		for _, name := range names {
			if !covered(name) {
				paths = append(paths, name)
			}
		}
	})
	set := &ruleSet{seen: map[string]bool{}}
	for _, rel := range paths {
		for _, dir := range above(rel) {
			set.include(rsync.Rule(rsync.Include, dir, rsync.Directory))
		}
		set.include(rsync.Rule(rsync.Include, rel, rsync.Itself))
		set.include(rsync.Rule(rsync.Include, rel, rsync.ItselfBelow))
		if len(pass)+set.size+len(rest) > ipc.MaxList {
			return pass
		}
	}
	if set.seen[""] { // a rule that is too long
		return pass
	}
	out := slices.Clone(pass)
	for _, rule := range set.includes {
		out = append(append(out, rule...), 0)
	}
	return append(out, rest...)
}
