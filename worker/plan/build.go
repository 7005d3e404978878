package plan

import (
	"slices"
	"strings"

	"lockstep/ipc"
	"lockstep/worker/queue"
)

// draft is what the stats so far amount to; each Need makes it afresh.
type draft struct {
	unknown map[string]bool // to stat
	search  map[uint64]bool
	whole   bool

	root     []queue.Entry // of the root itself
	ops      map[string]*op
	groups   map[uint64]*group
	told     map[string]*tale
	clears   map[string]*prune // run before the lists
	prunes   map[string]*prune // run after them
	deferred []string
	failed   []queue.Entry
	skipped  map[string]bool
	tooLong  []string
	jobs     []Job
}

// op is a path to be listed.
type op struct {
	rel     string
	force   bool // its content is copied whatever size and time say
	dir     bool // a directory, listed for its attributes
	entries []queue.Entry
}

// group is a file with several links.
type group struct {
	ino     uint64
	force   bool
	names   []string // sorted
	entries []queue.Entry
}

// prune is a path below which, or at which, the target may hold what the
// source lacks.
type prune struct {
	rel     string
	tree    bool // a directory that stays: what it lacks is deleted
	hide    bool // what the source has there is to be treated as missing
	asFile  bool // delete it when it is no directory there
	asDir   bool // delete it when it is one
	entries []queue.Entry
}

// where is what an entry comes down to.
type where struct {
	rel     string // the path to act on: the entry's or one above it
	missing bool
	stat    ipc.PathStat
}

type verdict uint8

const (
	settled verdict = iota
	unknown         // stats are to come
	failing         // a stat failed, or they contradict each other
	foreign         // on another file system
	unnamed         // too long a path
)

func (p *Plan) build() {
	p.draft = draft{
		unknown: map[string]bool{}, search: map[uint64]bool{},
		ops: map[string]*op{}, groups: map[uint64]*group{}, told: map[string]*tale{},
		clears: map[string]*prune{}, prunes: map[string]*prune{},
		skipped: map[string]bool{},
	}
	for i := range p.entries {
		p.place(p.entries[i], true)
	}
	for _, rel := range p.gone {
		p.place(queue.Entry{Rel: rel, Change: queue.Name}, false)
	}
	for _, g := range p.draft.groups {
		p.complete(g)
	}
	if len(p.draft.unknown) > 0 {
		p.draft.search = map[uint64]bool{} // not before all is known
		return
	}
	p.pack()
}

// maxDirs is how many directories a path in a list may have above it: rsync 3.5.0 takes
// no more than 64 where it confines a list to the source (--confine-root).
const maxDirs = 60

func tooDeep(rel string) bool { return strings.Count(rel, "/") > maxDirs }

// place decides what one entry needs. own says that it is the batch's: else it
// is a name that went along, and nobody waits for it.
func (p *Plan) place(e queue.Entry, own bool) {
	d := &p.draft
	var entries []queue.Entry
	if own {
		entries = []queue.Entry{e}
	}
	switch {
	case e.Rel == "":
		d.root = entries
		d.whole = d.whole || e.Change&queue.Replaced != 0
		return
	case tooLong(e.Rel):
		d.tooLong = append(d.tooLong, e.Rel)
		return
	case p.inMount(e.Rel), p.opt.Excluded != nil && p.opt.Excluded(e.Rel, false) && p.opt.Excluded(e.Rel, true):
		return
	}
	w, v := p.top(e.Rel)
	switch v {
	case unknown:
		return
	case failing:
		d.failed = append(d.failed, entries...)
		return
	case foreign:
		d.skipped[e.Rel] = true
		return
	case unnamed:
		d.tooLong = append(d.tooLong, e.Rel)
		return
	case settled:
	}
	change := e.Change
	if w.rel != e.Rel {
		// Not Name: whether another thing stood there is for its own entry
		// to say, and after a whole pass nobody need ask again.
		change = change&^queue.Replaced | queue.Content
	}
	switch {
	case p.opt.Tell != TellNothing:
		p.tell(e, w, change, entries)
	case tooDeep(w.rel):
		d.whole = true
	case p.excluded(w, change, entries):
	case w.missing:
		p.absent(e, w, change, entries)
	default:
		p.present(e, w, change, entries)
	}
}

