package watch

import (
	"strings"
	"time"

	"lockstep/internal/escape"
	"lockstep/monitor"
	"lockstep/worker/behind"
	"lockstep/worker/below"
	"lockstep/worker/fresh"
	"lockstep/worker/halves"
	"lockstep/worker/listing"
	"lockstep/worker/tell"
	"lockstep/worker/tree"
)

// changes is what is known of names while events come in.
type changes struct {
	seq    uint64
	mounts map[string]bool
	left   halves.Waiting
	fresh  fresh.Dirs

	told    []string          // directories that were just told of
	doubted map[string]string // what is to be looked at, and why

	doubtedAt time.Time // since when, the first of it

	last   [2]string   // the last rename: from, to
	untold halves.Half // the last one whose first half was of a name that nobody has heard of
	landed string      // where the last one ended of whose first half nobody told
	behind behind.Behind
	limbo  bool // an event came from a directory that is between the halves of its rename
}

const exchanged = "renamed back, or exchanged"

func newChanges(mounts []string) changes {
	c := changes{mounts: map[string]bool{}, fresh: fresh.Dirs{}, doubted: map[string]string{}}
	for _, m := range mounts {
		c.mounts[m] = true
	}
	return c
}

// Event hears one event of the kernel's queue. It is told before the tracker
// applies it, because a path is right until then.
func (r *Root) Event(e monitor.Event) {
	t := r.track.Tree()
	id := t.ByWD(e.WD)
	rel, attached := t.Path(id)
	r.tracef("event wd=%d %v cookie=%d dir=%s name=%s", e.WD, e.Mask, e.Cookie, tell.Show(rel), escape.Bytes(e.Name))
	switch {
	case r.cfg.Follow && id == t.Root() && e.Mask.Has(monitor.MoveSelf):
		return
	case e.Mask.Has(monitor.Overflow): // the tracker says so
	case id == tree.None:
	case !attached:
		r.limbo = true
	case e.Mask.Has(monitor.Ignored):
		r.failed[rel] = true // mostly it is being deleted, as its parent's event will say
	case len(e.Name) == 0:
		if e.Mask.Has(monitor.Attrib) && (id == t.Root() || t.WD(t.Parent(id)) < 0) {
			r.change(tell.Event{Op: tell.Attrib, Kind: listing.KindDir, Rel: rel})
		}
	default:
		r.named(rel, string(e.Name), e)
	}
	r.track.Event(e, r.host.Now())
	r.relist()
}

// named hears an event about a name in a directory.
func (r *Root) named(dir, name string, e monitor.Event) {
	rel, kind := name, listing.KindNone
	if dir != "" {
		rel = dir + "/" + name
	}
	isDir := e.Mask.Has(monitor.IsDir)
	if isDir {
		kind = listing.KindDir
	}
	if excluded, _ := r.rules.Self(rel, isDir); excluded || isDir && r.mounts[rel] || r.fresh.Unheard(dir) {
		// A rename to a name that is not told of: it has left.
		if d, ok := r.left.Take(e.Cookie); ok && e.Mask.Has(monitor.MovedTo) {
			r.gone(d.Rel, d.Kind)
		}
		return
	}
	switch {
	case e.Mask.Has(monitor.Create):
		r.appeared(rel, kind, false)
	case e.Mask.Has(monitor.Delete):
		r.gone(rel, kind)
	case e.Mask.Has(monitor.MovedFrom):
		r.departed(rel, kind, e.Cookie)
	case e.Mask.Has(monitor.MovedTo):
		r.arrived(rel, kind, e.Cookie)
	case e.Mask.Has(monitor.Modify | monitor.CloseWrite):
		r.touched(tell.Modify, rel, kind)
	case e.Mask.Has(monitor.Attrib):
		r.touched(tell.Attrib, rel, kind)
	}
}

// change passes an event on. Before the root is ready nobody has heard of
// anything that it could be a change of.
func (r *Root) change(e tell.Event) {
	if !r.ready {
		return
	}
	if e.At = r.host.Now(); e.Seq == 0 {
		r.seq++
		e.Seq = r.seq
	}
	r.settle.Add(e)
}

// note counts a change by which another thing may be at a path.
func (r *Root) note(rel string, kind uint8) uint64 {
	r.seq++
	r.types.Changed(rel, kind == listing.KindDir, r.seq)
	return r.seq
}

