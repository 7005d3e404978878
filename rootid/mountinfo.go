package rootid

import (
	"slices"
	"strings"

	"lockstep/internal/mountinfo"
)

// Mounts is a mount table.
type Mounts struct {
	list    []mountinfo.Mount
	visible []bool
}

// ReadMounts reads the caller's mount table.
func ReadMounts() (Mounts, error) {
	list, err := mountinfo.Read()
	return Mounts{list, visible(list)}, err
}

// ParseMounts parses a mount table.
func ParseMounts(data []byte) (Mounts, error) {
	list, err := mountinfo.Parse(data)
	return Mounts{list, visible(list)}, err
}

// visible says of each mount whether a path can reach it: another mount on the
// same parent at, or above, its point hides it.
func visible(list []mountinfo.Mount) []bool {
	type at struct {
		parent int
		point  string
	}
	index := make(map[int]int, len(list))
	taken := make(map[at]int, len(list))
	for i, one := range list {
		index[one.ID] = i
		if one.ID != one.Parent { // the first mount of all is its own parent
			taken[at{one.Parent, one.Point}] = i // the later one lies on top
		}
	}
	const unknown, yes, no = 0, 1, 2
	state := make([]int, len(list))
	var look func(i, depth int) bool
	look = func(i, depth int) bool {
		if state[i] != unknown {
			return state[i] == yes
		}
		state[i] = no // a cycle, which the kernel cannot have, ends here
		one := list[i]
		if strings.HasSuffix(one.Point, "//deleted") { // seq_path's word for a point that no path reaches
			return false
		}
		if one.ID == one.Parent {
			state[i] = yes
			return true
		}
		if p, ok := index[one.Parent]; ok && (depth > len(list) || !look(p, depth+1)) {
			return false
		}
		for dir := one.Point; ; dir = parentOf(dir) {
			if other, ok := taken[at{one.Parent, dir}]; ok && other != i {
				return false
			}
			if dir == "/" {
				break
			}
		}
		state[i] = yes
		return true
	}
	out := make([]bool, len(list))
	for i := range list {
		out[i] = look(i, 0)
	}
	return out
}

func parentOf(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/"
	}
	return path[:i]
}

// below returns the path of p relative to dir: "" for dir itself.
func below(p, dir string) (rel string, ok bool) {
	if p == dir {
		return "", true
	}
	if dir == "/" {
		return strings.TrimPrefix(p, "/"), true
	}
	if strings.HasPrefix(p, dir) && p[len(dir)] == '/' {
		return p[len(dir)+1:], true
	}
	return "", false
}

// Inside lists the mounts strictly below dir as paths relative to it, sorted,
// each once. Only what a path can reach counts: a mount hidden by another
// protects nothing, and a directory of that name may be an ordinary one.
func (m Mounts) Inside(dir string) []string {
	var rels []string
	for i, one := range m.list {
		if rel, ok := below(one.Point, dir); ok && rel != "" && m.visible[i] {
			rels = append(rels, rel)
		}
	}
	slices.Sort(rels)
	return slices.Compact(rels)
}

// Of returns the mount that path is on: the reachable one with the longest
// point, and of several at one point the topmost.
func (m Mounts) Of(path string) (mountinfo.Mount, bool) {
	best := -1
	for i, one := range m.list {
		if _, ok := below(path, one.Point); !ok || !m.visible[i] {
			continue
		}
		if best < 0 || len(one.Point) > len(m.list[best].Point) ||
			len(one.Point) == len(m.list[best].Point) && one.Parent == m.list[best].ID {
			best = i
		}
	}
	if best < 0 {
		return mountinfo.Mount{}, false
	}
	return m.list[best], true
}

// Overlap says how two directories lie to each other on their file system,
// however they are mounted.
type Overlap uint8

// The ways two directories can lie to each other.
const (
	Apart       Overlap = iota
	Equal               // a and b are the same directory
	FirstInside         // a is inside b
	OtherInside         // b is inside a
)

// Overlap compares two absolute paths without symbolic links, also through
// bind mounts: /a/b and a mount of /a's file system that shows /b elsewhere.
func (m Mounts) Overlap(a, b string) Overlap {
	if o := nested(a, b); o != Apart {
		return o
	}
	ma, oka := m.Of(a)
	mb, okb := m.Of(b)
	if !oka || !okb || ma.Dev != mb.Dev {
		return Apart
	}
	return nested(onFS(ma, a), onFS(mb, b))
}

func nested(a, b string) Overlap {
	if a == b {
		return Equal
	}
	if _, ok := below(a, b); ok {
		return FirstInside
	}
	if _, ok := below(b, a); ok {
		return OtherInside
	}
	return Apart
}

// onFS turns a path on a mount into the path on its file system.
func onFS(m mountinfo.Mount, path string) string {
	rel, _ := below(path, m.Point)
	root := strings.TrimSuffix(m.Root, "/")
	if rel == "" {
		if root == "" {
			return "/"
		}
		return root
	}
	return root + "/" + rel
}
