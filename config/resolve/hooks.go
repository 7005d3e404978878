package resolve

import (
	"lockstep/config"
	"lockstep/rootid"
)

// hooks looks at the programs that are called when a sync ends, as at a handler, in
// whose jail they are.
func (r *resolver) hooks(s *config.Sync) {
	if !s.Hooked() {
		return
	}
	trees := r.local(s)
	if !s.Handled() { // else it was told already
		r.allApart(trees)
	}
	for _, key := range []string{"hooks.pre_exit", "hooks.exit"} {
		path := s.Hooks()[key]
		if *path == "" {
			continue
		}
		written := *path
		if *path = r.program(key, written, "name a program that is there"); *path == "" {
			*path = written
			continue
		}
		r.outside(key, r.say(key)+" "+show(*path), *path, trees)
	}
}

// inTree is a directory of a sync on this host.
type inTree struct{ key, what, path string }

func (r *resolver) local(s *config.Sync) []inTree {
	trees := []inTree{{"source", "source", s.Source}}
	for _, t := range s.Targets {
		if t.Kind == config.Local {
			trees = append(trees, inTree{"targets", "target", t.Path})
		}
	}
	return trees
}

// allApart refuses trees that the jail of a program cannot show beside its own.
func (r *resolver) allApart(trees []inTree) {
	for _, tree := range trees {
		if tree.path != "" {
			r.apart(tree.key, tree.what+" "+show(tree.path), tree.path)
		}
	}
}

// outside refuses a program that is in a tree.
func (r *resolver) outside(key, thing, path string, trees []inTree) {
	for _, tree := range trees {
		if tree.path != "" && r.mounts.Overlap(path, tree.path) != rootid.Apart {
			r.add(key, problem(thing, "is inside the "+tree.what+" "+show(tree.path), "keep it outside, where nothing is copied from or to"))
		}
	}
}