// appeared: there is a new name, unless a listing was faster, or over another one.
func (r *Root) appeared(rel string, kind uint8, over bool) {
	r.replaced(rel)
	if !r.announce(rel, kind) && !(over && kind != listing.KindDir) {
		return // a listing may also have shown what this replaced
	}
	if kind == listing.KindDir {
		r.isNew(rel)
	}
	r.change(tell.Event{Op: tell.Create, Kind: kind, Rel: rel, Over: over, Seq: r.note(rel, kind)})
}

// gone: a name is no more.
func (r *Root) gone(rel string, kind uint8) {
	r.replaced(rel)
	known := r.types.Known(rel)
	seq := r.note(rel, kind)
	if kind == listing.KindDir {
		r.forgetBelow(rel)
	} else {
		kind = known
	}
	if r.fresh.Withdraw(rel) {
		r.change(tell.Event{Op: tell.Remove, Kind: kind, Rel: rel, Seq: seq})
	}
}

// departed: the first half of a rename. If no second one comes, it has left.
func (r *Root) departed(rel string, kind uint8, cookie uint32) {
	if r.arrivals != nil {
		r.hidden(r.behind.Left(rel, cookie, kind == listing.KindDir))
	}
	r.replaced(rel)
	if r.fresh.Silent(rel) {
		r.fresh.Withdraw(rel)
		r.untold = halves.Half{Cookie: cookie, Rel: rel} // nobody has heard of it
		return
	}
	if kind != listing.KindDir {
		kind = r.types.Known(rel)
	}
	if len(r.left) == halves.Most {
		r.alone(r.left.Oldest())
	}
	r.left = append(r.left, halves.Half{Cookie: cookie, Rel: rel, Kind: kind, At: r.host.Now(), Twice: rel == r.landed})
}

// arrived: the second half, or something from outside.
func (r *Root) arrived(rel string, kind uint8, cookie uint32) {
	d, paired := r.left.Take(cookie)
	if r.arrivals != nil {
		defer r.hidden(r.behind.Arrived(rel, cookie, kind == listing.KindDir))
	}
	if kind == listing.KindDir {
		defer func() {
			for _, at := range r.behind.Came(rel) {
				r.doubt(at, "it may have been told of before the rename that brought it was")
			}
		}()
	}
	if !paired {
		if cookie != 0 && cookie == r.untold.Cookie {
			defer r.swapped(r.untold.Rel, rel)
		}
		r.landed = rel
		r.appeared(rel, kind, true)
		return
	}
	defer r.swapped(d.Rel, rel)
	if below.Covers(r.doubted, d.Rel) {
		defer r.doubt(rel, "where it was before is in doubt")
	}
	r.replaced(rel)
	if !r.announce(rel, kind) { // a listing was faster, and has told of it as new
		if r.gone(d.Rel, d.Kind); kind != listing.KindDir {
			r.change(tell.Event{Op: tell.Create, Kind: kind, Rel: rel, Over: true, Seq: r.note(rel, kind)}) // or of what it replaced
		}
		return
	}
	if r.arrivals != nil {
		r.behind.Moved(rel, d.Rel)
	}
	r.fresh.Withdraw(d.Rel)
	r.note(d.Rel, kind)
	seq := r.note(rel, kind)
	r.types.Learn(rel, d.Kind)
	if kind == listing.KindDir {
		r.forgetBelow(rel)
		r.moveBelow(d.Rel, rel)
	}
	r.change(tell.Event{Op: tell.Move, Kind: d.Kind, Rel: rel, From: d.Rel, Seq: seq})
	if r.limbo && kind == listing.KindDir {
		r.limbo = len(r.left) > 0 // which of them it was is not known
		r.doubt(rel, "it was changed while it was renamed")
	}
}

// swapped has both places looked at if this rename undoes the last one, or the two
// have changed places: the events are the same.
func (r *Root) swapped(from, to string) {
	if r.last == [2]string{to, from} {
		r.doubt(to, exchanged)
		r.doubt(from, exchanged)
	}
	r.last = [2]string{from, to}
}

// hidden has looked at what may have been renamed once more than is told.
func (r *Root) hidden(places []string) {
	for _, rel := range places {
		r.doubt(rel, exchanged)
	}
}

// touched: what has a name has changed.
func (r *Root) touched(o tell.Op, rel string, kind uint8) {
	if r.fresh.Unknown(rel) {
		r.appeared(rel, kind, false) // it was there before its directory was watched
	}
	if kind != listing.KindDir {
		kind = r.types.Known(rel)
	}
	r.change(tell.Event{Op: o, Kind: kind, Rel: rel})
}

