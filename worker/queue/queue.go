// Package queue holds the paths of one target that are to be brought up to
// date: it coalesces changes, lets them settle, hands them out in batches and
// takes back what failed.
//
// Trust: runs in the worker. Paths are hostile, and never looked into here.
// Imports: the standard library and ipc's limits. Time is an argument.
//
// Invariants: a path leaves the queue only by a batch that was taken after its
// last Add and ended with success, or by a whole pass that began after it,
// ended with success and could see the change; one path is never in two batches that run at the same
// time; beyond its limit the queue collapses into the need of a whole pass and
// a bounded number of subtrees whose content that pass must compare, never into
// nothing. (Delay and limit are syncthing's watchaggregator's.)
package queue

import (
	"cmp"
	"slices"
	"time"

	"lockstep/ipc"
)

// Change says what happened to a path. The values are those of the tracker.
type Change uint8

const (
	Attr     Change = 1 << iota // owner, mode, times, links, ACLs, extended attributes
	Content                     // data written
	Name                        // a name came, went or stands for something else
	Replaced                    // a directory took the place of another thing: what it lacks is to be deleted
)

// moves are the changes after which what is below the path may be gone.
const moves = Name | Replaced

// Config is fixed at New. MaxDelay below Delay counts as Delay.
type Config struct {
	Delay    time.Duration // settle time since a path's last change; 0: at once
	MaxDelay time.Duration // hard limit since its first change
	BigDelay time.Duration // settle time in the lane of big files; its hard limit is twice that
	RetryMin time.Duration // first back-off; 0: a second
	RetryMax time.Duration // longest back-off
	MaxPaths int           // paths that may wait, at 200 bytes each or fewer; 0: 250,000
}

const (
	// defaultMaxPaths is 50 MB for paths of 60 bytes (BenchmarkMemory): what one
	// target that is not there may cost.
	defaultMaxPaths = 250_000
	// meanPath bounds the bytes of all that wait: paths that are longer than that
	// are fewer than Config.MaxPaths. 4 kB each, they would be 1 GB.
	meanPath     = 200
	defaultRetry = time.Second
	// slackMax bounds how much earlier than due a path may be taken because
	// another one is due: one command for both.
	slackMax = 20 * time.Millisecond
	// maxBytes of paths in a batch: the plan adds parents and names.
	maxBytes = ipc.MaxList / 2
	// maxSkips bounds the search for paths that fit into a batch.
	maxSkips = 1000
	noLimit  = ^uint32(0)
)

// Entry is one path of a batch. Rel "" is the root itself.
type Entry struct {
	Rel      string
	Change   Change
	Attempts uint32    // failed batches it was in
	First    time.Time // its first change that is not yet acknowledged
	Last     time.Time // its last one

	limit    uint32 // paths its batch may have
	solo     uint8  // failures in a batch of its own
	survived bool   // it was returned, and has outlived a whole pass since
}

// Batch is a set of paths under way. Exactly one of Done, Requeue, Postpone
// and Return ends it.
type Batch struct {
	Entries []Entry // sorted by Rel
	Big     bool    // of the lane for big files

	size    int  // at Take
	overlap bool // a batch of the other lane ran at the same time
}

// Queue is not safe for concurrent use.
type Queue struct {
	c    Config
	base time.Time // times are kept as nanoseconds since then

	items map[string]*item // all that wait, held ones included
	bytes int              // of their paths
	lanes [2]heap
	held  []*item // due, but in the way of a running batch
	spare []*item // of those that were taken: a path that changes again and again needs no new one
	run   [2]*Batch
	doubt int // waiting items with a failed attempt

	marked uint64 // calls of Add and AddWhole

	gate  int64         // nothing is taken before; 0: open
	fails uint32        // failures of the whole target in a row
	least time.Duration // its first back-off

	gen       uint32 // counts whole passes begun
	passAt    int64  // back-off of the next whole pass
	passFails uint32 // whole passes that failed in a row
	whole     bool   // a whole pass is needed or under way
	passing   bool   // it is under way
	again     bool   // another one is needed after it
	absorb    bool   // collapsed: what is added is the next pass's affair

	pruned    map[string]bool // Replaced when the pass under way began, and not marked so since
	dirty     subtrees        // where the next pass must compare content
	comparing subtrees        // where the one under way must
	collapses uint64
}

type item struct {
	rel               string
	first, last       int64
	floor             int64 // back-off: not before
	gen               uint32
	attempts, limit   uint32
	pos               int32 // in its lane's heap, -1: not in it
	change            Change
	solo              uint8
	big, asap, isHeld bool
	returned          bool // a batch with it was returned
	survived          bool // and then a whole pass ended with success
	passed            bool // and it was returned once more: the next pass compares its content
}

const (
	laneSmall = iota
	laneBig
)

func (it *item) lane() int {
	if it.big {
		return laneBig
	}
	return laneSmall
}

