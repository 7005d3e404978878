package worker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/rsync"
	"lockstep/worker/deliver"
	"lockstep/worker/links"
	"lockstep/worker/queue"
	"lockstep/worker/rules"
	"lockstep/worker/track"
)

// phase of a root's whole pass: one walk serves all targets, then each target
// makes its pass.
type wholePhase uint8

const (
	wholeIdle    wholePhase = iota
	wholeWalking            // listing every directory, collecting what is rejected
	wholeReady              // rules are complete; targets begin as their jobs end
)

// root is one watched tree with its targets.
type root struct {
	e       *engine
	id      ipc.RootID
	name    string
	cfg     *settings.Sync
	rules   *rules.Set
	inexact bool // some exclude has no exact counterpart in rsync's language
	track   *track.Tracker
	links   *links.Index
	targets []*deliver.Target
	walks   []track.Walk
	flying  int // Watch requests under way
	ready   bool

	whole    wholePhase
	again    bool   // another pass was demanded while one was under way
	rejected []byte // the pass's filter rules, NUL-terminated
	tooMany  bool   // rejected would exceed ipc.MaxList

	special   tally // sockets and devices seen by the last walk or since
	tooLong   tally // paths that cannot be named
	walked    uint64
	rescans   uint64
	limitAt   time.Time           // next rescan because of directories without a watch
	limitSaid uint64              // directories without a watch, as last told
	dirtied   bool                // the tracker has marked something since it was last told that all is done
	failing   map[string]struct{} // directories that could not be listed
	names     int                 // in links, when it was last made anew
	retryAt   time.Time           // when directories that failed are listed again
	verified  uint64              // verifications ended when the pass's walk began
}

func newRoot(e *engine, c *settings.Sync, names map[ipc.RootID]string, targets map[ipc.TargetID]string) (*root, error) {
	set, err := rules.New(c.Exclude)
	if err != nil {
		return nil, err
	}
	r := &root{
		e: e, id: c.Root, name: escape.Name(names[c.Root]), cfg: c, rules: set,
		inexact: !rsync.Covers(c.Exclude),
		links:   links.New(),
		failing: make(map[string]struct{}),
	}
	r.links.Left = r.nameLeft
	r.track = track.New(track.Config{Excluded: r.excluded, Mounts: c.Mounts, Devices: c.Devices}, (*sink)(r))
	if r.inexact {
		e.log.printf(deliver.Warn, "%s: rsync does not know all of the exclude patterns (those with ?, [, \\ or !): "+
			"what they match in the source is left out as it should be, but what they match on the target alone is deleted", r.name)
	}
	for _, id := range c.Targets {
		r.targets = append(r.targets, deliver.New(r, id, escape.Name(targets[id]), queue.Config{
			Delay: c.Delay, MaxDelay: c.MaxDelay, BigDelay: c.BigDelay,
			RetryMin: c.RetryMin, RetryMax: c.RetryMax,
		}))
	}
	return r, nil
}

// nameLeft hears that rel is no longer a name of an inode that has others. A
// write through rel was told under rel alone, so what waits for it is due for
// the other names too.
func (r *root) nameLeft(rel string, ino uint64) {
	for _, t := range r.targets {
		c := t.Queue.Pending(rel) & (queue.Content | queue.Attr)
		if c == 0 {
			continue
		}
		for _, name := range r.links.Names(ino) {
			t.Queue.Add(name, c, r.e.now)
		}
	}
}

// excluded decides about one name whose parents are known not to be excluded.
func (r *root) excluded(rel string, isDir bool) bool {
	out, _ := r.rules.Self(rel, isDir)
	return out
}

// demand asks for a whole pass of every target: everything is in doubt.
func (r *root) demand(cause string) {
	if cause != "start" {
		r.rescans++
		r.e.log.printf(deliver.Notice, "%s: comparing the whole tree: %s", r.name, cause)
	}
	for _, t := range r.targets {
		t.Queue.AddWhole(r.e.now)
	}
	if r.whole != wholeIdle {
		r.again = true
	}
}

func (r *root) advance() {
	r.track.Tick(r.e.now)
	r.stepWhole()
	r.stepLimit()
	if !r.retryAt.IsZero() && !r.e.now.Before(r.retryAt) {
		r.stepFailed()
	}
	for _, t := range r.targets {
		t.Advance()
	}
	r.acknowledge()
	r.sendWalks() // last: what went before may want something listed
}

