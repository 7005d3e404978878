package poll

import (
	"hash/maphash"
	"strings"
	"time"

	"lockstep/monitor"
	"lockstep/worker/listing"
)

// dir is one listing, in the order in which it came.
type dir struct {
	entries []entry
	names   []byte
	self    uint64 // the directory's own time, where it is told
	asked   time.Time
	late    []late
	round   uint64 // the last one that has it
}

// entry is one name: 24 bytes, and the name itself.
type entry struct {
	sum   uint64 // of what is compared
	ctime uint64
	at    uint32 // where the name is
	n     uint8
	kind  uint8
}

// late is an entry that may change once more without a sign: the clock of its file
// system had not gone on since its last change when it was looked at. It is told
// again when it has; without rounds, each time that the directory is said to have
// changed until then, since no listing may follow. So is one whose time is not
// between the two listings that differ: the clock is another machine's, and nobody
// knows how far it has gone on.
type late struct {
	name string
	due  time.Time
}

// What a clock's tick may last: the kernel's 10 ms at most; where a time is of
// whole seconds, two (FAT).
const (
	tick       = 50 * time.Millisecond
	coarseTick = 2500 * time.Millisecond
)

func tickOf(ctime uint64) time.Duration {
	if ctime%uint64(time.Second) == 0 {
		return coarseTick
	}
	return tick
}

func (d *dir) reset() { d.entries, d.names = d.entries[:0], d.names[:0] }

func (d *dir) add(p *Poller, entries []listing.Entry) {
	for i := range entries {
		e := &entries[i]
		d.entries = append(d.entries, entry{
			sum: p.sum(e), ctime: e.Ctime, at: uint32(len(d.names)), n: uint8(len(e.Name)), kind: e.Kind,
		})
		d.names = append(d.names, e.Name...)
	}
}

// sum is what differs when an entry has changed. A directory's size is the file
// system's affair.
func (p *Poller) sum(e *listing.Entry) uint64 {
	same := [4]uint64{e.Ctime, e.Stamp}
	if e.Kind != listing.KindDir {
		same[2] = e.Size
	}
	if p.cfg.Inodes {
		same[3] = e.Ino
	}
	return maphash.Comparable(p.seed, same)
}

func (d *dir) name(e *entry) []byte { return d.names[e.at:][:e.n] }

// remove takes a directory out of the listing, if it has one of that name.
func (d *dir) remove(name string) bool {
	for i := range d.entries {
		if e := &d.entries[i]; e.kind == listing.KindDir && string(d.name(e)) == name {
			d.entries = append(d.entries[:i], d.entries[i+1:]...)
			return true
		}
	}
	return false
}

// same says whether two listings are: in the same order, as they mostly are.
func (d *dir) same(o *dir) bool {
	if len(d.entries) != len(o.entries) || len(d.names) != len(o.names) || string(d.names) != string(o.names) {
		return false
	}
	for i := range d.entries {
		if d.entries[i] != o.entries[i] {
			return false
		}
	}
	return true
}

// compare tells what is different since the last listing, and keeps this one.
func (p *Poller) compare(rel string, self uint64, asked time.Time) {
	before, now := p.dirs[rel], &p.arrived
	if before != nil && before.same(now) {
		p.again(rel, before, asked)
		p.own(rel, before, before, self)
		before.asked, before.round = asked, p.number
		return
	}
	kept := &dir{
		entries: append([]entry(nil), now.entries...), names: append([]byte(nil), now.names...),
		self: self, asked: asked, round: p.number,
	}
	p.dirs[rel] = kept
	if before == nil {
		for i := range kept.entries {
			e := &kept.entries[i]
			p.doubt(kept, string(kept.name(e)), e.ctime, time.Time{})
		}
		if p.Self(rel) {
			p.doubt(kept, "", self, time.Time{})
		}
		return
	}
	p.again(rel, before, asked)
	kept.late = before.late
	p.own(rel, before, kept, self)
	p.differ(rel, before, kept)
}

