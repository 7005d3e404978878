package watch

import (
	"fmt"
	"maps"
	"slices"

	"lockstep/ipc"
	"lockstep/monitor"
)

// inode is a file, or (kids is not nil) a directory of the model.
type inode struct {
	up   *inode
	name string
	kids map[string]*inode
}

func newDir() *inode { return &inode{kids: map[string]*inode{}} }

func (n *inode) put(name string, kid *inode) {
	if kid.up != nil && kid.up.kids[kid.name] == kid {
		delete(kid.up.kids, kid.name)
	}
	n.kids[name], kid.up, kid.name = kid, n, name
}

// below says whether n is top or below it.
func (n *inode) below(top *inode) bool {
	for ; n != nil; n = n.up {
		if n == top {
			return true
		}
	}
	return false
}

// happening is one event of the kernel's queue; of a rename both ends.
type happening struct {
	dir, to  *inode
	name, as string
	what     *inode
	mask     monitor.Op
}

// model is a file system with a mark on all of it, a resolver that reads, and a
// helper that lists: the source is one directory of it, and the rest is outside.
type model struct {
	next          func(int) int
	root, outside *inode
	queue         []happening
	sent          []monitor.PathEvent // a mark has no mask
	known         map[*inode]string   // what the resolver remembers
	cookie        uint32
	marking       bool
	left          int // to be read before the mark is answered
	merged        int
	undo          func() // moves back what was moved last
	plain         bool   // nothing is moved over what has that name: of half a rename that is told as new
}

func newModel(next func(int) int) *model {
	return &model{next: next, root: newDir(), outside: newDir(), known: map[*inode]string{}}
}

// happens queues an event, or merges it with one of the same names and thing: a rename
// as well, when the same one was undone meanwhile.
func (m *model) happens(h happening) {
	for i := len(m.queue) - 1; i >= 0; i-- {
		q := &m.queue[i]
		if q.to == h.to && q.as == h.as && q.dir == h.dir && q.name == h.name && q.what == h.what {
			q.mask |= h.mask
			m.merged++
			return
		}
	}
	m.queue = append(m.queue, h)
}

// path is where a directory is below the root now.
func (m *model) path(dir *inode) (string, bool) {
	switch {
	case dir == m.root:
		return "", true
	case dir.up == nil || dir.up.kids[dir.name] != dir:
		return "", false
	}
	above, ok := m.path(dir.up)
	return joined(above, dir.name), ok
}

