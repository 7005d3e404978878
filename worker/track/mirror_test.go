package track

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"lockstep/worker/doubt"
)

// copied is what the mirror holds at a path.
type copied struct {
	dir        bool
	data, attr int
	look       int
	kids       map[string]*copied
}

func copyOf(n *inode) *copied { return &copied{data: n.data, look: n.look, attr: n.attr} }

// mirror is a target on which marks are done as rsync does them, strictly: a
// directory's entry is its attributes only, an Attr mark copies no content,
// nothing happens to a path whose parent the source does not have.
type mirror struct {
	k        *kernel
	excluded func(string, bool) bool
	root     *copied
	marks    map[string]Change
	pass     []string // directories that the whole pass under way has yet to do
	taken    []string // what is under way, one after the other, and its marks
	flight   map[string]Change

	due     bool      // a whole pass is
	beside  bool      // the one under way began beside the walk, and does not end before it
	ended   bool      // a pass has, and the queue was not empty since
	until   time.Time // when the last pass had ended, and the queue was empty
	settled time.Time
	dirtied bool // since settling was begun
}

// idle says whether all that was marked is done.
func (m *mirror) idle() bool {
	return len(m.marks) == 0 && len(m.taken) == 0 && len(m.pass) == 0 && !m.due
}

func (m *mirror) mark(rel string, c Change) {
	m.marks[rel] |= c
	m.dirtied = true
}

// suspects is what Sink.Suspect is to mean for one target.
func (m *mirror) suspects(doubts []doubt.Doubt) bool {
	passing := m.due || m.beside || len(m.pass) > 0 || m.ended
	for _, d := range doubts {
		if !m.settled.After(d.Last) && (!d.Pass || passing || !m.until.Before(d.First)) {
			return true
		}
	}
	return false
}

// take begins to do every mark.
func (m *mirror) take() {
	m.flight = m.marks
	m.marks = map[string]Change{}
	for rel := range m.flight {
		m.taken = append(m.taken, rel)
	}
	sort.Strings(m.taken) // parents first
}

// work does one path of what was taken.
func (m *mirror) work() {
	rel := m.taken[0]
	m.taken = m.taken[1:]
	m.apply(rel, m.flight[rel])
}

func newMirror(k *kernel, excluded func(string, bool) bool) *mirror {
	return &mirror{k: k, excluded: excluded, root: &copied{dir: true, kids: map[string]*copied{}}, marks: map[string]Change{}}
}

// flush does every mark at once.
func (m *mirror) flush() {
	for m.take(); len(m.taken) > 0; {
		m.work()
	}
}

// parent is the mirror's directory above rel, made if the source has it, and
// the source's; nil when the source has none.
func (m *mirror) parent(rel string) (*copied, *inode, string) {
	at, src := m.root, m.k.root
	names := strings.Split(rel, "/")
	for _, name := range names[:len(names)-1] {
		if src = src.kids[name]; src == nil || !src.dir {
			return nil, nil, ""
		}
		at = at.ensure(name, src)
	}
	return at, src, names[len(names)-1]
}

// ensure makes an implied directory.
func (c *copied) ensure(name string, src *inode) *copied {
	there := c.kids[name]
	if there == nil || !there.dir {
		there = &copied{dir: true, attr: src.attr, kids: map[string]*copied{}}
		c.kids[name] = there
	}
	return there
}

func (m *mirror) apply(rel string, c Change) {
	if rel == "" {
		m.root.attr = m.k.root.attr
		if c&Replaced != 0 {
			m.prune("", m.root, m.k.root)
		}
		return
	}
	at, above, name := m.parent(rel)
	if at == nil {
		return
	}
	src, there := above.kids[name], at.kids[name]
	if src != nil && m.excluded(rel, src.dir) {
		src = nil // a name can be excluded as a directory only
	}
	switch {
	case src == nil:
		delete(at.kids, name)
	case src.dir:
		d := at.ensure(name, src)
		d.attr = src.attr
		if c&Replaced != 0 {
			m.prune(rel, d, src)
		}
	case there == nil || there.dir || c&(Name|Content) != 0:
		at.kids[name] = copyOf(src)
	default:
		there.attr = src.attr
	}
}

// prune deletes, at any depth, what the source lacks.
func (m *mirror) prune(rel string, c *copied, src *inode) {
	for name, kid := range c.kids {
		at, below := join(rel, name), src.kids[name]
		if below == nil || m.excluded(at, below.dir) {
			delete(c.kids, name)
		} else if kid.dir && below.dir {
			m.prune(at, kid, below)
		}
	}
}

// begin starts a whole pass: it covers every mark made so far, but for content
// (queue.EndWhole).
func (m *mirror) begin() {
	m.due = false
	for rel, c := range m.marks {
		if m.marks[rel] = Content; c&(Content|Name) == 0 {
			delete(m.marks, rel)
		}
	}
	m.pass = []string{""}
}

// step does one directory of the pass.
func (m *mirror) step() {
	rel := m.pass[0]
	m.pass = m.pass[1:]
	at, src := m.root, m.k.root
	if rel != "" {
		above, up, name := m.parent(rel)
		if above == nil || up.kids[name] == nil || !up.kids[name].dir {
			return
		}
		at, src = above.ensure(name, up.kids[name]), up.kids[name]
	}
	at.attr = src.attr
	for name := range at.kids {
		if n := src.kids[name]; n == nil || m.excluded(join(rel, name), n.dir) {
			delete(at.kids, name)
		}
	}
	for _, name := range src.names() {
		below := join(rel, name)
		kid := src.kids[name]
		if m.excluded(below, kid.dir) {
			continue
		}
		if kid.dir {
			at.ensure(name, kid)
			m.pass = append(m.pass, below)
		} else if there := at.kids[name]; there == nil || there.dir || there.look != kid.look {
			at.kids[name] = copyOf(kid)
		} else {
			there.attr = kid.attr // as rsync does: content that size and time do not show stays
		}
	}
}

func join(rel, name string) string {
	if rel == "" {
		return name
	}
	return rel + "/" + name
}

// differences between the source and the mirror.
func (m *mirror) differences() []string {
	var out []string
	m.compare("", m.root, m.k.root, &out)
	return out
}

func (m *mirror) compare(rel string, c *copied, n *inode, out *[]string) {
	if c.dir != n.dir || c.attr != n.attr || !c.dir && c.data != n.data {
		*out = append(*out, fmt.Sprintf("%q: mirror dir %v attr %d data %d, source dir %v attr %d data %d",
			rel, c.dir, c.attr, c.data, n.dir, n.attr, n.data))
	}
	for name, kid := range c.kids {
		below := join(rel, name)
		if n.kids[name] == nil || m.excluded(below, n.kids[name].dir) {
			*out = append(*out, fmt.Sprintf("%q is on the mirror only", below))
		} else {
			m.compare(below, kid, n.kids[name], out)
		}
	}
	for _, name := range n.names() {
		if c.kids[name] == nil && !m.excluded(join(rel, name), n.kids[name].dir) {
			*out = append(*out, fmt.Sprintf("%q is in the source only", join(rel, name)))
		}
	}
}
