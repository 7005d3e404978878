package track

import (
	"slices"
	"sort"
	"strings"

	"lockstep/monitor"
	"lockstep/worker/clock"
	"lockstep/worker/listing"
)

// inode of the model file system.
type inode struct {
	ino  uint64
	dir  bool
	kids map[string]*inode
	up   *inode // of a directory: where it is; nil: nowhere
	data int    // of a file: its content
	look int    // of a file: its size and time, which another content may share
	attr int    // mode, owner; of a directory: modification time, too
	wd   int32  // 0: not watched
	held int    // open descriptors
	when int    // ctime: the version of the last change of any kind
	time uint64 // or the time of it, if the kernel has a clock
}

// kernel is a file system with one inotify instance, exact in what matters:
// marks are on inodes, descriptors are never used twice, the order of events is
// that of fsnotify_move and vfs_rmdir, identical neighbours are merged, and
// what does not fit into the queue is lost behind one overflow mark.
type kernel struct {
	root, out  *inode // the watched root, and a directory beside it
	nextIno    uint64
	nextWD     int32
	cookie     uint32
	marks      map[int32]*inode
	maxMarks   int
	queue      []monitor.Event
	maxQueue   int
	overflowed bool          // the overflow mark is in the queue
	emit       []emit        // of the operation that is under way: see (*kernel).step
	version    int           // of contents and attributes
	clock      func() uint64 // what stamps the inodes; nil: versions do
	fan        *fanotify     // hears of everything; nil: there is none
}

// emit is one event that an operation has not sent yet.
type emit struct {
	node   *inode
	mask   monitor.Op
	cookie uint32
	name   string
	to     *inode // of a MovedFrom: where it went
	as     string
	evict  bool // not an event: the inode loses its last reference
}

func newKernel(maxQueue, maxMarks int) *kernel {
	k := &kernel{nextWD: 1, marks: map[int32]*inode{}, maxQueue: maxQueue, maxMarks: maxMarks}
	k.root, k.out = k.inode(true), k.inode(true)
	return k
}

func (k *kernel) inode(dir bool) *inode {
	k.nextIno++
	n := &inode{ino: k.nextIno, dir: dir}
	if dir {
		n.kids = map[string]*inode{}
	}
	k.fresh(&n.data)
	k.fresh(&n.look)
	k.fresh(&n.attr)
	k.stamp(n)
	return n
}

// ctime of a version: some file systems keep whole seconds.
func ctime(version int) uint64 { return uint64(version)*1e9 + uint64(version%2) }

func (n *inode) ctime() uint64 {
	if n.time > 0 {
		return n.time
	}
	return ctime(n.when)
}

// stamp sets the time of the last status change.
func (k *kernel) stamp(nodes ...*inode) {
	k.version++
	for _, n := range nodes {
		n.when = k.version
		if k.clock != nil {
			n.time = k.clock()
		}
	}
}

func (k *kernel) fresh(version *int) {
	k.version++
	*version = k.version
}

func (k *kernel) send(e monitor.Event) {
	if len(k.queue) >= k.maxQueue {
		if !k.overflowed {
			k.overflowed = true
			k.queue = append(k.queue, monitor.Event{WD: -1, Mask: monitor.Overflow})
		}
		return
	}
	if n := len(k.queue); n > 0 && e.Mask != monitor.Ignored {
		last := k.queue[n-1]
		if last.WD == e.WD && last.Mask == e.Mask && string(last.Name) == string(e.Name) {
			return
		}
	}
	k.queue = append(k.queue, e)
}

func (k *kernel) read() (monitor.Event, bool) {
	if len(k.queue) == 0 {
		return monitor.Event{}, false
	}
	e := k.queue[0]
	k.queue = k.queue[1:]
	if e.Mask == monitor.Overflow {
		k.overflowed = false
	}
	return e, true
}

// step sends the next event of the operation under way.
func (k *kernel) step() bool {
	if len(k.emit) == 0 {
		return false
	}
	e := k.emit[0]
	k.emit = k.emit[1:]
	switch {
	case e.evict:
		k.release(e.node)
	case k.fan != nil:
		k.fan.take(e)
	case e.node.wd != 0:
		k.send(monitor.Event{WD: e.node.wd, Mask: e.mask, Cookie: e.cookie, Name: []byte(e.name)})
	}
	return true
}

// release drops a reference; a directory without a name and without any ends.
func (k *kernel) release(n *inode) {
	n.held--
	if n.held == 0 && n.up == nil && n != k.root && n != k.out {
		if n.wd != 0 {
			k.send(monitor.Event{WD: n.wd, Mask: monitor.DeleteSelf})
			k.unmark(n.wd)
		}
	}
}