func joined(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// find is what is at a path; nil: nothing.
func (m *model) find(rel string) *inode {
	at := m.root
	for _, name := range components(rel) {
		if at = at.kids[name]; at == nil || at.kids == nil && name == "" {
			return nil
		}
	}
	return at
}

// read resolves one event and sends it, or answers the mark.
func (m *model) read() {
	if m.marking && m.left == 0 {
		m.marking = false
		m.sent = append(m.sent, monitor.PathEvent{})
		return
	}
	h := m.queue[0]
	m.queue = m.queue[1:]
	m.left = max(m.left-1, 0)
	if h.mask.Has(monitor.Overflow) {
		clear(m.known)
		m.sent = append(m.sent, monitor.PathEvent{Root: 1, Mask: monitor.Overflow})
		return
	}
	var dir monitor.Op
	if h.what.kids != nil {
		dir = monitor.IsDir
	}
	if h.to == nil {
		m.send(h.dir, h.name, h.mask|dir, 0)
		return
	}
	m.cookie++
	if dir != 0 {
		clear(m.known)
	}
	m.send(h.dir, h.name, monitor.MovedFrom|dir, m.cookie)
	m.send(h.to, h.as, monitor.MovedTo|dir, m.cookie)
}

func (m *model) send(dir *inode, name string, mask monitor.Op, cookie uint32) {
	rel, ok := m.known[dir]
	if !ok {
		if rel, ok = m.path(dir); !ok {
			return
		}
		m.known[dir] = rel
	}
	m.sent = append(m.sent, monitor.PathEvent{Root: 1, Mask: mask, Cookie: cookie, Dir: []byte(rel), Name: []byte(name)})
}

func (m *model) mark() { m.marking, m.left = true, len(m.queue) }

// answer is what the helper says of a request now.
func (m *model) answer(req ipc.Message) []ipc.Message {
	switch q := req.(type) {
	case *ipc.Stat:
		a := &ipc.StatAnswer{}
		for _, rel := range q.Rels {
			a.Stats = append(a.Stats, ipc.PathStat{Kind: kindOf(m.find(rel))})
		}
		return []ipc.Message{a}
	case *ipc.Watch:
		var all []ipc.Message
		for i, rel := range q.Rels {
			all = append(all, m.list(uint16(i), rel)...)
		}
		return all
	}
	panic(fmt.Sprintf("a %T", req))
}

func kindOf(n *inode) ipc.Kind {
	switch {
	case n == nil:
		return ipc.KindNone
	case n.kids != nil:
		return ipc.KindDir
	}
	return ipc.KindFile
}

// list lists a directory, in one part or two.
func (m *model) list(index uint16, rel string) []ipc.Message {
	dir := m.find(rel)
	d := ipc.Dir{Index: index, WD: -1}
	switch {
	case dir == nil:
		d.Status = ipc.Status(2)
	case dir.kids == nil:
		d.Status = ipc.Status(20)
	default:
		for _, name := range slices.Sorted(maps.Keys(dir.kids)) {
			d.Entries = append(d.Entries, ipc.Entry{Kind: kindOf(dir.kids[name]), Name: name})
		}
	}
	if n := len(d.Entries); n > 1 && m.next(2) == 0 {
		first := d
		first.Entries, first.More = d.Entries[:n/2], true
		d.Entries = d.Entries[n/2:]
		return []ipc.Message{&ipc.WatchAnswer{Dirs: []ipc.Dir{first}}, &ipc.WatchAnswer{Dirs: []ipc.Dir{d}}}
	}
	return []ipc.Message{&ipc.WatchAnswer{Dirs: []ipc.Dir{d}}}
}

// all is every place below a directory, itself as well.
func (n *inode) all(visit func(*inode)) {
	visit(n)
	for _, name := range slices.Sorted(maps.Keys(n.kids)) {
		n.kids[name].all(visit)
	}
}

// pick is some directory at or below one.
func (m *model) pick(top *inode) *inode {
	var dirs []*inode
	top.all(func(n *inode) {
		if n.kids != nil {
			dirs = append(dirs, n)
		}
	})
	return dirs[m.next(len(dirs))]
}

func (m *model) someName() string { return string(rune('a' + m.next(5))) }

// change makes one change that a person could make; renames says whether of
// directories within the root as well.
func (m *model) change(renames bool) {
	top := m.root
	if m.next(6) == 0 {
		top = m.outside
	}
	dir, name := m.pick(top), m.someName()
	there := dir.kids[name]
	switch what := m.next(100); {
	case m.undo != nil && !m.plain && what%6 == 0: // what moves to and fro is one event, or two
		m.undo()
	case what < 45 && there == nil:
		kid := &inode{}
		if what < 22 {
			kid = newDir()
		}
		dir.put(name, kid)
		m.happens(happening{dir: dir, name: name, what: kid, mask: monitor.Create})
	case what < 55 && there != nil && there.kids == nil:
		m.happens(happening{dir: dir, name: name, what: there, mask: monitor.Modify | monitor.CloseWrite})
	case what < 70 && there != nil:
		m.remove(there)
	case there != nil:
		from, to := m.root, m.pick([]*inode{m.root, m.outside}[m.next(2)])
		if !dir.below(m.root) {
			from = m.outside
		}
		if there.kids == nil || renames || to.below(m.root) != (from == m.root) || from == m.outside {
			m.rename(there, to, m.someName())
		}
	}
}

func (m *model) remove(n *inode) {
	for _, name := range slices.Sorted(maps.Keys(n.kids)) {
		m.remove(n.kids[name])
	}
	delete(n.up.kids, n.name)
	m.happens(happening{dir: n.up, name: n.name, what: n, mask: monitor.Delete})
}

func (m *model) rename(n, to *inode, as string) {
	over := to.kids[as]
	if to.below(n) || over == n || over != nil && ((over.kids == nil) != (n.kids == nil) || len(over.kids) > 0) {
		return
	}
	if m.plain && over != nil {
		return
	}
	h := happening{dir: n.up, name: n.name, to: to, as: as, what: n}
	m.undo = func() {
		if n.up == to && to.kids[as] == n {
			m.rename(n, h.dir, h.name)
		}
	}
	if over != nil {
		over.up = nil
	}
	to.put(as, n)
	m.happens(h)
}
