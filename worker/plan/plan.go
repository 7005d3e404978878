// Package plan turns a batch of changed paths into commands: it asks what the
// paths are now and makes the canonical lists that rsync needs to be right.
//
// Trust: runs in the worker. Paths and stats are hostile.
// Imports: the standard library, ipc's types, rsync's filter syntax, the lists of
// handlers, and the queue and links packages. It makes no call: the loop stats what Need names.
//
// Invariants of a list: of a tree that is gone only its topmost missing path is
// listed (a path below a missing one makes rsync exit with 24, below a
// non-directory with 23, each time anew); nothing is listed below a link or
// another non-directory (rsync would follow it); a deletion brings its parent's
// attributes along; all names of a file with several links are in one list,
// which is no ipc.JobWide; sockets are never listed, devices only if they are copied; what is
// excluded is never listed; parents come before children. A list for a handler
// tells what happened as well (told.go), and is no command of rsync's.
package plan

import (
	"maps"
	"slices"
	"strings"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/worker/links"
	"lockstep/worker/queue"
)

// Options are a target's.
type Options struct {
	Devices bool   // devices are copied; sockets never are
	BigSize uint64 // bytes from which a file goes to the lane of big files; 0: none does
	// Excluded answers for a path itself and all above it. Nil: nothing is.
	Excluded func(rel string, isDir bool) bool
	// InexactExcludes: there are patterns that rsync was not given, so that a
	// prune could delete what they protect on the target.
	InexactExcludes bool
	// Keep: what the source lacks stays on the target. There are no prunes then,
	// so that names of one link, FIFO or device that were split here keep sharing
	// one there; and no list names what is missing.
	Keep bool
	// Wide is from how many paths on a list without groups is an ipc.JobWide: a
	// second command costs more than it saves below; 0: none is.
	Wide   int
	Mounts []string // mounts inside the root: never listed, protected on the target
	Tell   Telling
	// Unknown are the paths that rsync cannot read, with all below: one of them, and
	// it deletes nothing at all. So each prune leaves them out, as a whole pass does.
	// Nil: there are none. It is asked only for a prune.
	Unknown func() []string
}

// Job is one command.
type Job struct {
	Kind ipc.JobKind
	List []byte // or rules
	// Entries need this job; one of them is done when all jobs that name it
	// have ended with success.
	Entries []queue.Entry
}

// Plan is made of one batch, step by step: stat what Need names and Feed it,
// until Need names nothing.
type Plan struct {
	entries []queue.Entry
	opt     Options
	idx     *links.Index
	mounts  map[string]bool

	stats map[string]ipc.PathStat
	nlink map[uint64]uint32 // by the last stat
	gone  []string          // names of known inodes that are no longer there
	lost  map[uint64]bool   // inodes that are not searched for any more
	draft draft             // by the stats so far
}

// New begins a plan. idx is kept up to date by Feed. The entries must not hold
// a path twice.
func New(entries []queue.Entry, opt Options, idx *links.Index) *Plan {
	p := &Plan{
		entries: entries, opt: opt, idx: idx,
		mounts: make(map[string]bool, len(opt.Mounts)),
		stats:  make(map[string]ipc.PathStat, len(entries)),
		nlink:  map[uint64]uint32{},
	}
	for _, m := range opt.Mounts {
		p.mounts[m] = true
	}
	return p
}

// Extend has the plan be for these entries, of which fresh are new or have changed
// again: they are to be stat'ed, and what was missing or failed once more. What else
// was fed stands: had it changed, it would be fresh, or its event is still to come.
func (p *Plan) Extend(entries []queue.Entry, fresh []string) {
	p.entries = entries
	maps.DeleteFunc(p.stats, func(_ string, s ipc.PathStat) bool { return s.Status != ipc.OK })
	for _, rel := range fresh {
		delete(p.stats, rel)
	}
}

// Need names the paths to stat next, sorted. It is empty once the plan is made.
func (p *Plan) Need() []string {
	p.build()
	return slices.Sorted(maps.Keys(p.draft.unknown))
}

