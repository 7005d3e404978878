// Package track follows one root: it turns the kernel's events and the helper's
// listings into a tree that is true, marks for what must be synchronised, and
// requests for directories to watch and list.
//
// Trust: part of the worker. Names, and the order in which things happen, are
// chosen by whoever can write in the root.
// Imports: the standard library, monitor, worker/clock, worker/count, worker/doubt,
// worker/fifo, worker/intern, worker/listing, worker/stray, worker/terms and worker/tree only. Pure: time is an argument.
//
// Why it holds. The kernel queues the events of all watches in one order, so a
// watch descriptor's node has the right path for an event if it had when the
// event before it was applied. Three things can spoil that: a node was never
// right, because the answer that named its descriptor was older or newer than
// the events applied so far; events were lost; a rename's halves were far
// apart. Each has its remedy:
//
//   - An answer is used only when no event has touched the place it is about,
//     or a place above it, since it was asked for (see freshness in walks.go).
//     Else the place is walked again.
//   - An answer may be newer than the events applied. It was true at its moment;
//     the events that led there are still in the queue, and each of them leads
//     to a walk of the place it names, which is newer still.
//   - Events of a descriptor that no node has are not applied. If an answer that
//     was under way by then brings that descriptor, what it lists may be older
//     than those events, and the directory is walked once more. If none was
//     under way, the descriptor belongs to a directory that is not in the tree:
//     either no longer, or a walk asked for later will list it as it is then.
//   - Events of a subtree in limbo are not applied: when it comes back, all of
//     it is walked.
//   - After an overflow every directory is walked again, and the target is
//     compared as a whole.
//
// Invariants: a directory has one walk under way at most; the number of walks
// handed out is bounded; every path whose state on the target may be wrong is
// marked after the watch that would show a later change is in place.
package track

import (
	"cmp"
	"time"

	"lockstep/worker/clock"
	"lockstep/worker/count"
	"lockstep/worker/doubt"
	"lockstep/worker/fifo"
	"lockstep/worker/intern"
	"lockstep/worker/listing"
	"lockstep/worker/stray"
	"lockstep/worker/terms"
	"lockstep/worker/tree"
)

// What of a path may differ (terms.Change).
const Attr, Content, Name, Replaced = terms.Attr, terms.Content, terms.Name, terms.Replaced

// maxRel is the longest path that the kernel takes: PATH_MAX with its NUL.
const maxRel = 4095

// What is asked for, what is answered, and what comes of it.
type (
	Entry   = listing.Entry
	Walk    = listing.Walk
	Listing = listing.Part
	Change  = terms.Change
	Sink    = terms.Sink
	Config  = terms.Config
)

// Counters are a Tracker's account of itself.
type Counters = count.Counters

// Tracker follows one root. Not safe for concurrent use.
type Tracker struct {
	cfg            Config
	sink           Sink
	tree           *tree.Tree
	mounts         map[string]bool
	all            uint16 // wantAll, if every entry is to be listed
	recent, unsure uint64 // until the walk of all that is under way has ended
	heard          clock.Heard
	now            time.Time
	count          Counters

	// Walks (walks.go).
	serial  uint64
	stamp   uint32 // counts changes of places
	out     map[uint64]*walk
	queue   fifo.Queue[tree.ID]
	early   stray.Marks // descriptors of events that found no node
	removed stray.Marks // descriptors that are no more
	flips   map[int32]int
	pending int // verifying walks queued or under way
	seeing  int // walks that report Seen, queued or under way
	kids    []tree.ID

	// Places (places.go).
	orphans stray.Orphans
	doubts  doubt.Memory
	marked  time.Time // of the last Path that is not acknowledged; zero: there is none
	last    cached
	names   intern.Paths
	buf     []byte // for a path that may be known as a string
}

// New returns a Tracker that knows nothing yet: see Start.
func New(cfg Config, sink Sink) *Tracker {
	cfg.PairWait, cfg.MaxWalks = cmp.Or(cfg.PairWait, 500*time.Millisecond), cmp.Or(cfg.MaxWalks, 4096)
	t := &Tracker{
		cfg: cfg, sink: sink, tree: tree.New(), mounts: map[string]bool{},
		out: map[uint64]*walk{}, flips: map[int32]int{}, names: intern.Paths{},
	}
	for _, rel := range cfg.Mounts {
		t.mounts[rel] = true
	}
	return t
}

// Start begins the initial walk. Nothing it finds is marked dirty: a whole pass
// is due once it has ended. all lists every entry (when something is excluded),
// else what Walk.All says.
//
// With since (a time, in nanoseconds since 1970; else 0) the pass may begin beside
// the walk, at that time or later: it may look at a directory before that is
// watched. Whatever changed in between has changed its status (ctime: inode(7))
// at since or later, when it is listed: that is marked. A name that vanished, or
// a directory that was moved, has changed its directory.
func (t *Tracker) Start(all bool, since uint64) {
	if t.recent, t.unsure = since, t.cfg.Unsure; all {
		t.all = wantAll
	}
	t.doubts.Due()
	t.request(t.tree.Root(), t.all|wantSeen)
	t.finish()
}

// Since has the initial walk tell, in the listings that are asked for from now on,
// what has changed since a time, as Start does from its beginning on. It returns the
// serial number of the last one that does not.
func (t *Tracker) Since(since uint64) (before uint64) { t.recent = since; return t.serial }