// New makes an empty queue; now is any time not after the first Add.
func New(c Config, now time.Time) *Queue {
	if c.MaxPaths <= 0 {
		c.MaxPaths = defaultMaxPaths
	}
	if c.RetryMin <= 0 {
		c.RetryMin = defaultRetry
	}
	c.RetryMax = max(c.RetryMax, c.RetryMin)
	c.MaxDelay = max(c.MaxDelay, c.Delay)
	return &Queue{c: c, base: now, items: map[string]*item{}, least: c.RetryMin}
}

func (q *Queue) offset(now time.Time) int64 { return max(0, int64(now.Sub(q.base))) }

func (q *Queue) slack() int64 { return int64(min(q.c.Delay/8, slackMax)) }

// due is the time at which an item may be taken.
func (q *Queue) due(it *item) int64 {
	if it.asap {
		return 0
	}
	delay, limit := int64(q.c.Delay), int64(q.c.MaxDelay)
	if it.big {
		delay, limit = int64(q.c.BigDelay), 2*int64(q.c.BigDelay)
	}
	return max(min(it.last+delay, it.first+limit), it.floor)
}

// Add notes that rel has changed.
func (q *Queue) Add(rel string, change Change, now time.Time) {
	q.marked++
	if q.absorb {
		q.soil(rel, change)
		return
	}
	at := q.offset(now)
	if it := q.items[rel]; it != nil {
		q.merge(it, change, at)
		return
	}
	if len(q.items) >= q.c.MaxPaths || q.bytes+len(rel) > meanPath*q.c.MaxPaths {
		q.collapse(now)
		q.soil(rel, change)
		return
	}
	it := q.fresh()
	*it = item{rel: rel, change: change, first: at, last: at, gen: q.gen, limit: noLimit, pos: -1}
	q.insert(it)
}

// merge adds a change to a path that waits already. A path in back-off comes
// soon, since it may be mended now, but its split stays.
func (q *Queue) merge(it *item, change Change, at int64) {
	it.last = max(it.last, at)
	it.gen = q.gen
	it.floor = min(it.floor, at+int64(q.c.RetryMin))
	it.change |= change
	if q.passing && change&Replaced != 0 {
		delete(q.pruned, it.rel)
	}
	it.returned, it.survived, it.passed = false, false, false
	lane := it.lane()
	if it.big && change&moves != 0 {
		it.big = false // it may be gone: that does not wait
	}
	if it.isHeld {
		return
	}
	if lane == it.lane() {
		q.lanes[lane].fix(q, it)
		return
	}
	q.lanes[lane].remove(q, it)
	q.lanes[it.lane()].push(q, it)
}

func (q *Queue) insert(it *item) {
	q.items[it.rel] = it
	q.bytes += len(it.rel)
	if it.attempts > 0 {
		q.doubt++
	}
	q.lanes[it.lane()].push(q, it)
}

// maxSpare bounds what an idle queue holds.
const maxSpare = 1024

func (q *Queue) fresh() *item {
	n := len(q.spare)
	if n == 0 {
		return &item{}
	}
	it := q.spare[n-1]
	q.spare = q.spare[:n-1]
	return it
}

// forget drops an item that is in no heap. It must not be used any more.
func (q *Queue) forget(it *item) {
	delete(q.items, it.rel)
	q.bytes -= len(it.rel)
	if it.attempts > 0 {
		q.doubt--
	}
	if len(q.spare) < maxSpare {
		*it = item{}
		q.spare = append(q.spare, it)
	}
}

// Take hands out what is due in the lane of small files, at most limit paths
// (0: no such bound). It answers nil when nothing is due, when a batch of this
// lane runs, during a whole pass, and when one is due: it must get its turn.
// What is due a little later goes along.
func (q *Queue) Take(now time.Time, limit int) *Batch { return q.take(laneSmall, now, limit) }

// TakeBig is Take for the lane of big files.
func (q *Queue) TakeBig(now time.Time, limit int) *Batch { return q.take(laneBig, now, limit) }

func (q *Queue) take(lane int, now time.Time, limit int) *Batch {
	at := q.offset(now)
	if q.passing || q.whole && at >= q.passAt || q.run[lane] != nil || at < q.gate {
		return nil
	}
	taken := q.pick(lane, at, limit)
	if len(taken) == 0 {
		return nil
	}
	b := &Batch{Entries: make([]Entry, len(taken)), Big: lane == laneBig, size: len(taken)}
	for i, it := range taken {
		b.Entries[i] = q.entry(it)
		q.forget(it)
	}
	slices.SortFunc(b.Entries, func(a, b Entry) int { return cmp.Compare(a.Rel, b.Rel) })
	q.run[lane] = b
	if other := q.run[1-lane]; other != nil {
		b.overlap, other.overlap = true, true
	}
	return b
}