// Feed says what rel is. A stat that was refused or timed out is fed too.
func (p *Plan) Feed(rel string, s ipc.PathStat) {
	p.stats[rel] = s
	known := p.idx.Ino(rel)
	if s.Status != ipc.OK {
		if absent(s.Status) && known != 0 {
			p.idx.Forget(rel)
			p.gone = append(p.gone, rel)
		}
		return
	}
	if s.Kind == ipc.KindDir || s.Nlink < 2 {
		p.idx.Forget(rel)
		return
	}
	p.idx.Set(rel, s.Ino, s.Nlink)
	if s.Kind != ipc.KindFile {
		p.idx.Share(rel, s.Ino)
	}
	p.nlink[s.Ino] = s.Nlink
}

// Search names the inodes of which names are unknown. The loop then lists the
// whole root once, sets what it finds in the index, calls Searched for each of
// these, and plans anew. Jobs is nil until then.
func (p *Plan) Search() []uint64 { return slices.Sorted(maps.Keys(p.draft.search)) }

// GiveUp plans without what is still to be searched for: its entries are Failed.
func (p *Plan) GiveUp() {
	if len(p.draft.search) == 0 {
		return
	}
	p.lost = p.draft.search
	p.build()
}

// Nlink is the number of links an inode of Search has.
func (p *Plan) Nlink(ino uint64) uint32 { return p.nlink[ino] }

// Whole says that no exact commands can be made and a whole pass is needed
// instead. Jobs is nil then.
func (p *Plan) Whole() bool { return p.draft.whole }

// Jobs are the commands, to be run one after the other in this order: first
// what must be deleted to be made anew (see split), after the directories that
// hold it; then the lists, in which rsync deletes before it copies; then the other
// prunes, for which the lists have made the way; then what only has new attributes.
// Once a list has not gone through, no prune may be run.
func (p *Plan) Jobs() []Job { return p.draft.jobs }

// Withhold takes out of the jobs that are left those that a list has to have gone
// before (see Jobs).
func Withhold(jobs []Job) (rest, held []Job) {
	for _, j := range jobs {
		if j.Kind == ipc.JobPrune {
			held = append(held, j)
		} else {
			rest = append(rest, j)
		}
	}
	return rest, held
}

// Deferred are the batch's paths that belong to the lane of big files.
func (p *Plan) Deferred() []string { return p.draft.deferred }

// Failed are the entries whose stat failed for another reason than absence.
// No job names them.
func (p *Plan) Failed() []queue.Entry { return p.draft.failed }

// Skipped are sockets and devices that are not copied, and paths on other
// file systems.
func (p *Plan) Skipped() []string { return slices.Sorted(maps.Keys(p.draft.skipped)) }

// TooLong are the paths that rsync cannot name.
func (p *Plan) TooLong() []string { return p.draft.tooLong }

// Failing is the union, without duplicates, of the entries of jobs that failed
// and of more: what is to be queued again.
func Failing(failed []Job, more []queue.Entry) []queue.Entry {
	var out []queue.Entry
	seen := map[string]bool{}
	add := func(entries []queue.Entry) {
		for _, e := range entries {
			if !seen[e.Rel] {
				seen[e.Rel] = true
				out = append(out, e)
			}
		}
	}
	for _, j := range failed {
		add(j.Entries)
	}
	add(more)
	return out
}

// Errnos of a stat that tell what is there (errno(3); the numbers are Linux's
// on amd64 and arm64).
const (
	enoent       ipc.Status = 2
	exdev        ipc.Status = 18
	enotdir      ipc.Status = 20
	enametoolong ipc.Status = 36
	eloop        ipc.Status = 40
)

func absent(s ipc.Status) bool { return s == enoent || s == enotdir || s == eloop }

const maxName = 255 // NAME_MAX

func tooLong(rel string) bool {
	if len(rel) > rsync.MaxRel {
		return true
	}
	for name := range strings.SplitSeq(rel, "/") {
		if len(name) > maxName {
			return true
		}
	}
	return false
}

// parent of rel; of a name in the root it is "".
func parent(rel string) string { return rel[:max(0, strings.LastIndexByte(rel, '/'))] }

// above lists the directories that hold rel, from the top, the root left out.
func above(rel string) []string {
	var out []string
	for i := range len(rel) {
		if rel[i] == '/' {
			out = append(out, rel[:i])
		}
	}
	return out
}
