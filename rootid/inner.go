package rootid

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/internal/mountinfo"
)

// Inner is a mount inside a root.
type Inner struct {
	Rel string `json:"rel"`
	// Identity is of what is seen there: the zero value when nobody asked, or
	// when it cannot be read (FUSE hides a user's own mount even from root).
	Identity Identity `json:"identity"`

	// The mount table's own words: like Identity.Mount they mean nothing after
	// a restart, and its numbers are used again.
	Number int    `json:"-"`
	Dev    string `json:"-"`
	Root   string `json:"-"`
}

// Inner lists what Inside lists, with the table's words on the topmost mount of
// each point.
func (m Mounts) Inner(dir string) []Inner {
	points := make(map[int]string, len(m.list))
	for _, one := range m.list {
		points[one.ID] = one.Point
	}
	covered := map[int]bool{} // by a mount on top of it, at the same point
	for i, one := range m.list {
		if m.visible[i] && one.ID != one.Parent && points[one.Parent] == one.Point {
			covered[one.Parent] = true
		}
	}
	var found []Inner
	for i, one := range m.list {
		if rel, ok := below(one.Point, dir); ok && rel != "" && m.visible[i] && !covered[one.ID] {
			found = append(found, Inner{Rel: rel, Number: one.ID, Dev: one.Dev, Root: one.Root})
		}
	}
	slices.SortFunc(found, func(a, b Inner) int { return cmp.Or(cmp.Compare(a.Rel, b.Rel), cmp.Compare(a.Number, b.Number)) })
	return slices.CompactFunc(found, func(a, b Inner) bool { return a.Rel == b.Rel })
}

// identified reads the identity of each: the table's numbers are used again at
// once, so that a tmpfs unmounted and another mounted can look the same there.
func (m Mounts) identified(dir string) []Inner {
	list := m.Inner(dir)
	for i := range list {
		path := dir + "/" + list[i].Rel
		if on, ok := m.Of(path); ok && on.Type == "autofs" {
			continue // to open it is to have something mounted on it
		}
		if id, err := readAny(path); err == nil {
			list[i].Identity = id
		}
	}
	return list
}

// readAny is Read for what need not be a directory: a mount can be of one file.
// A device or a pipe is never opened for reading, which could have effects.
func readAny(path string) (id Identity, err error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return Identity{}, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Identity{}, err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFREG {
		return identify(fd)
	}
	real, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return Identity{}, err
	}
	id, err = identify(real)
	return id, errors.Join(err, unix.Close(real))
}

// rels are the paths of the mounts in a list.
func rels(list []Inner) []string {
	var out []string
	for _, one := range list {
		out = append(out, one.Rel)
	}
	return out
}

// changed compares a mount that was copied with what is there now, and returns
// "" or what differs.
func (in Inner) changed(now Inner) string {
	switch {
	case in.Identity == Identity{}:
		return "" // it could not be read, and so was not copied
	case now.Identity == Identity{}:
		return "it cannot be read any more"
	}
	return in.Identity.Changed(now.Identity)
}

// Tangle says why two trees that lie apart would be copied onto themselves: by
// what is mounted inside them. "" when they would not. What is mounted inside
// the source counts only when it is copied.
func (m Mounts) Tangle(source, target string, crossMounts bool) string {
	if rel := m.shows(target, source); rel != "" {
		return fmt.Sprintf("what is mounted at %s inside the target is the source, or a part of it, or holds it", escape.Name(rel))
	}
	if !crossMounts {
		return ""
	}
	if rel := m.shows(source, target); rel != "" {
		return fmt.Sprintf("what is mounted at %s inside the source is the target, or a part of it, or holds it", escape.Name(rel))
	}
	return ""
}

// shows returns the path, relative to dir, of a mount inside dir that shows
// something of other.
func (m Mounts) shows(dir, other string) string {
	on, ok := m.Of(other)
	if !ok {
		return ""
	}
	for _, one := range m.Inner(dir) {
		shown := mountinfo.Mount{Root: one.Root, Point: dir + "/" + one.Rel}
		if one.Dev == on.Dev && nested(onFS(shown, shown.Point), onFS(on, other)) != Apart {
			return one.Rel
		}
	}
	return ""
}
