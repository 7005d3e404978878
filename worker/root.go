package worker

import (
	"fmt"
	"strings"
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/rsync"
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
	cfg     *ipc.WorkerSync
	rules   *rules.Set
	inexact bool // some exclude has no exact counterpart in rsync's language
	track   *track.Tracker
	links   *links.Index
	targets []*target
	walks   []track.Walk
	flying  int // Watch requests under way
	ready   bool

	whole    wholePhase
	again    bool   // another pass was demanded while one was under way
	rejected []byte // the pass's filter rules, NUL-terminated
	tooMany  bool   // rejected would exceed ipc.MaxList

	special   map[string]struct{} // sockets and devices seen by the last walk or since
	tooLong   map[string]struct{} // paths that cannot be named
	walked    uint64
	rescans   uint64
	limitAt   time.Time // next rescan because of directories without a watch
	limitSaid uint64    // directories without a watch, as last told
	retryAt   time.Time // when directories that failed are listed again
	verified  uint64    // verifications ended when the pass's walk began
}

func newRoot(e *engine, c *ipc.WorkerSync, names map[ipc.RootID]string, targets map[ipc.TargetID]string) (*root, error) {
	set, err := rules.New(c.Exclude)
	if err != nil {
		return nil, err
	}
	r := &root{
		e: e, id: c.Root, name: escape.Name(names[c.Root]), cfg: c, rules: set,
		inexact: !rsync.Covers(c.Exclude),
		links:   links.New(),
		special: make(map[string]struct{}),
		tooLong: make(map[string]struct{}),
	}
	r.track = track.New(track.Config{Excluded: r.excluded, Mounts: c.Mounts, Devices: c.Devices}, (*sink)(r))
	for _, id := range c.Targets {
		r.targets = append(r.targets, newTarget(r, id, escape.Name(targets[id])))
	}
	return r, nil
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
		r.e.log.printf(levelNotice, "%s: comparing the whole tree: %s", r.name, cause)
	}
	for _, t := range r.targets {
		t.queue.AddWhole(r.e.now)
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
		r.retryAt = time.Time{}
		r.track.Retry()
	}
	for _, t := range r.targets {
		t.advance()
	}
	r.sendWalks() // last: what went before may want something listed
}

// sendWalks batches what the tracker wants listed. The order is kept: the
// tracker relies on answers coming in the order of its walks.
func (r *root) sendWalks() {
	for r.flying < maxWalks && len(r.walks) > 0 {
		n, size := 0, 0
		first := r.walks[0]
		for n < len(r.walks) && n < ipc.MaxRels {
			w := r.walks[n]
			size += len(w.Rel) + 2
			if w.All != first.All || w.Watch != first.Watch || (n > 0 && size > maxRelBytes) {
				break
			}
			n++
		}
		batch := r.walks[:n:n]
		r.walks = r.walks[n:]
		rels := make([]string, n)
		for i, w := range batch {
			rels[i] = w.Rel
		}
		r.flying++
		r.e.ask(&ipc.Watch{Root: r.id, Watch: first.Watch, All: first.All, Rels: rels}, nil, r.listed(batch))
	}
	if len(r.walks) == 0 {
		r.walks = nil
	}
}

// maxRelBytes keeps a request with many long paths within one packet.
const maxRelBytes = ipc.MaxPacket - 2048

func (r *root) listed(batch []track.Walk) flight {
	return func(h ipc.Header, payload []byte) error {
		a, err := ipc.DecodeWatchAnswer(payload)
		if err != nil {
			return err
		}
		for i := range a.Dirs {
			d := &a.Dirs[i]
			if int(d.Index) >= len(batch) {
				return fmt.Errorf("a listing with index %d of %d", d.Index, len(batch))
			}
			r.walked += uint64(len(d.Entries))
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
		if r.e.draining || !r.wantsWhole() {
			return
		}
		r.whole, r.again, r.walked = wholeWalking, false, 0
		r.rejected, r.tooMany = r.rejected[:0], false
		clear(r.special)
		for _, m := range r.cfg.Mounts {
			r.reject(rsync.Exclude, m)
		}
		for rel := range r.tooLong {
			r.reject(rsync.Exclude, rel)
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
	case wholeReady:
		for _, t := range r.targets {
			if t.pass != passDone {
				return
			}
		}
		r.whole = wholeIdle
		for _, t := range r.targets {
			t.pass = passNone
		}
		if r.again {
			for _, t := range r.targets {
				t.queue.AddWhole(r.e.now)
			}
		}
	}
}

// walkEnded tells whether every directory has been listed since the pass was
// begun: the first time by the initial walk, later by a verification.
func (r *root) walkEnded() bool {
	if !r.ready {
		return r.track.Idle()
	}
	c := r.track.Counters()
	return c.Verified > r.verified && !c.Verifying
}

// wantsWhole tells whether a target is free to make a whole pass now; the
// queue says so only once its running batches have ended and its back-off is
// over.
func (r *root) wantsWhole() bool {
	wants := false
	for _, t := range r.targets {
		if t.queue.Whole() && t.queue.BeginWhole(r.e.now) {
			t.pass = passWaiting
			wants = true
		} else {
			t.pass = passDone // takes no part this time
		}
	}
	if !wants {
		for _, t := range r.targets {
			t.pass = passNone
		}
	}
	return wants
}

// reject adds a rule to the pass. rsync drops a rule that is too long without
// a word, so that an ancestor is left out instead, neither copied nor deleted.
func (r *root) reject(prefix, rel string) {
	rule := rsync.Rule(prefix, rel, "")
	for rule == "" && rel != "" {
		rel = rel[:max(strings.LastIndexByte(rel, '/'), 0)]
		rule = rsync.Rule(rsync.Exclude, rel, "")
	}
	if rule == "" || len(r.rejected)+len(rule)+1 > ipc.MaxList {
		r.tooMany = true
		return
	}
	r.rejected = append(append(r.rejected, rule...), 0)
}

// verify begins a comparison of tree and file system, both ways.
func (r *root) verify() {
	if r.ready && !r.track.Counters().Verifying {
		r.track.Verify()
	}
}

// limitEvery is how often a tree with unwatched directories is compared whole.
const limitEvery = time.Minute

// stepLimit keeps a tree in step by rescans when the kernel gives no more
// watches, and says what a person can do about it.
func (r *root) stepLimit() {
	c := r.track.Counters()
	if c.Unwatched == 0 {
		r.limitAt, r.limitSaid = time.Time{}, 0
		return
	}
	if r.track.Idle() && c.Unwatched != r.limitSaid {
		r.limitSaid = c.Unwatched
		r.e.log.printf(levelWarn, "%s: watch limit reached: %d of %d directories are not watched; "+
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
	next = earlier(earlier(next, r.limitAt), r.retryAt)
	for _, t := range r.targets {
		next = earlier(next, t.next())
	}
	return next
}

// changeBits says that the two pure packages mean the same by the same bits.
var _ = [1]struct{}{}[uint8(track.Attr)-uint8(queue.Attr)+
	uint8(track.Content)-uint8(queue.Content)+
	uint8(track.Name)-uint8(queue.Name)+
	uint8(track.Replaced)-uint8(queue.Replaced)]