// Heard tells that every event of what changed before a time has been applied. When
// events are lost, the content of files that have changed since is marked: it may be
// other content of the same size and time, of which a whole pass sees nothing. Without
// it none is marked.
func (t *Tracker) Heard(until time.Time) { t.heard = clock.Heard(until) }

// Verify has every directory listed again, reports Seen for what is there, and
// counts and mends every difference, both ways. Counters.Verified goes up when
// it has ended. Changes that happen meanwhile may be counted as differences.
func (t *Tracker) Verify() {
	t.count.Verifying, t.count.Stale, t.count.Missing = true, 0, 0
	t.request(t.tree.Root(), t.all|wantSeen|wantDeep|wantVerify)
	t.finish()
}

// Retry walks again every directory that could not be listed. Not those that are
// listed without a watch: all that is in them would be marked again each time.
func (t *Tracker) Retry() { t.redo(isFailed, t.count.Failed) }

// Rewatch walks again every directory that has no watch. A verification tries them, too.
func (t *Tracker) Rewatch() { t.redo(isUnwatched, t.count.Unwatched) }

func (t *Tracker) redo(state uint16, count uint64) {
	for _, id := range t.tree.Marked(state, count) {
		t.request(id, wantDirty|wantDeep|wantPrune)
	}
	t.finish()
}

// Failing are the paths of the directories that cannot be listed now.
func (t *Tracker) Failing() []string { return t.paths(isFailed, t.count.Failed) }

// TooLong are those of the directories that cannot be named now.
func (t *Tracker) TooLong() []string { return t.paths(isTooLong, t.count.TooLong) }

func (t *Tracker) paths(state uint16, count uint64) (rels []string) {
	for _, id := range t.tree.Marked(state, count) {
		rel, _ := t.tree.Path(id)
		rels = append(rels, rel)
	}
	return rels
}

// Pass tells that a whole pass over one target begins (true), and (false) that
// one has ended and that the event queue has since been read until it was empty.
// Several targets may be in their passes at once. Meanwhile a pass may copy, from
// a directory that is not watched yet, what is gone before the watch is in place:
// such directories are told by Suspect then. From Start and from Rescan on it is
// the same until a pass that they call for has been told of.
func (t *Tracker) Pass(running bool) { t.doubts.Pass(running) }

// Acknowledged tells that every target is settled after a time. A target is
// settled after a time at which the Tracker was Idle and every mark made before
// was done on it, if both are still so once the event queue has since been read
// until it was empty. It frees memory, and it is never wrong to leave out.
func (t *Tracker) Acknowledged(until time.Time) {
	t.doubts.Forget(until)
	if until.After(t.marked) {
		t.marked = time.Time{}
	}
}

// Idle says whether no walk is queued or under way.
func (t *Tracker) Idle() bool { return len(t.out) == 0 && t.queue.Len() == 0 }

// Complete says whether the initial walk, or the one after an overflow, or a
// verification, has ended: what was there when it began has been Seen. A whole
// pass that Rescan calls for, or Start without a time, must not begin before. (Under constant
// change there may be no moment when the Tracker is Idle; there is one for this.)
func (t *Tracker) Complete() bool { return t.seeing == 0 }

// Tree is the mirror of the root's directories, to be read only.
func (t *Tracker) Tree() *tree.Tree { return t.tree }

// Counters returns the account as of now.
func (t *Tracker) Counters() Counters {
	c := t.count
	c.Dirs, c.Watched, c.Returned = uint64(t.tree.Len()), uint64(t.tree.Watched()), uint64(t.tree.Returned())
	if t.cfg.Paths {
		c.Watched = c.Dirs - min(c.Dirs, c.Failed+c.TooLong)
	}
	c.InFlight, c.Queued = uint64(len(t.out)), uint64(t.queue.Len())
	return c
}

// Tick does what has become due: what was moved away and never came back leaves
// the tree, and watches that no node has are ended.
func (t *Tracker) Tick(now time.Time) {
	t.now = now
	if n := t.tree.Expire(now, t.tree.Patience(t.cfg.PairWait, t.Idle()), t.forget); n > 0 {
		t.count.Unpaired += uint64(n)
	}
	if since, any := t.orphans.Since(); any && now.Sub(since) >= t.cfg.PairWait {
		t.orphans.End(t.unwatch)
	}
	t.finish()
}

// Next is when Tick has something to do; false: no time soon.
func (t *Tracker) Next() (at time.Time, due bool) {
	if since, any := t.tree.Oldest(); any {
		at, due = since.Add(t.tree.Patience(t.cfg.PairWait, t.Idle())), true
	}
	if since, any := t.orphans.Since(); any {
		if orphans := since.Add(t.cfg.PairWait); !due || orphans.Before(at) {
			at, due = orphans, true
		}
	}
	return at, due
}

// finish ends every call from outside.
func (t *Tracker) finish() {
	t.pump()
	if t.count.Verifying && t.pending == 0 {
		t.count.Verifying = false
		t.count.Verified++
	}
	if t.Complete() {
		t.recent, t.unsure = 0, 0
	}
	if t.Idle() && (t.early.Any() || t.removed.Any() || len(t.flips) > 0) {
		// No answer is under way that could bring a descriptor of old.
		t.early, t.removed, t.flips = stray.Marks{}, stray.Marks{}, map[int32]int{}
	}
}