// absent places what is gone. A list deletes a directory with all that is in
// it; where the rules may protect something below it, rsync must apply them, so
// that what was a directory goes by a prune.
func (p *Plan) absent(e queue.Entry, w where, change queue.Change, entries []queue.Entry) {
	d := &p.draft
	if p.opt.Keep {
		if dir := parent(w.rel); dir != "" {
			d.list(dir, queue.Attr, entries)
		}
		return
	}
	// Without Name it comes out of a whole pass, which forgets what it was.
	wasDir := w.rel != e.Rel || change&queue.Replaced != 0 || change&queue.Name == 0
	if wasDir && p.opt.Excluded != nil {
		pr := addPrune(d.prunes, w.rel, entries)
		pr.asFile, pr.asDir = true, true
		return
	}
	d.list(w.rel, change|queue.Name, entries)
	if dir := parent(w.rel); dir != "" {
		d.list(dir, change|queue.Name, nil) // the root's attributes come with anything
	}
}

// present places what is there.
func (p *Plan) present(e queue.Entry, w where, change queue.Change, entries []queue.Entry) {
	d := &p.draft
	switch w.stat.Kind {
	case ipc.KindDir:
		d.list(w.rel, change, entries)
		d.ops[w.rel].dir = true
		if change&queue.Replaced != 0 && !p.opt.Keep {
			d.whole = d.whole || p.opt.InexactExcludes
			pr := addPrune(d.prunes, w.rel, entries)
			pr.tree = true
		}
		return
	case ipc.KindSocket, ipc.KindChar, ipc.KindBlock:
		if p.opt.Devices && w.stat.Kind != ipc.KindSocket {
			break
		}
		d.skipped[w.rel] = true
		if change&(queue.Name|queue.Replaced) != 0 && !p.opt.Keep {
			pr := addPrune(d.prunes, w.rel, entries)
			pr.hide, pr.asFile, pr.asDir = true, true, true
		}
		return
	case ipc.KindFile:
		if p.opt.BigSize > 0 && w.stat.Size >= p.opt.BigSize {
			if len(entries) > 0 {
				d.deferred = append(d.deferred, e.Rel)
			}
			return
		}
	case ipc.KindNone, ipc.KindLink, ipc.KindFIFO:
	}
	p.split(w, change, entries)
	if w.stat.Nlink < 2 {
		d.list(w.rel, change, entries)
		return
	}
	g := d.groups[w.stat.Ino]
	if g == nil {
		g = &group{ino: w.stat.Ino}
		d.groups[w.stat.Ino] = g
	}
	g.force = g.force || forced(change)
	g.entries = append(g.entries, entries...)
}

// split has the target delete a name that may share an inode there with names
// it no longer shares one with here: the list then makes it anew.
func (p *Plan) split(w where, change queue.Change, entries []queue.Entry) {
	if w.stat.Kind == ipc.KindFile || !forced(change) || p.opt.Keep {
		return
	}
	if !p.idx.Shared(w.rel) {
		return
	}
	pr := addPrune(p.draft.clears, w.rel, entries)
	pr.hide, pr.asFile, pr.asDir = true, true, true
	if dir := parent(w.rel); dir != "" {
		p.draft.list(dir, queue.Attr, entries) // the deletion changes its time
	}
}

