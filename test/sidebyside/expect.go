package sidebyside

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// World is what is below the source: the paths, and whether each is a directory. The
// source itself is "".
type World map[string]bool

// Step is what was done between two looks at both sides.
type Step struct {
	First         bool // nothing: the pass at the start
	Before, After World
	// Left says that rules leave a path out, as one kind of thing or the other,
	// whatever becomes of what is above it; Unwalked, that a directory is not gone into.
	Left     func(rel string, dir bool) bool
	Unwalked func(rel string) bool
}

// bits of inotify(7)
const (
	modified = 0x2
	attrib   = 0x4
	written  = 0x8
	from     = 0x40
	to       = 0x80
	created  = 0x100
	deleted  = 0x200
	isDir    = 0x40000000
)

// of mode so
const (
	absent    = 1
	file      = 2
	directory = 3
)

// left says that a path, or one above it, is left out.
func (s Step) left(rel string, dir bool) bool {
	for i := range len(rel) {
		if rel[i] == '/' && (s.Left(rel[:i], true) || s.Unwalked(rel[:i])) {
			return true
		}
	}
	return s.Left(rel, dir)
}

// topmost is the highest directory above a path that is gone too, or the path.
func (s Step) topmost(rel string) string {
	for i := range len(rel) {
		if _, there := s.After[rel[:i]]; rel[i] == '/' && !there {
			return rel[:i]
		}
	}
	return rel
}

func above(rel string) string { return rel[:max(strings.LastIndexByte(rel, '/'), 0)] }

// expecting is the making of what lockstep should say.
type expecting struct {
	Step
	mode string
	was  Facts // clsync's
	want Facts
	rows map[Row]bool
	told map[string]Entry // by path
}

// Expect makes of what clsync said what lockstep has to say, with the rows that this
// took. An error is something that clsync said and that is not understood.
func Expect(mode string, clsync Facts, s Step) (Facts, map[Row]bool, error) {
	x := &expecting{Step: s, mode: mode, was: clsync, rows: map[Row]bool{}, told: map[string]Entry{},
		want: Facts{Status: map[string]bool{"running": true}, Paths: map[string]Entry{}, Include: map[string]bool{}, Exclude: map[string]bool{}}}
	if s.First {
		x.want.Status = map[string]bool{"initsync": true}
	}
	if !maps.Equal(clsync.Status, x.want.Status) {
		if mode != "simple" || s.First {
			return x.want, nil, fmt.Errorf("CLSYNC_STATUS is %v", keys(clsync.Status))
		}
		x.rows[Status] = true
	}
	var err error
	if mode == "rsyncshell" || mode == "rsyncso" {
		err = x.lists()
	} else {
		err = x.names()
	}
	return x.want, x.rows, err
}

// unseen are the paths that came and that clsync says nothing of.
func (x *expecting) unseen() []string {
	var out []string
	for rel, dir := range x.After {
		_, before := x.Before[rel]
		if (x.First || !before) && hasNewline(rel) && !x.left(rel, dir) {
			out = append(out, rel)
		}
	}
	slices.Sort(out)
	return out
}

// names makes the paths of modes in which clsync tells names.
func (x *expecting) names() error {
	said := map[string]string{}
	for _, w := range []World{x.Before, x.After} {
		for rel := range w {
			said[x.spoken(rel)] = rel
		}
	}
	for name, e := range x.was.Paths {
		rel, ok := said[name]
		if !ok {
			return fmt.Errorf("clsync tells of %q, which never was", name)
		}
		x.one(rel, e)
	}
	if x.mode != "simple" {
		for _, rel := range x.unseen() {
			x.rows[Newline] = true
			if x.mode != "shell" { // which says so in the log
				x.one(rel, Entry{Mask: created, Old: absent, New: file})
			}
		}
	}
	x.parents()
	for rel, e := range x.told {
		name := rel
		if x.mode == "direct" {
			e.Mask = 0
			if name == "" {
				name = "."
			}
			if strings.HasPrefix(name, "-") {
				name = "./" + name
				x.rows[Dash] = true
			}
		}
		if x.mode != "so" {
			e.Old, e.New = 0, 0
		}
		if x.spoken(rel) != name && !strings.HasPrefix(name, "./") {
			x.rows[Macros] = true
		}
		x.want.Paths[name] = e
	}
	if x.mode == "simple" && !x.First && x.again() {
		x.rows[Events] = true
	}
	return nil
}

// again says that a path was told more than once.
func (x *expecting) again() bool {
	seen := map[string]bool{}
	for _, call := range x.was.Parts {
		for _, name := range call {
			if seen[name] {
				return true
			}
			seen[name] = true
		}
	}
	return false
}

// one is a path of which clsync tells, and what that becomes.
func (x *expecting) one(rel string, e Entry) {
	dir, there := x.After[rel]
	wasDir, before := x.Before[rel]
	switch {
	case !x.First && there && x.left(rel, dir):
		x.rows[RuleKinds] = true // a link, say, that rules for files leave out
		return
	case !there && x.topmost(rel) != rel:
		x.rows[Gone] = true
		return
	}
	to := Entry{Old: 0, New: file}
	if x.First {
		to.Mask = e.Mask
	} else {
		to.Mask = marks(e.Mask, there, before, dir || !there && wasDir)
	}
	switch {
	case !there:
		to.New = absent
	case dir:
		to.New = directory
	}
	if (x.mode == "simple" || x.mode == "shell" || x.mode == "so") && to.Mask != e.Mask {
		x.rows[Marks] = true
	}
	if x.mode == "so" && (to.Old != e.Old || to.New != e.New) {
		x.rows[Kinds] = true
	}
	x.told[rel] = to
}

// marks are lockstep's for what clsync has of the kernel.
func marks(m uint32, there, before, dir bool) uint32 {
	var out uint32
	switch {
	case !there:
		out = deleted
	case !before:
		out = created | attrib
		if !dir {
			out |= written
		}
	default:
		if m&(modified|written) != 0 {
			out |= written
		}
		if m&attrib != 0 {
			out |= attrib
		}
	}
	if dir {
		out |= isDir
	}
	return out
}

// parents are the directories whose names changed, which lockstep tells of: their
// times changed, too.
func (x *expecting) parents() {
	if x.First {
		return
	}
	changed := map[string]bool{}
	for _, w := range []struct{ in, out World }{{x.Before, x.After}, {x.After, x.Before}} {
		for rel := range w.in {
			if _, still := w.out[rel]; !still {
				changed[above(rel)] = true
			}
		}
	}
	for rel := range changed {
		dir, there := x.After[rel]
		if _, before := x.Before[rel]; !there || !before || !dir || x.left(rel, true) {
			continue
		}
		e, told := x.told[rel]
		if !told || e.Mask&attrib == 0 {
			x.rows[Above] = true
		}
		x.told[rel] = Entry{Mask: e.Mask | attrib | isDir, New: directory}
	}
}

// spoken is how clsync tells a name.
func (x *expecting) spoken(rel string) string {
	switch {
	case x.mode == "direct" && rel == "":
		return "."
	case x.mode == "direct" || x.mode == "simple":
		return expanded(rel)
	}
	return rel
}

// expanded is what clsync makes of a name that is a word: macros without a value in
// a call for names are nothing, and a per cent sign without a second one is the end.
func expanded(name string) string {
	before, rest, ok := strings.Cut(name, "%")
	if !ok {
		return name
	}
	_, after, ok := strings.Cut(rest, "%")
	if !ok {
		return before
	}
	return before + expanded(after)
}

func hasNewline(rel string) bool { return strings.Contains(rel, "\n") }
