package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"lockstep/rootid"
)

// resolveOwn takes the symbolic links out of the way to a directory of
// lockstep's own, which need not be there yet: stage one follows none, and
// ownDirs compares paths. Its last component is left as it is: a link there is
// refused by what opens it, since it may be another's.
func resolveOwn(key, path string, p *Problems) string {
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
		if err != nil {
			*p = append(*p, Problem{key + " " + show(path), "its parent " + show(dir) + ": " + words(err), "name a directory that can be made"})
			return path
		}
		return filepath.Join(real, missing)
	}
}

// ownDirs keeps lockstep's own files out of the trees: in the target they would
// be deleted, and what is written in the source at run time is a change. The
// state directory is for root alone, and so is no place for a tree either.
func (c Config) ownDirs(mounts rootid.Mounts) Problems {
	var p Problems
	for _, d := range []struct{ key, dir, tree, what string }{
		{"--runtime-dir", c.RuntimeDir, c.Source, "source"},
		{"--runtime-dir", c.RuntimeDir, c.Target, "target"},
		{"--state-dir", c.StateDir, c.Source, "source"},
		{"--state-dir", c.StateDir, c.Target, "target"},
	} {
		if d.tree == "" {
			continue
		}
		switch how := mounts.Overlap(d.dir, d.tree); {
		case how == rootid.FirstInside || how == rootid.Equal:
			p = append(p, Problem{d.key, show(d.dir) + " is inside the " + d.what, "name a directory outside it"})
		case how == rootid.OtherInside && d.key == "--state-dir":
			p = append(p, Problem{d.key, show(d.dir) + " holds the " + d.what, "name a directory of its own"})
		}
	}
	return p
}