// top finds the topmost path at or above rel that is missing or is no
// directory; when all above rel are directories it is rel itself. What the
// stats know of the paths above goes before what rel's own said: they may have
// been taken at different times, and a list must fit in itself.
func (p *Plan) top(rel string) (where, verdict) {
	own, ok := p.stats[rel]
	if !ok {
		p.draft.unknown[rel] = true
		return where{}, unknown
	}
	dirs := above(rel)
	if absent(own.Status) {
		wait := false
		for _, dir := range dirs {
			if _, ok := p.stats[dir]; !ok {
				p.draft.unknown[dir] = true
				wait = true
			}
		}
		if wait {
			return where{}, unknown
		}
	}
	for _, dir := range dirs {
		s, ok := p.stats[dir]
		if !ok || s.Status == ipc.OK && s.Kind == ipc.KindDir {
			continue
		}
		return is(dir, s)
	}
	return is(rel, own)
}

// is reads one stat, of a path above which all are directories.
func is(rel string, s ipc.PathStat) (where, verdict) {
	switch s.Status {
	case ipc.OK:
		return where{rel: rel, stat: s}, settled
	case enoent:
		return where{rel: rel, missing: true}, settled
	case exdev:
		return where{}, foreign
	case enametoolong:
		return where{}, unnamed
	}
	// ENOTDIR and ELOOP too: something changed between two stats.
	return where{}, failing
}

// excluded drops what the rules leave out. Patterns with a trailing slash mean
// directories alone, so a name may have been excluded as one thing and copied
// as another: what was copied is then deleted from the target by a prune, in
// which rsync has the same patterns and protects the rest.
func (p *Plan) excluded(w where, change queue.Change, entries []queue.Entry) bool {
	if p.opt.Excluded == nil {
		return false
	}
	d := &p.draft
	file, dir := p.opt.Excluded(w.rel, false), p.opt.Excluded(w.rel, true)
	if file == dir {
		return file
	}
	isDir := w.stat.Kind == ipc.KindDir
	if !w.missing && (isDir && !dir || !isDir && !file) {
		return false // it is there and to be copied
	}
	if change&(queue.Name|queue.Replaced) == 0 || p.opt.Keep {
		return true
	}
	d.whole = d.whole || p.opt.InexactExcludes
	pr := addPrune(d.prunes, w.rel, entries)
	pr.hide = !w.missing
	pr.asFile, pr.asDir = !file, !dir
	return true
}

// complete gives a group all its names, or says what is not known of them.
func (p *Plan) complete(g *group) {
	d := &p.draft
	for _, name := range p.idx.Names(g.ino) {
		if tooLong(name) || p.inMount(name) || p.opt.Excluded != nil && p.opt.Excluded(name, false) {
			continue
		}
		w, v := p.top(name)
		if v == settled && w.rel == name && !w.missing && w.stat.Ino == g.ino && w.stat.Kind != ipc.KindDir {
			g.names = append(g.names, name)
			d.whole = d.whole || tooDeep(name)
		}
	}
	if !p.idx.Complete(g.ino, p.nlink[g.ino]) {
		if p.lost[g.ino] {
			g.names = nil // which has its entries fail
			return
		}
		d.search[g.ino] = true
	}
	slices.Sort(g.names)
}

func (p *Plan) inMount(rel string) bool {
	if len(p.mounts) == 0 {
		return false
	}
	return p.mounts[rel] || slices.ContainsFunc(above(rel), func(dir string) bool { return p.mounts[dir] })
}

// list notes a path to be listed. Only attributes are sent of one whose change
// is nothing else.
func (d *draft) list(rel string, change queue.Change, entries []queue.Entry) {
	o := d.ops[rel]
	if o == nil {
		o = &op{rel: rel}
		d.ops[rel] = o
	}
	o.force = o.force || forced(change)
	o.entries = append(o.entries, entries...)
}

func addPrune(to map[string]*prune, rel string, entries []queue.Entry) *prune {
	pr := to[rel]
	if pr == nil {
		pr = &prune{rel: rel}
		to[rel] = pr
	}
	pr.entries = append(pr.entries, entries...)
	return pr
}

func forced(c queue.Change) bool { return c&^queue.Attr != 0 }