func (k *kernel) unmark(wd int32) {
	if n := k.marks[wd]; n != nil {
		delete(k.marks, wd)
		n.wd = 0
		k.send(monitor.Event{WD: wd, Mask: monitor.Ignored})
	}
}

func (k *kernel) mark(n *inode) (int32, bool) {
	if n.wd == 0 {
		if len(k.marks) >= k.maxMarks {
			return -1, false
		}
		n.wd = k.nextWD
		k.nextWD++
		k.marks[n.wd] = n
	}
	return n.wd, true
}

func (k *kernel) event(n *inode, mask monitor.Op, name string, cookie uint32) {
	k.emit = append(k.emit, emit{node: n, mask: mask, name: name, cookie: cookie})
}

func isDir(n *inode) monitor.Op {
	if n.dir {
		return monitor.IsDir
	}
	return 0
}

func (k *kernel) create(d *inode, name string, dir bool) {
	n := k.inode(dir)
	d.kids[name] = n
	if dir {
		n.up = d
	}
	k.fresh(&d.attr)
	k.stamp(d)
	k.event(d, monitor.Create|isDir(n), name, 0)
	if !dir {
		k.event(d, monitor.CloseWrite, name, 0)
	}
}

// write gives a file another content; silent: size and time do not show it.
func (k *kernel) write(d *inode, name string, silent bool) {
	n := d.kids[name]
	k.fresh(&n.data)
	if !silent {
		k.fresh(&n.look)
		k.fresh(&n.attr)
	}
	k.stamp(n)
	k.event(d, monitor.Modify, name, 0)
}

func (k *kernel) chmod(d *inode, name string) {
	n := d.kids[name]
	k.fresh(&n.attr)
	k.stamp(n)
	k.event(d, monitor.Attrib|isDir(n), name, 0)
	if n.dir {
		k.event(n, monitor.Attrib|monitor.IsDir, "", 0)
	}
}

// unlink removes a file or an empty directory.
func (k *kernel) unlink(d *inode, name string) {
	n := d.kids[name]
	delete(d.kids, name)
	k.fresh(&d.attr)
	k.stamp(d, n)
	n.up = nil
	n.held++
	k.event(d, monitor.Delete|isDir(n), name, 0)
	k.emit = append(k.emit, emit{node: n, evict: true})
}

// movable says whether rename(2) would do it: a directory does not go below
// itself, and only an empty one is replaced.
func movable(from *inode, name string, to *inode, as string, exchange bool) bool {
	n, there := from.kids[name], to.kids[as]
	if n == nil || from == to && name == as || n.dir && within(to, n) {
		return false
	}
	if exchange {
		return there != nil && !(there.dir && within(from, there))
	}
	return there == nil || there.dir == n.dir && len(there.kids) == 0 && !within(from, there)
}

func within(d, top *inode) bool {
	for ; d != nil; d = d.up {
		if d == top {
			return true
		}
	}
	return false
}

func (k *kernel) rename(from *inode, name string, to *inode, as string, exchange bool) {
	n, there := from.kids[name], to.kids[as]
	delete(from.kids, name)
	to.kids[as] = n
	if n.dir {
		n.up = to
	}
	k.fresh(&from.attr)
	k.fresh(&to.attr)
	k.stamp(from, to, n)
	if there != nil {
		k.stamp(there)
	}
	k.moveEvents(from, name, to, as, n)
	switch {
	case there == nil:
	case exchange:
		from.kids[name] = there
		if there.dir {
			there.up = from
		}
		k.moveEvents(to, as, from, name, there)
	default:
		there.up = nil
		there.held++
		if there.dir { // fsnotify_link_count(target) comes before MOVE_SELF
			last := k.emit[len(k.emit)-1]
			k.emit[len(k.emit)-1] = emit{node: there, mask: monitor.Attrib | monitor.IsDir}
			k.emit = append(k.emit, last)
		}
		k.emit = append(k.emit, emit{node: there, evict: true})
	}
}

func (k *kernel) moveEvents(from *inode, name string, to *inode, as string, n *inode) {
	k.cookie++
	k.emit = append(k.emit, emit{node: from, mask: monitor.MovedFrom | isDir(n), name: name, cookie: k.cookie, to: to, as: as})
	k.event(to, monitor.MovedTo|isDir(n), as, k.cookie)
	k.event(n, monitor.MoveSelf, "", 0)
}

// lookup resolves as the helper does: below the root, no link followed.
func (k *kernel) lookup(rel string) (*inode, uint16) {
	n := k.root
	if rel == "" {
		return n, 0
	}
	for _, name := range strings.Split(rel, "/") {
		if !n.dir {
			return nil, listing.ENOTDIR
		}
		if n = n.kids[name]; n == nil {
			return nil, listing.ENOENT
		}
	}
	return n, 0
}