// stepFailed has directories listed again that could not be, until they are;
// then everything is compared, because passes have left them out.
func (r *root) stepFailed() {
	if r.track.Counters().Failed > 0 { // a second refusal is not told again
		r.retryAt = r.e.now.Add(retryWalk)
		r.track.Retry()
		return
	}
	r.retryAt = time.Time{}
	if len(r.failing) > 0 {
		clear(r.failing)
		r.demand("all directories can be listed again")
	}
}

// acknowledge tells the tracker when every target has all that it has marked,
// so that it can forget which directories once stood where.
func (r *root) acknowledge() {
	if !r.dirtied {
		return
	}
	for _, t := range r.targets {
		if !t.Queue.Idle() {
			return
		}
	}
	r.dirtied = false
	r.e.barrier(barrier{r, r.e.now})
}

// sendWalks batches what the tracker wants listed. The order is kept: the
// tracker relies on answers coming in the order of its walks.
func (r *root) sendWalks() {
	for r.flying < maxWalks && len(r.walks) > 0 {
		first := r.walks[0]
		var rels []string
		for _, w := range r.walks[:min(len(r.walks), ipc.MaxRels)] {
			if w.All != first.All || w.Watch != first.Watch {
				break
			}
			rels = append(rels, w.Rel)
		}
		n := deliver.FitRels(rels)
		batch := r.walks[:n:n]
		r.walks, rels = r.walks[n:], rels[:n]
		r.flying++
		r.e.ask(&ipc.Watch{Root: r.id, Watch: first.Watch, All: first.All, Rels: rels}, nil, r.listed(batch))
	}
	if len(r.walks) == 0 {
		r.walks = nil
	}
}

func (r *root) listed(batch []track.Walk) deliver.Flight {
	return func(h ipc.Header, payload []byte) error {
		a, err := wire.Decode[ipc.WatchAnswer](payload)
		if err != nil {
			return err
		}
		for i := range a.Dirs {
			d := &a.Dirs[i]
			if int(d.Index) >= len(batch) {
				return fmt.Errorf("a listing with index %d of %d", d.Index, len(batch))
			}
			if r.whole == wholeWalking {
				r.walked += uint64(len(d.Entries))
			}
			r.track.Listing(track.Listing{
				Serial: batch[d.Index].Serial, Status: uint16(d.Status), WD: d.WD, Ino: d.Ino,
				More: d.More, Entries: entries(d.Entries),
			}, r.e.now)
		}
		if h.Final {
			r.flying--
		}
		return nil
	}
}

func entries(in []ipc.Entry) []track.Entry {
	out := make([]track.Entry, len(in))
	for i, x := range in {
		out[i] = track.Entry{Kind: uint8(x.Kind), Nlink: x.Nlink, Ino: x.Ino, Size: x.Size, Name: x.Name}
	}
	return out
}

// stepWhole begins the walk of a whole pass when a target wants one, and hands
// the rules over when the walk has ended.
func (r *root) stepWhole() {
	switch r.whole {
	case wholeIdle:
		if r.e.draining || (r.ready && !r.track.Complete()) || !r.wantsWhole() {
			return // a walk that has begun already has shown only part of what it meets
		}
		r.whole, r.again, r.walked = wholeWalking, false, 0
		r.rejected, r.tooMany = r.rejected[:0], false
		// The walk shows all names again; those of trees that left are gone.
		r.links = r.links.Renew()
		r.special.clear()
		for _, m := range r.cfg.Mounts {
			r.leaveOut(m, rsync.Rule(rsync.Exclude, m, rsync.Itself))
		}
		for rel := range r.tooLong.names {
			r.leaveOut(rel, rsync.Rule(rsync.Exclude, rel, rsync.Itself))
		}
		if !r.ready {
			r.track.Start(!r.rules.Empty())
			return
		}
		r.verified = r.track.Counters().Verified
		r.track.Verify()
	case wholeWalking:
		if !r.walkEnded() {
			return
		}
		r.ready = true
		r.whole = wholeReady
		r.names = r.links.Len()
		for rel := range r.failing {
			// What is below is not known: neither copied nor deleted.
			r.leaveOut(rel, rsync.Rule(rsync.Exclude, rel, rsync.Itself))
		}
		for _, t := range r.targets {
			if t.Pass == deliver.PassWaiting {
				t.StartPass()
			}
		}
		r.endWhole() // those that could not begin have ended already
	case wholeReady:
		r.endWhole()
	}
}

