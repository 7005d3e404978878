package resolve

import (
	"os"

	"lockstep/config"
	"lockstep/rootid"
)

// beside looks at the files and directories of the host that the jail of a handler
// shows beside its trees, and takes the links out of their paths: each apart from the
// others, from the trees, and from what the jail has of its own.
func (r *resolver) beside(s *config.Sync) {
	var all []string
	for _, list := range []struct {
		key   string
		paths *[]string
	}{{"handler_reads", &s.Reads}, {"handler_writes", &s.Writes}} {
		var out []string
		for _, path := range *list.paths {
			real, why, advice := r.shown(s, list.key, path)
			for _, other := range all {
				if why == "" && r.mounts.Overlap(real, other) != rootid.Apart {
					why, advice = "has to do with "+show(other)+", which is named as well", "name one of them"
				}
			}
			if why != "" {
				r.add(list.key, problem(r.say(list.key)+" "+show(path), why, advice))
				out = append(out, path)
				continue
			}
			all, out = append(all, real), append(out, real)
		}
		*list.paths = out
	}
}

// shown is the real path of one, and why it cannot be shown, if it cannot.
func (r *resolver) shown(s *config.Sync, key, path string) (real, why, advice string) {
	writes := key == "handler_writes"
	real, err := realPath(path)
	if err != nil {
		return path, words(err), "make it, or name another"
	}
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return real, words(err), "name another"
	case forbidden(real) != "":
		return real, "cannot be shown in a jail: it is the root directory, or the kernel's", "name what the handler needs of it"
	case !info.IsDir() && !info.Mode().IsRegular():
		return real, "is neither a directory nor a regular file", "name one"
	}
	if info.IsDir() {
		if id, err := rootid.Read(real); err != nil || id.Kernel() {
			return real, "shows the kernel's own state, or cannot be looked at", "name a directory of files"
		}
	}
	for _, tree := range r.trees(*s) {
		if tree.key != "handler_writes" && r.mounts.Overlap(real, tree.path) != rootid.Apart {
			return real, "has to do with the " + tree.name, "name what is apart from the trees, which the handler sees in any case"
		}
	}
	for _, dir := range append(config.HandlerDirs(), "/lockstep") {
		if r.mounts.Overlap(real, dir) != rootid.Apart {
			return real, "has to do with " + dir + ", which the jail of a handler shows as it is", "take it out"
		}
	}
	switch etc := r.mounts.Overlap(real, "/etc"); {
	case writes && etc != rootid.Apart, etc == rootid.Equal, etc == rootid.OtherInside:
		return real, "has to do with /etc, which is not shown whole, and never to be written to", "name what the handler is to read there"
	case writes && s.Handler != "" && r.mounts.Overlap(real, s.Handler) != rootid.Apart:
		return real, "holds the handler, which could write another in its place", "keep the handler elsewhere"
	}
	return real, "", ""
}

// ownBeside keeps lockstep's own directories out of what a handler is shown.
func (r *resolver) ownBeside(s config.Sync) {
	for _, list := range []struct {
		key   string
		paths []string
	}{{"handler_reads", s.Reads}, {"handler_writes", s.Writes}} {
		for _, path := range list.paths {
			for _, own := range r.OwnDirs() {
				if r.mounts.Overlap(path, *own.Dir) != rootid.Apart {
					r.add(list.key, problem(r.say(list.key)+" "+show(path), "has to do with "+show(*own.Dir)+", where lockstep has files of its own", "name another"))
				}
			}
		}
	}
}
