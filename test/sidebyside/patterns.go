package sidebyside

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const below = "/***"

// lists makes the lines of rsync's lists.
func (x *expecting) lists() error {
	if x.First {
		if !maps.Equal(x.was.Include, map[string]bool{below: true}) {
			return fmt.Errorf("clsync's first include list is %q", keys(x.was.Include))
		}
		x.want.Include[below] = true
		return x.excludes([]string{""}, true)
	}
	var whole []string
	for line := range x.was.Include {
		name, recursive := strings.CutSuffix(line, below)
		rel := strings.TrimPrefix(unescaped(name), "/")
		if escapedByClsync(rel) != name {
			return fmt.Errorf("clsync's line %q is no path", line)
		}
		if !recursive {
			x.one(rel, Entry{})
			continue
		}
		x.rows[Came] = true
		whole = append(whole, rel)
		for p, dir := range x.After {
			if (p == rel || strings.HasPrefix(p, rel+"/")) && !x.left(p, dir) {
				x.one(p, Entry{})
			}
		}
	}
	for _, rel := range x.unseen() {
		x.rows[Newline] = true
		x.one(rel, Entry{})
	}
	x.parents()
	for rel, e := range x.told {
		x.line(rel, "")
		if e.New == absent {
			x.line(rel, "/**")
			x.rows[Gone] = true
		}
		for dir := above(rel); dir != ""; dir = above(dir) {
			x.line(dir, "")
		}
	}
	if x.was.divided() {
		x.rows[Excludes] = true
	}
	return x.excludes(whole, false)
}

// excludes wants clsync to have excluded what rules leave out in directories, and
// lockstep where it hands over whole directories too.
func (x *expecting) excludes(dirs []string, also bool) error {
	has := map[string]bool{}
	for rel, isDir := range x.After {
		in := slices.ContainsFunc(dirs, func(d string) bool { return d == "" || strings.HasPrefix(rel, d+"/") })
		if !in || !x.left(rel, isDir) || x.left(above(rel), true) {
			continue
		}
		if x.Unwalked(above(rel)) {
			x.rows[Unwalked] = true // clsync does not see it, and rsync copies it
		} else {
			for line := range strings.SplitSeq(escapedByClsync(rel), "\n") {
				has[line] = true
			}
		}
		if also {
			line := escaped(rel, "")
			x.want.Exclude[line] = true
			x.differs(rel, line)
		}
	}
	if !maps.Equal(has, x.was.Exclude) {
		return fmt.Errorf("clsync excludes %q, and rules leave out %q", keys(x.was.Exclude), keys(has))
	}
	return nil
}

func (x *expecting) line(rel, suffix string) {
	line := escaped(rel, suffix)
	x.want.Include[line] = true
	if suffix == "" {
		x.differs(rel, line)
	}
}

// differs notes why a line is not clsync's.
func (x *expecting) differs(rel, line string) {
	switch {
	case line == escapedByClsync(rel):
	case strings.Contains(rel, "\n"):
		x.rows[Newline] = true
	case strings.Contains(rel, "\r"):
		x.rows[Return] = true
	default:
		x.rows[Escaping] = true
	}
}

// escapedByClsync is clsync's line of a path.
func escapedByClsync(rel string) string {
	if rel == "" {
		return ""
	}
	return "/" + replaced(rel, "[]*?\\")
}

// escaped is the line that rsync reads as that path: a backslash is one only where
// there is a wildcard, and no line has an end of a line in it.
func escaped(rel, suffix string) string {
	if rel == "" {
		return ""
	}
	line := "/" + rel
	if strings.ContainsAny(rel+suffix, "[*?\r\n") {
		line = "/" + replaced(rel, "[*?\\")
	}
	return strings.NewReplacer("\n", "[^\x01-\x09\x0b-\xff]", "\r", "[^\x01-\x0c\x0e-\xff]").Replace(line) + suffix
}

func replaced(s, special string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unescaped(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