// pick removes from a lane's heap what goes into the next batch.
func (q *Queue) pick(lane int, at int64, limit int) []*item {
	h := &q.lanes[lane]
	until := at // the first must be due; the others may be so within the slack
	bytes, room := 0, noLimit
	if limit > 0 {
		room = uint32(min(limit, int(noLimit>>1)))
	}
	var taken, skipped []*item
	for len(*h) > 0 && uint32(len(taken)) < room && len(skipped) < maxSkips {
		it := (*h)[0]
		if q.due(it) > until {
			break
		}
		h.remove(q, it)
		if q.blocked(it, q.run[1-lane]) {
			it.isHeld = true
			q.held = append(q.held, it)
			continue
		}
		cost := len(it.rel) + len("./\x00")
		n := uint32(len(taken)) + 1
		if n > 1 && (n > it.limit || bytes+cost > maxBytes) {
			skipped = append(skipped, it)
			continue
		}
		taken = append(taken, it)
		bytes += cost
		room = min(room, it.limit)
		until = at + q.slack()
	}
	for _, it := range skipped {
		h.push(q, it)
	}
	return taken
}

// blocked says whether an item must wait for the other lane's batch: the same
// path must not be under way twice, and nothing below a path whose removal may
// be under way, nor the reverse. (Attributes of a parent do not wait; see
// finish.)
func (q *Queue) blocked(it *item, other *Batch) bool {
	if other == nil {
		return false
	}
	if _, ok := other.find(it.rel); ok {
		return true
	}
	for dir := it.rel; dir != ""; {
		dir = parent(dir)
		if e, ok := other.find(dir); ok && e.Change&moves != 0 {
			return true
		}
	}
	return it.change&moves != 0 && other.below(it.rel)
}

func (b *Batch) find(rel string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(b.Entries, rel, func(e Entry, rel string) int { return cmp.Compare(e.Rel, rel) })
	if !ok {
		return Entry{}, false
	}
	return b.Entries[i], true
}

// below says whether the batch holds a path below rel.
func (b *Batch) below(rel string) bool {
	prefix := rel + "/"
	if rel == "" {
		return len(b.Entries) > 0
	}
	i, _ := slices.BinarySearchFunc(b.Entries, prefix, func(e Entry, p string) int { return cmp.Compare(e.Rel, p) })
	return i < len(b.Entries) && len(b.Entries[i].Rel) > len(prefix) && b.Entries[i].Rel[:len(prefix)] == prefix
}

// parent of rel; of a name in the root it is "".
func parent(rel string) string {
	for i := len(rel) - 1; i >= 0; i-- {
		if rel[i] == '/' {
			return rel[:i]
		}
	}
	return ""
}

// Next says when Take, TakeBig or BeginWhole has something to do; false when
// only an Add or the end of what runs can change that.
func (q *Queue) Next(now time.Time) (time.Time, bool) {
	if q.passing {
		return time.Time{}, false
	}
	at := q.offset(now)
	next, ok := int64(0), false
	if q.whole && q.run[laneSmall] == nil && q.run[laneBig] == nil {
		next, ok = q.passAt, true
	}
	for lane := range q.lanes {
		if q.whole && at >= q.passAt || q.run[lane] != nil || len(q.lanes[lane]) == 0 {
			continue
		}
		if d := q.due(q.lanes[lane][0]); !ok || d < next {
			next, ok = d, true
		}
	}
	if !ok {
		return time.Time{}, false
	}
	return q.base.Add(time.Duration(max(next, q.gate, at))), true
}

// Len counts the paths that wait in the lane of small files.
func (q *Queue) Len() int { return len(q.items) - q.Big() }

// Big counts the paths that wait in the lane of big files.
func (q *Queue) Big() int {
	n := len(q.lanes[laneBig])
	for _, it := range q.held {
		if it.big {
			n++
		}
	}
	return n
}

// Running counts the batches that run, a whole pass too.
func (q *Queue) Running() int {
	n := 0
	for _, b := range q.run {
		if b != nil {
			n++
		}
	}
	if q.passing {
		n++
	}
	return n
}

// InFlight counts the paths of running batches.
func (q *Queue) InFlight() int {
	n := 0
	for _, b := range q.run {
		if b != nil {
			n += len(b.Entries)
		}
	}
	return n
}

// Doubt counts the paths whose last command failed, waiting or under way.
func (q *Queue) Doubt() int {
	n := q.doubt
	for _, b := range q.run {
		if b == nil {
			continue
		}
		for i := range b.Entries {
			if b.Entries[i].Attempts > 0 {
				n++
			}
		}
	}
	return n
}

// Marked counts the calls of Add and AddWhole.
func (q *Queue) Marked() uint64 { return q.marked }

// Pending is what waits or is under way for rel, a whole pass that compares
// content included; 0 is nothing.
func (q *Queue) Pending(rel string) Change {
	var c Change
	if q.dirty.covers(rel) || q.comparing.covers(rel) {
		c = Content
	}
	if it := q.items[rel]; it != nil {
		c |= it.change
	}
	for _, b := range q.run {
		if b == nil {
			continue
		}
		if e, ok := b.find(rel); ok {
			c |= e.Change
		}
	}
	return c
}

// Idle says that nothing waits, nothing runs and no whole pass is needed.
func (q *Queue) Idle() bool {
	return len(q.items) == 0 && q.run[laneSmall] == nil && q.run[laneBig] == nil && !q.whole
}

// Attempts counts the failures of the whole target in a row: Postpone and
// whole passes.
func (q *Queue) Attempts() uint32 { return q.fails + q.passFails }