// own tells of the directory's own time: of the root, which no other directory
// lists. Not every listing tells it.
func (p *Poller) own(rel string, before, now *dir, self uint64) {
	if !p.Self(rel) || self == 0 {
		now.self = before.self
		return
	}
	if self != before.self {
		p.emit(rel, "", monitor.Attrib|monitor.IsDir)
		p.doubt(now, "", self, before.asked)
	}
	now.self = self
}

// differ tells of each name that differs.
func (p *Poller) differ(rel string, before, now *dir) {
	old := make(map[string]*entry, len(before.entries))
	for i := range before.entries {
		old[string(before.name(&before.entries[i]))] = &before.entries[i]
	}
	for i := range now.entries {
		e := &now.entries[i]
		name := now.name(e)
		was := old[string(name)]
		delete(old, string(name))
		if was != nil && was.sum == e.sum && was.kind == e.kind {
			continue
		}
		p.doubt(now, string(name), e.ctime, before.asked)
		if was != nil && (was.kind == listing.KindDir) != (e.kind == listing.KindDir) {
			p.emit(rel, string(name), monitor.Delete|isDir(was))
			was = nil
		}
		switch {
		case was == nil:
			p.emit(rel, string(name), monitor.Create|isDir(e))
		case e.kind == listing.KindDir:
			p.emit(rel, string(name), monitor.Attrib|monitor.IsDir)
		default: // it may be another file of that name
			p.emit(rel, string(name), monitor.Create|monitor.Modify|monitor.Attrib)
		}
	}
	for i := range before.entries { // in their order: what comes of a tree is the same each time
		e := &before.entries[i]
		if name := string(before.name(e)); old[name] == e {
			if e.kind == listing.KindDir { // that it cannot be listed is no news
				p.Drop(strings.TrimPrefix(rel+"/"+name, "/"))
			}
			p.emit(rel, name, monitor.Delete|isDir(e))
		}
	}
}

func isDir(e *entry) monitor.Op {
	if e.kind == listing.KindDir {
		return monitor.IsDir
	}
	return 0
}

// doubt notes a name of d (none: d itself) that has changed since the listing
// before, which was asked for then, if it is late. (Without rounds, too: somebody
// tells of the next change, but its listing may look the same.)
func (p *Poller) doubt(d *dir, name string, ctime uint64, before time.Time) {
	slack := tickOf(ctime)
	latest := uint64(max(d.asked.Add(-slack).UnixNano(), 0))
	earliest := uint64(0)
	if !before.IsZero() {
		earliest = uint64(max(before.Add(-slack).UnixNano(), 0))
	}
	if ctime < earliest || ctime > latest {
		due := d.asked.Add(slack)
		d.late = append(d.late, late{name, due})
		if due.After(p.late) {
			p.late = due
		}
	}
}

// again tells once more of what was late and is so no longer. Whether it is still
// there the event's taker finds out.
func (p *Poller) again(rel string, d *dir, asked time.Time) {
	if len(d.late) == 0 {
		return
	}
	due, left := map[string]bool{}, d.late[:0]
	for _, l := range d.late {
		early := asked.Before(l.due)
		if early {
			left = append(left, l)
		}
		if !early || p.cfg.Every == 0 {
			due[l.name] = true
		}
	}
	if d.late = left; len(left) == 0 {
		d.late = nil
	}
	if due[""] {
		p.emit(rel, "", monitor.Attrib|monitor.IsDir)
	}
	for i := range p.arrived.entries {
		e := &p.arrived.entries[i]
		if name := p.arrived.name(e); due[string(name)] {
			delete(due, string(name))
			p.emit(rel, string(name), map[bool]monitor.Op{false: monitor.Modify | monitor.Attrib, true: monitor.Attrib | monitor.IsDir}[e.kind == listing.KindDir])
		}
	}
}