// endWhole ends the whole pass once every target has ended its part.
func (r *root) endWhole() {
	for _, t := range r.targets {
		if t.Pass != deliver.PassDone {
			return
		}
	}
	r.whole = wholeIdle
	for _, t := range r.targets {
		t.Pass = deliver.PassNone
		if r.again {
			t.Queue.AddWhole(r.e.now)
		}
	}
}

// walkEnded tells whether every directory has been listed since the pass was
// begun: the first time by the initial walk, later by a verification.
func (r *root) walkEnded() bool {
	if !r.ready {
		return r.track.Complete()
	}
	return r.track.Complete() && r.track.Counters().Verified > r.verified
}

// wantsWhole tells whether a target is free to make a whole pass now; the
// queue says so only once its running batches have ended and its back-off is
// over.
func (r *root) wantsWhole() bool {
	wants := false
	for _, t := range r.targets {
		if t.Queue.Whole() && t.Queue.BeginWhole(r.e.now) {
			t.Pass = deliver.PassWaiting
			wants = true
		} else {
			t.Pass = deliver.PassDone // takes no part this time
		}
	}
	if !wants {
		for _, t := range r.targets {
			t.Pass = deliver.PassNone
		}
	}
	return wants
}

// leaveOut adds rules to the pass for one name. rsync drops a rule that is too
// long without a word, so that an ancestor is left out instead, neither copied
// nor deleted.
func (r *root) leaveOut(rel string, rules ...string) {
	for slices.Contains(rules, "") && rel != "" {
		rel = rel[:max(strings.LastIndexByte(rel, '/'), 0)]
		rules = []string{rsync.Rule(rsync.Exclude, rel, rsync.Itself)}
	}
	for _, rule := range rules {
		if rule == "" || len(r.rejected)+len(rule)+1 > ipc.MaxList {
			r.tooMany = true
			return
		}
		r.rejected = append(append(r.rejected, rule...), 0)
	}
}

// verify begins a comparison of tree and file system, both ways.
func (r *root) verify() {
	if r.ready && !r.track.Counters().Verifying {
		r.track.Verify()
	}
}

// maxStaleNames bounds what links holds of trees that have been moved away,
// whose names no event tells.
const maxStaleNames = 100_000

// limitEvery is how often a tree with unwatched directories is compared whole.
const limitEvery = time.Minute

// stepLimit keeps a tree in step by rescans when the kernel gives no more
// watches, and says what a person can do about it.
func (r *root) stepLimit() {
	if r.whole == wholeIdle && r.links.Len() > 2*r.names+maxStaleNames {
		r.names = r.links.Len()
		r.demand("the index of names with one inode has outgrown the tree")
	}
	c := r.track.Counters()
	if c.Unwatched == 0 {
		r.limitAt, r.limitSaid = time.Time{}, 0
		return
	}
	if r.track.Idle() && c.Unwatched != r.limitSaid {
		r.limitSaid = c.Unwatched
		r.e.log.printf(deliver.Warn, "%s: watch limit reached: %d of %d directories are not watched; "+
			"they are compared every %v. Set sysctl fs.inotify.max_user_watches to at least %d more than now",
			r.name, c.Unwatched, c.Dirs, limitEvery, c.Unwatched)
	}
	if r.limitAt.IsZero() {
		r.limitAt = r.e.now.Add(limitEvery)
	}
	if !r.e.now.Before(r.limitAt) && r.whole == wholeIdle {
		r.limitAt = r.e.now.Add(limitEvery)
		r.demand("directories without a watch")
	}
}

func (r *root) next() time.Time {
	var next time.Time
	if at, ok := r.track.Next(); ok {
		next = at
	}
	next = deliver.Earlier(next, r.retryAt)
	if r.whole == wholeIdle {
		next = deliver.Earlier(next, r.limitAt)
	}
	for _, t := range r.targets {
		at := t.Next()
		if r.whole == wholeIdle && r.ready && t.Queue.Whole() && !at.After(r.e.now) && !r.track.Complete() {
			continue // the pass that is due waits for a listing
		}
		next = deliver.Earlier(next, at)
	}
	return next
}

// changeBits says that the two pure packages mean the same by the same bits.
var _ = [1]struct{}{}[uint8(track.Attr)-uint8(queue.Attr)+
	uint8(track.Content)-uint8(queue.Content)+
	uint8(track.Name)-uint8(queue.Name)+
	uint8(track.Replaced)-uint8(queue.Replaced)]
