package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"lockstep/config"
	"lockstep/config/owned"
	"lockstep/rootid"
)

// files are those by which other programs know lockstep, or hold it back: names in
// directories that only root can write, outside all trees. Several syncs may have one
// standby file; of all others each is written.
func (r *resolver) files() {
	taken := map[string]string{}
	one := func(key string, path *string) {
		if *path == "" {
			return
		}
		*path = r.file(key, *path)
		if other := taken[*path]; other != "" && !(key == "standby_file" && other == key) {
			r.add(key, problem(r.say(key)+" "+show(*path), "is "+r.say(other)+" as well", "name a file that nothing else uses"))
		}
		taken[*path] = key
	}
	r.in = config.InService
	one("pid_file", &r.PIDFile)
	if r.control(); r.Control.On() {
		one("control_socket", &r.Control.Socket)
	}
	for i := range r.Syncs {
		r.in = config.Section(i)
		one("status_file", &r.Syncs[i].StatusFile)
		one("standby_file", &r.Syncs[i].StandbyFile)
	}
}

// file takes the links out of the way to a file that need not be there.
func (r *resolver) file(key, path string) string {
	thing := r.say(key) + " " + show(path)
	dir, base := filepath.Split(filepath.Clean(path))
	if base == "" {
		r.add(key, problem(thing, "is a directory", "name a file"))
		return path
	}
	if filepath.Clean(dir) == r.RuntimeDir && key == "control_socket" {
		return path // which is made in time, and looked at then
	}
	real, err := realPath(dir)
	if err != nil {
		r.add(key, failed(thing, err, "make its directory, "+show(dir)+", or name another file"))
		return path
	}
	if err := fileDir(real); err != nil {
		r.add(key, problem(thing, "is in a directory that is not safe to use: "+err.Error(), "name a file in a directory of this host that only root can write, such as /run"))
		return path
	}
	for _, s := range r.Syncs {
		for _, tree := range r.trees(s) {
			if how := r.mounts.Overlap(real, tree.path); how == rootid.FirstInside || how == rootid.Equal {
				r.add(key, problem(thing, "is inside the "+tree.name, "name a file outside it"))
				return path
			}
		}
	}
	full := filepath.Join(real, base)
	switch info, err := os.Lstat(full); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		r.add(key, failed(thing, err, "name another file"))
	case info.IsDir():
		r.add(key, problem(thing, "is a directory", "name a file"))
	case key == "control_socket" && info.Mode().Type() != fs.ModeSocket:
		r.add(key, problem(thing, "is there, and is no socket", "name another, or remove it"))
	case key == "control_socket":
	case key != "standby_file" && info.Mode().IsRegular() && info.Size() > longestMark:
		r.add(key, problem(thing, fmt.Sprintf("is there, and with %d bytes nothing that lockstep has written", info.Size()), "name another, or remove it"))
	}
	return full
}

// longestMark is more than lockstep writes to such a file.
const longestMark = 32

// fileDir refuses a directory in which others than root can make names, or that a
// server may keep from answering, for which lockstep would wait.
func fileDir(dir string) error {
	if err := owned.Check(dir, 0); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return owned.Reason(err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %04o)", dir, info.Mode().Perm())
	}
	id, err := rootid.Read(dir)
	if err == nil && id.Blind() {
		err = fmt.Errorf("%s is on %s", dir, rootid.FSName(id.Magic))
	}
	return err
}
