package rootid

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Mount is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID     int
	Parent int
	Dev    string // major:minor of the superblock
	Root   string // the directory of the file system that is shown
	Point  string // where it is shown
	Type   string
	Source string
}

// Mounts is a mount table.
type Mounts struct {
	list    []Mount
	visible []bool
}

// ReadMounts reads the caller's mount table.
func ReadMounts() (Mounts, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Mounts{}, fmt.Errorf("the mount table cannot be read: %w", err)
	}
	return ParseMounts(data)
}

// ParseMounts parses a mount table. A line that it does not understand is an
// error: a mount that is overlooked could be emptied on the target.
func ParseMounts(data []byte) (Mounts, error) {
	var m Mounts
	for number, line := range bytes.Split(data, []byte{'\n'}) {
		if len(line) == 0 {
			continue
		}
		one, err := parseMount(string(line))
		if err != nil {
			return Mounts{}, fmt.Errorf("mount table, line %d: %w", number+1, err)
		}
		m.list = append(m.list, one)
	}
	m.visible = visible(m.list)
	return m, nil
}

// parseMount reads: id parent major:minor root point options [tags…] - type source superoptions.
// The source may be empty, and then there are two blanks in a row.
func parseMount(line string) (Mount, error) {
	f := strings.Split(line, " ")
	dash := slices.Index(f, "-")
	if dash < 6 || len(f) < dash+3 {
		return Mount{}, fmt.Errorf("%q has too few fields", line)
	}
	id, err := strconv.Atoi(f[0])
	if err != nil {
		return Mount{}, fmt.Errorf("%q is no mount id", f[0])
	}
	parent, err := strconv.Atoi(f[1])
	if err != nil {
		return Mount{}, fmt.Errorf("%q is no mount id", f[1])
	}
	one := Mount{ID: id, Parent: parent, Dev: f[2], Root: unescape(f[3]), Point: unescape(f[4]),
		Type: unescape(f[dash+1]), Source: unescape(f[dash+2])}
	if !strings.HasPrefix(one.Point, "/") {
		return Mount{}, fmt.Errorf("%q is no absolute path", one.Point)
	}
	return one, nil
}

// unescape undoes the kernel's mangle_path: blank, tab, newline, backslash and
// # are written as \ooo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// visible says of each mount whether a path can reach it: another mount on the
// same parent at, or above, its point hides it.
func visible(list []Mount) []bool {
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
func (m Mounts) Of(path string) (Mount, bool) {
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
		return Mount{}, false
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
func onFS(m Mount, path string) string {
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
