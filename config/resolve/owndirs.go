package resolve

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/rootid"
)

// ownPath takes the symbolic links out of the way to a directory of lockstep's
// own, which need not be there yet: stage one follows none, and ownDirs
// compares paths. Its last component is left as it is: a link there is refused
// by what opens it, since it may be another's.
func (r *resolver) ownPath(key, path string) string {
	path = filepath.Clean(path)
	parent, base := filepath.Split(path)
	if base == "" {
		return path
	}
	missing := base
	for dir := filepath.Clean(parent); ; dir = filepath.Dir(dir) {
		// Lstat: a link to nothing is there, and is nothing to be made below.
		_, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != "/" {
			missing = filepath.Join(filepath.Base(dir), missing)
			continue
		}
		real := ""
		if err == nil {
			real, err = filepath.EvalSymlinks(dir)
		}
		if info, e := os.Stat(real); err == nil && e == nil && !info.IsDir() {
			err = unix.ENOTDIR
		}
		if err != nil {
			r.add(key, problem(r.say(key)+" "+show(path), "its parent "+show(dir)+": "+words(err), "name a directory that can be made"))
			return path
		}
		return filepath.Join(real, missing)
	}
}

// ownDirs keeps lockstep's own files out of the trees: in the target they would
// be deleted, and what is written in the source at run time is a change. The
// state directory is for root alone, and so is no place for a tree either.
func (r *resolver) ownDirs(s config.Sync) {
	for _, d := range r.OwnDirs() {
		for _, tree := range r.trees(s) {
			what := tree.name
			switch how := r.mounts.Overlap(*d.Dir, tree.path); {
			case how == rootid.FirstInside || how == rootid.Equal:
				r.addOwn(d.Key, tree.key, show(*d.Dir)+" is inside the "+what, "name a directory outside it")
			case how == rootid.OtherInside && d.Key != "runtime_dir":
				r.addOwn(d.Key, tree.key, show(*d.Dir)+" holds the "+what, "name a directory of its own")
			}
		}
	}
}

// tree is a directory of this host that belongs to a sync: its source, a target, or
// what else its handler writes to.
type tree struct{ key, path, name string } // in a message, of several syncs, with its path

// trees are those of a sync that could be resolved.
func (r *resolver) trees(s config.Sync) (out []tree) {
	add := func(key, what, path string) {
		if path == "" {
			return
		}
		if r.Path != "" {
			what += " " + show(path)
		}
		out = append(out, tree{key, path, what})
	}
	add("source", "source", s.Source)
	for _, t := range s.Targets {
		if t.Kind == config.Local {
			add("targets", "target", t.Path)
		}
	}
	for _, path := range s.Writes {
		add("handler_writes", "place that the handler writes to", path)
	}
	return out
}

// addOwn blames the directory, or the tree when the directory is the default.
func (r *resolver) addOwn(key, tree, reason, advice string) {
	defer func(in config.Section) { r.in = in }(r.in)
	if _, written := r.Places[config.Spot{In: config.InService, Key: key}]; written || r.Path == "" {
		r.in, tree = config.InService, key
	}
	r.add(tree, problem(r.say(key), reason, advice))
}