// alone is a first half without a second one: it has left. But if two names are
// exchanged, and of one nobody tells, then what came to this name came first, and
// is still there.
func (r *Root) alone(d halves.Half) {
	r.gone(d.Rel, d.Kind)
	if d.Twice {
		r.doubt(d.Rel, exchanged)
	}
}

// replaced ends the wait for second halves at a name that is used again, and
// below one that comes or goes.
func (r *Root) replaced(rel string) {
	for d, ok := r.left.TakeAt(rel); ok; d, ok = r.left.TakeAt(rel) {
		r.alone(d)
	}
}

// expire ends the wait for second halves that have not come in time.
func (r *Root) expire(now time.Time) {
	for r.left.Due(now) {
		r.alone(r.left.Oldest())
	}
}

// flush tells all that waits for something else to come.
func (r *Root) flush() {
	for len(r.left) > 0 {
		r.alone(r.left.Oldest())
	}
	r.settle.Flush()
}

// Path hears one event whose directory is told by its path. Several of one name
// may have become one: then they are told in the order in which they can have
// happened, and what is there decides about the last of them.
func (r *Root) Path(e monitor.PathEvent) {
	if e.Root != uint32(r.cfg.Root) && e.Root != 0 {
		return
	}
	rel := string(e.Dir)
	if r.cfg.Follow {
		e.Mask &^= monitor.MoveSelf // of the root, and of nothing else, it is told
	}
	r.tracef("event %v cookie=%d pid=%d dir=%s name=%s", e.Mask, e.Cookie, e.PID, tell.Show(rel), escape.Bytes(e.Name))
	switch {
	case e.Mask.Has(monitor.Overflow):
		if !r.follows { // else the tracker says so
			r.overflow++
			r.miss("overflow")
		}
	case r.leftOut(rel), r.arrivals != nil && !r.ready:
	case len(e.Name) > 0:
		if r.arrivals != nil {
			r.behind.Told(rel)
		}
		r.words(rel, string(e.Name), e)
	case e.Mask.Has(monitor.Changed) && r.poll != nil:
		if r.poll.Ask(rel) {
			return
		}
		// The tracker has it listed, and that is compared, or all of it is new.
	case e.Mask.Has(monitor.Changed):
		defer r.rescan(rel, unknown)
	case e.Mask.Has(monitor.Attrib) && rel == "":
		r.change(tell.Event{Op: tell.Attrib, Kind: listing.KindDir})
	case e.Mask.Has(monitor.Attrib):
		slash := strings.LastIndexByte(rel, '/')
		r.named(rel[:max(slash, 0)], rel[slash+1:], monitor.Event{Mask: monitor.Attrib | monitor.IsDir})
	}
	if r.follows || len(e.Name) == 0 && rel == "" && !e.Mask.Has(monitor.Overflow) {
		r.track.Path(e, r.host.Now())
	}
	r.relist()
}

const unknown = "the kernel does not tell what changed in it"

// words tells what an event says of a name, word by word.
func (r *Root) words(dir, name string, e monitor.PathEvent) {
	if r.poll != nil && e.Mask.Has(monitor.Modify) {
		// A comparison shows that it differs, and not how.
		if e.Mask.Has(monitor.Create) { // it may be another one of that name, of another type
			r.note(strings.TrimPrefix(dir+"/"+name, "/"), listing.KindNone)
		}
		e.Mask = monitor.Modify | e.Mask&monitor.IsDir
	}
	for _, word := range [...]monitor.Op{monitor.MovedTo, monitor.Create, monitor.Modify, monitor.CloseWrite, monitor.Attrib, monitor.Delete, monitor.MovedFrom} {
		if e.Mask.Has(word) {
			r.named(dir, name, monitor.Event{Mask: word | e.Mask&monitor.IsDir, Cookie: e.Cookie})
		}
	}
}

// leftOut says whether a directory is excluded or mounted, or below one that is:
// who hears of a whole file system hears of it all the same.
func (r *Root) leftOut(dir string) bool {
	if r.rules.Excluded(dir, true) {
		return true
	}
	for i := 0; i <= len(dir) && len(r.mounts) > 0; i++ {
		if (i == len(dir) || dir[i] == '/') && r.mounts[dir[:i]] {
			return true
		}
	}
	return false
}