// names in the order in which a listing shows them.
func (n *inode) names() []string {
	names := make([]string, 0, len(n.kids))
	for name := range n.kids {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// files in d and everywhere in the tree that is watched.
func (k *kernel) files(d *inode) (all []*inode) {
	for _, at := range append(k.root.dirs(nil), d) {
		for _, name := range at.names() {
			if !at.kids[name].dir {
				all = append(all, at.kids[name])
			}
		}
	}
	return all
}

// dirs below d, itself first, in a fixed order.
func (d *inode) dirs(all []*inode) []*inode {
	all = append(all, d)
	for _, name := range d.names() {
		if kid := d.kids[name]; kid.dir {
			all = kid.dirs(all)
		}
	}
	return all
}

// helper answers walks, each in four moments between which anything can happen:
// open, watch, list (in several reads), close.
type helper struct {
	k       *kernel
	next    func(int) int
	asked   []Walk
	now     *Walk
	at      *inode
	stage   int
	wd      int32
	when    uint64 // the directory's ctime, once it is watched
	status  uint16
	after   string // the last name read
	parts   [][]Entry
	answers []Listing
	flaky   int // one of so many walks fails; 0: none
	refuse  map[string]uint16
	asks    func(Walk) // is told of each; nil: nobody
}

func (h *helper) idle() bool { return len(h.asked) == 0 && h.now == nil }

func (h *helper) step() {
	if h.now == nil {
		if len(h.asked) == 0 {
			return
		}
		w := h.asked[0]
		h.asked = h.asked[1:]
		if h.asks != nil {
			h.asks(w)
		}
		h.now, h.stage, h.wd, h.status, h.after, h.parts = &w, 0, -1, 0, "", nil
	}
	h.stage++
	switch h.stage {
	case 1:
		h.open()
	case 2:
		if h.now.Watch {
			var ok bool
			if h.wd, ok = h.k.mark(h.at); !ok {
				h.status = listing.ENOSPC // it is listed all the same
			}
		}
		h.when = h.at.ctime()
	case 3:
		if h.list() {
			h.stage = 2 // there is more
		}
	case 4:
		h.answer()
	}
}

func (h *helper) open() {
	if h.flaky > 0 && h.next(h.flaky) == 0 {
		h.fail([]uint16{1024, listing.EIO, 13}[h.next(3)])
		return
	}
	n, status := h.k.lookup(h.now.Rel)
	if refused := h.refuse[h.now.Rel]; refused != 0 {
		status = refused
	}
	if status == 0 && !n.dir {
		status = listing.ENOTDIR
	}
	if status != 0 {
		h.fail(status)
		return
	}
	h.at = n
	n.held++
}

func (h *helper) fail(status uint16) {
	h.status, h.wd, h.parts = status, -1, nil
	h.answer()
}

// list reads up to three entries, and says whether there are more.
func (h *helper) list() bool {
	var part []Entry
	names := h.at.names()
	i, found := slices.BinarySearch(names, h.after)
	if found {
		i++
	}
	more := len(names)-i > 3
	for _, name := range names[i:min(i+3, len(names))] {
		n := h.at.kids[name]
		h.after = name
		kind := listing.KindFile
		if n.dir {
			kind = listing.KindDir
		}
		if n.dir || h.now.All || h.now.Since > 0 && n.ctime() >= clock.Least(h.now.Since) {
			e := Entry{Kind: kind, Ino: n.ino, Nlink: 1, Name: name}
			if !n.dir || h.now.All && !h.now.Watch {
				e.Ctime = n.ctime()
			}
			part = append(part, e)
		}
	}
	h.parts = append(h.parts, part)
	if h.flaky > 0 && h.next(4*h.flaky) == 0 {
		h.status = listing.EIO // one name could not be looked at, or it broke off
		return more && h.next(2) == 0
	}
	return more
}

// answer has the parts go out as ipc.DirPacker makes them: the last one alone says
// what went wrong.
func (h *helper) answer() {
	l := Listing{Serial: h.now.Serial, WD: h.wd}
	if h.now.Since > 0 {
		l.Ctime = h.when
	}
	if len(h.parts) == 0 {
		h.parts = [][]Entry{nil}
	}
	for i, part := range h.parts {
		if l.Entries, l.More = part, i < len(h.parts)-1; !l.More {
			l.Status = h.status
		}
		h.answers = append(h.answers, l)
	}
	if h.at != nil {
		h.k.release(h.at)
	}
	h.now, h.at = nil, nil
}
