package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"lockstep/handler"
	"lockstep/ipc"
	"lockstep/worker/queue"
)

// Telling says what a target's command is: one that brings it up to date itself,
// or a handler that is told what has happened.
type Telling uint8

// The ways. A handler with rsync's lists deletes below a directory when it is told
// so; the others are told what is there, and act on that.
const (
	TellNothing Telling = iota
	TellPaths
	TellRsync
	TellLines // as TellPaths; no name with a newline goes through
)

// tell notes what has happened to a path, for a handler. It has no JobPrune, and
// no rules that would protect what they match on the target: what is left out is
// not told, whatever it was before.
func (p *Plan) tell(e queue.Entry, w where, change queue.Change, entries []queue.Entry) {
	isDir := w.stat.Kind == ipc.KindDir
	if excluded := p.opt.Excluded; excluded != nil {
		file, dir := excluded(w.rel, false), excluded(w.rel, true)
		if w.missing && file && dir || !w.missing && (isDir && dir || !isDir && file) {
			return
		}
	}
	if p.opt.Tell == TellLines && strings.Contains(w.rel, "\n") {
		p.draft.skipped[w.rel] = true // the runner says so, and leaves it out
	}
	if w.missing {
		t := handler.Told{Path: w.rel, Mask: handler.MaskDelete}
		if w.rel != e.Rel || change&queue.Replaced != 0 {
			t.Mask |= handler.MaskDir
		}
		p.draft.tell(t, entries)
		return
	}
	switch w.stat.Kind {
	case ipc.KindSocket, ipc.KindChar, ipc.KindBlock:
		if !p.opt.Devices || w.stat.Kind == ipc.KindSocket {
			p.draft.skipped[w.rel] = true
			// What was at the name before is gone. Who has rsync's lists would copy it.
			if change&(queue.Name|queue.Replaced) != 0 && p.opt.Tell != TellRsync {
				p.draft.tell(handler.Told{Path: w.rel, Mask: handler.MaskDelete}, entries)
			}
			return
		}
	case ipc.KindFile:
		if p.opt.BigSize > 0 && w.stat.Size >= p.opt.BigSize {
			if len(entries) > 0 {
				p.draft.deferred = append(p.draft.deferred, e.Rel)
			}
			return
		}
	case ipc.KindNone, ipc.KindDir, ipc.KindLink, ipc.KindFIFO:
	}
	t := handler.Told{Path: w.rel, Mask: mask(change, isDir)}
	if change&queue.Replaced != 0 && p.opt.Tell == TellRsync {
		// All below is compared, and what is not there any more deleted: of what is
		// no directory now, all. Where something in a directory is left out, only a
		// whole pass knows what.
		t.Recursive = true
		p.draft.whole = p.draft.whole || isDir && (p.opt.Excluded != nil || len(p.opt.Mounts) > 0)
	}
	if change&queue.Replaced != 0 && change&queue.Name != 0 && p.opt.Tell != TellRsync {
		// What was there went first; all that is in it is told as well. Without Name it
		// is not: a directory that changes during a pass is Replaced too (track.attrib),
		// and a handler that took it for gone would have nothing to fill it with.
		t.Mask |= handler.MaskDelete
	}
	p.draft.tell(t, entries)
	p.share(w, change)
}

// share tells of all names of a file what is the file's own and not the name's.
func (p *Plan) share(w where, change queue.Change) {
	if w.stat.Nlink < 2 || w.stat.Kind == ipc.KindDir {
		return
	}
	for _, name := range p.idx.Names(w.stat.Ino) {
		if name == w.rel || tooLong(name) || p.inMount(name) || p.opt.Excluded != nil && p.opt.Excluded(name, false) {
			continue
		}
		o, v := p.top(name)
		if v == settled && o.rel == name && !o.missing && o.stat.Ino == w.stat.Ino && o.stat.Kind == w.stat.Kind {
			p.draft.tell(handler.Told{Path: name, Mask: mask(change&(queue.Content|queue.Attr)|queue.Attr, false)}, nil)
		}
	}
}

// mask is a change in the words of inotify(7), as a path that is there has it.
// What the kernel said in which order is not kept: other monitors do not say it.
func mask(change queue.Change, isDir bool) uint32 {
	var m uint32
	if change&queue.Name != 0 {
		m |= handler.MaskCreate
	}
	if change&queue.Content != 0 && !isDir {
		m |= handler.MaskWritten
	}
	if change&queue.Attr != 0 || m == 0 {
		m |= handler.MaskAttrib
	}
	if isDir {
		m |= handler.MaskDir
	}
	return m
}

// tell adds to what is told of a path.
func (d *draft) tell(t handler.Told, entries []queue.Entry) {
	one := d.told[t.Path]
	if one == nil {
		one = &tale{}
		d.told[t.Path] = one
	}
	one.Path = t.Path
	one.Mask |= t.Mask
	one.Recursive = one.Recursive || t.Recursive
	one.entries = append(one.entries, entries...)
}

// tale is what is told of one path.
type tale struct {
	handler.Told
	entries []queue.Entry
}

// toldJobs are the lists of what has happened, parents before children.
func (p *Plan) toldJobs() {
	d := &p.draft
	if len(d.root) > 0 {
		d.tell(handler.Told{Mask: handler.MaskAttrib | handler.MaskDir}, d.root)
	}
	job := Job{Kind: ipc.JobList}
	flush := func() {
		if len(job.List) > 0 {
			job.Entries = unique(job.Entries)
			d.jobs = append(d.jobs, job)
		}
		job = Job{Kind: ipc.JobList}
	}
	tales := slices.SortedFunc(maps.Values(d.told), func(a, b *tale) int { return cmp.Compare(a.Path, b.Path) })
	for _, t := range tales {
		if len(job.List)+handler.ToldCost(t.Path) > ipc.MaxList {
			flush()
		}
		job.List = handler.AppendTold(job.List, t.Told)
		job.Entries = append(job.Entries, t.entries...)
	}
	flush()
}
