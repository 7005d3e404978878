// Package watch tells what happens in a root, in one vocabulary, for people and
// programs: it is the engine's part for a root of which nothing is copied.
//
// Trust: part of the worker, untrusted. Names are hostile; what it writes goes
// through the supervisor's filter. Pure: time comes from the Host.
//
// How a change becomes a line: the kernel's event gets its path from the
// tracker's tree, or has it (came.go), halves of a rename are put together and new
// directories are announced with all that is in them (changes.go, fresh.go); changes of one path
// are merged if that is wished, what the event does not say of its subject's type
// is looked at, and then it is written (package tell).
//
// Invariants: what was told is true in its order: who applies the lines to a
// copy of the names has what the root had at the last line, unless a line says
// overflow; then rescan says from when on that is so again, and so it does of a
// part of which something was not told, once the kernel's queue shows no more of it.
// Memory is bounded: what the reader does not take ends in an overflow line.
package watch

import (
	"errors"
	"fmt"
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/output"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/rules"
	"lockstep/worker/account"
	"lockstep/worker/arrivals"
	"lockstep/worker/deliver"
	"lockstep/worker/doubt"
	"lockstep/worker/listing"
	"lockstep/worker/phrase"
	"lockstep/worker/poll"
	"lockstep/worker/tell"
	"lockstep/worker/track"
	"lockstep/worker/tree"
	"lockstep/worker/walks"
)

// Host is the engine, as a root sees it.
type Host interface {
	Now() time.Time
	Ask(m ipc.Message, f deliver.Flight)
	Barrier(f func()) // f is called once every event up to now was applied
	Unwatch(wd int32)
	Printf(level, format string, args ...any)
	Fail(err error)
	Draining() bool
}

// Output takes lines; see pump.Output.
type Output interface {
	Put(line []byte) bool
	Calm() bool
	Empty() bool
}

// ErrGone says that the root is no longer what it was.
var ErrGone = errors.New("the root is gone")

// Root is one watched root.
type Root struct {
	host  Host
	out   Output
	cfg   *settings.Watch
	name  string
	rules *rules.Set
	track *track.Tracker
	poll  *poll.Poller // nil: events tell of every change

	arrivals *arrivals.Walker // nil: the tracker lists what comes
	follows  bool             // the tracker follows the whole tree
	verify   bool             // it is to be compared when it does
	overflow uint64           // events that were lost while it did not

	asks walks.Queue

	changes
	settle *tell.Settler
	types  *tell.Typer

	ready   bool
	waiting bool // for the barrier before ready, or before a rescan is told
	lost    string
	losses  uint64    // how often events were lost
	since   time.Time // since when all is listed, while something always is
	drops   bool      // lines do not fit into the output
	line    []byte
	lists   bool      // a list of the tree was asked for, and has not begun
	list    []tree.ID // what is still to be listed
	listed  int
	trace   bool

	failed  map[string]bool // directories that could not be watched or listed
	retryAt time.Time
	limit   account.Limit
	rescans uint64

	afterLoss, unseen uint64 // of rescans: because events were lost, because directories have no watch; the others have other causes
	cost              account.Account

	tooLong uint64
	closing bool            // a barrier of directories that were listed is under way
	full    map[string]bool // new directories that were listed to their end since the last one
	later   []string        // of them, those that wait for a listing above them, which may call for another one
}

// New makes a root; Start begins.
func New(host Host, out Output, cfg *settings.Watch, name string) (*Root, error) {
	set, err := rules.New(cfg.Exclude)
	if err != nil {
		return nil, err
	}
	r := &Root{host: host, out: out, cfg: cfg, asks: walks.Queue{Root: cfg.Root, Host: host}, name: escape.Name(name), rules: set, types: tell.NewTyper(), failed: map[string]bool{}, full: map[string]bool{},
		limit: account.Limit{Every: limitEvery, Text: account.NotTold(limitEvery)}}
	r.settle = tell.NewSettler(cfg.Settle, r.types.Push)
	r.changes = newChanges(cfg.Mounts)
	r.track = track.New(track.Config{
		Excluded: func(rel string, dir bool) bool { out, _ := set.Self(rel, dir); return out },
		Mounts:   cfg.Mounts, Devices: true,
		Paths: cfg.Monitor.ByPath(), Compared: cfg.Monitor == settings.MonitorPoll,
	}, (*sink)(r))
	r.startPoll()
	r.startArrivals()
	return r, nil
}

// Start begins to watch.
func (r *Root) Start() {
	if r.arrivals == nil {
		r.follow()
	}
}

// Advance takes the steps that can be taken now.
func (r *Root) Advance() {
	now := r.host.Now()
	r.track.Tick(now)
	r.expire(now)
	r.stepReady(now)
	r.stepCost()
	r.stepLimit(now)
	if !r.retryAt.IsZero() && !now.Before(r.retryAt) {
		r.retryAt = time.Time{}
		r.retry(now)
	}
	if r.verify && r.ready {
		if r.follow(); r.track.Complete() && !r.track.Counters().Verifying {
			r.verify = false
			r.track.Verify()
		}
	}
	r.stepFresh()
	r.behind.Step(r.host.Barrier, r.hidden)
	if r.host.Draining() {
		r.flush()
	}
	r.settle.Due(now)
	r.stepTypes()
	r.stepOutput()
	r.sendArrivals()
	r.asks.Send(r.answered)
	if r.polls() {
		r.asks.Round(r.poll)
	}
}

// retry asks again for the directories that were refused, and goes on doing so: a
// second refusal is not told.
func (r *Root) retry(now time.Time) {
	if r.refusals() == 0 {
		return
	}
	r.retryAt = now.Add(retryWalk)
	r.track.Retry()
	if r.arrivals != nil {
		r.arrivals.Retry()
	}
}

// refusals is how many directories cannot be watched or listed now.
func (r *Root) refusals() uint64 {
	n := r.track.Counters().Failed
	if r.arrivals != nil {
		n += uint64(r.arrivals.Failed())
	}
	return n
}

// Done says that nothing is left to be written, nor that something was not.
func (r *Root) Done() bool { return r.types.Empty() && r.out.Empty() && !r.drops }

// impatience is how long a tree in which something is always listed may keep
// the line that says that all is watched.
const impatience = 2 * time.Second

// stepReady says once that every directory is watched, and after a loss of
// events, from when on everything is told again.
func (r *Root) stepReady(now time.Time) {
	if r.waiting || r.ready && r.lost == "" || !r.track.Complete() {
		return
	}
	if r.since.IsZero() {
		r.since = now
	}
	if !(r.still() && r.track.Idle()) && now.Sub(r.since) < impatience {
		return
	}
	r.waiting = true
	losses := r.losses
	r.host.Barrier(func() {
		r.waiting = false
		if losses != r.losses {
			return // more was lost: the tree is walked again
		}
		r.since = time.Time{}
		// No target copies beside the walk: nothing need be remembered of it.
		r.track.Pass(true)
		r.track.Pass(false)
		if !r.ready {
			r.ready, r.lost = true, ""
			r.put(output.Ready, nil)
			return
		}
		r.afterLoss++
		r.rescan("", r.lost)
		r.lost = ""
	})
}

// miss says that events were lost; when the tree is right again, rescan says so.
func (r *Root) miss(cause string) {
	r.losses++
	r.cost.Called(account.Overflow)
	if r.track.Complete() { // else it is being walked
		r.since = time.Time{}
	}
	r.flush()
	clear(r.fresh)
	clear(r.doubted)
	if r.arrivals != nil {
		r.arrivals.Clear()
	}
	if r.ready {
		r.lost = cause
		r.change(tell.Event{Op: tell.Overflow, Cause: cause})
	}
}

// rescan says that what is below rel has to be looked at: if it said so, because
// the root is ready, it returns true.
func (r *Root) rescan(rel, cause string) bool {
	if r.ready {
		r.rescans++
		r.change(tell.Event{Op: tell.Rescan, Kind: listing.KindDir, Rel: rel, Cause: cause})
	}
	return r.ready
}

// doubt has a rescan told of rel once the queue shows no more about it.
func (r *Root) doubt(rel, cause string) {
	if r.ready && r.lost == "" {
		if len(r.doubted) == 0 {
			r.doubtedAt = r.host.Now()
		}
		r.doubted[rel] = cause
	}
}

// limitEvery is how often a tree with unwatched directories is to be looked at.
const limitEvery = time.Minute

// stepLimit says what a person can do when the kernel gives no more watches, and
// has the tree looked at.
func (r *Root) stepLimit(now time.Time) {
	c := r.track.Counters()
	look, told := r.limit.Step(c.Unwatched, c.Dirs, r.track.Idle(), false, now)
	if told != "" {
		r.host.Printf(deliver.Warn, "%s: %s", r.name, told)
	}
	if look {
		if r.rescan("", account.Unwatched) {
			r.unseen++
		}
		r.track.Rewatch()
	}
}

// answered is (part of) the listing of a directory that the tracker wanted.
func (r *Root) answered(rel string, l track.Listing, asked time.Time) {
	r.listing(rel, l)
	if r.poll != nil {
		r.poll.Listed(rel, l, asked, r.host.Now(), false)
	}
}

// listing gives (part of) an answer to the tracker, and notes what it ends.
func (r *Root) listing(rel string, l track.Listing) {
	before := r.track.Counters()
	r.track.Listing(l, r.host.Now())
	r.relist()
	if after := r.track.Counters(); after.Repairs > before.Repairs {
		// Something was at another place than the tree had it: by a verification,
		// or because an answer was newer than the events. What was told of it since
		// then may be wrong.
		r.doubt(rel, "it was not as it was known")
	}
	if l.More {
		return
	}
	r.again()
	if r.failed[rel] && !r.track.Busy(rel) && (l.Status == 0 || !r.track.Tree().Has(rel)) {
		delete(r.failed, rel)
		if l.Status == 0 {
			r.doubt(rel, "it is watched again")
		}
	}
	if r.fresh.Has(rel) {
		r.full[rel] = true
	}
}

// Next is when Advance has something to do, zero for never.
func (r *Root) Next() time.Time {
	var next time.Time
	if at, ok := r.track.Next(); ok {
		next = at
	}
	next = deliver.Earlier(deliver.Earlier(next, r.retryAt), r.limit.Next())
	if r.polls() {
		next = deliver.Earlier(next, r.poll.Next())
	}
	next = deliver.Earlier(next, r.settle.Next())
	next = deliver.Earlier(next, r.left.Next())
	if !r.since.IsZero() && !r.waiting {
		next = deliver.Earlier(next, r.since.Add(impatience))
	}
	if r.drops || len(r.list) > 0 || r.host.Draining() && !r.Done() {
		next = deliver.Earlier(next, r.host.Now().Add(outputEvery))
	}
	return next
}

// Command does what the supervisor asks for.
func (r *Root) Command(c status.Command) {
	switch c.Verb() {
	case status.CommandVerify:
		r.verify = r.verify || !r.track.Counters().Verifying
	case status.CommandTrace:
		r.trace = !r.trace
	case status.CommandList:
		if len(r.list) > 0 || r.lists {
			return
		}
		r.listed, r.lists = 0, true
		r.follow()
	}
}

// Report adds the root's numbers to the worker's.
func (r *Root) Report(rep *status.Report) {
	c := r.track.Counters()
	if r.follows { // else nobody has counted them
		rep.Dirs += c.Watched
	}
	rep.Unwatched += c.Unwatched + r.refusals()
	rep.Overflows += c.Overflows + r.overflow
	rep.Unpaired += c.Unpaired
	rep.Returned += c.Returned
	rep.RescansOverflow += r.afterLoss
	rep.RescansUnwatched += r.unseen
	rep.Repairs += c.Repairs
	rep.Stale += c.Stale
	rep.Missing += c.Missing
	rep.Verified += c.Verified
	rep.Walked += c.Walked
	rep.Rescans += r.rescans
	rep.TooLong += r.tooLong
	r.reportCost(rep)
	switch {
	case !r.ready:
		rep.Ready, rep.State = 0, status.StateWalking
	case !r.track.Idle() || !r.still() || r.lost != "":
		rep.State = status.StateSyncing
	}
}

// sink is the root as the tracker sees it.
type sink Root

// Dirty with an entry is one of a listing: of a new directory it is news. What
// events tell is told from the events themselves.
func (s *sink) Dirty(rel string, _ track.Change, e *track.Entry) {
	if e != nil && s.arrivals == nil {
		(*Root)(s).met(rel, e.Kind)
	}
}

// Walk is a directory to be listed.
func (s *sink) Walk(w track.Walk) {
	(*Root)(s).tracef("walk %s", tell.Show(w.Rel))
	s.asks.List = append(s.asks.List, w)
}

// Unwatch ends a watch.
func (s *sink) Unwatch(wd int32) {
	(*Root)(s).tracef("unwatch wd=%d", wd)
	s.host.Unwatch(wd)
}

// Rescan says that events were lost.
func (s *sink) Rescan(cause string) { (*Root)(s).miss(cause) }

// RootGone ends the worker: the supervisor looks at the path again.
func (s *sink) RootGone(cause string) {
	s.host.Fail(fmt.Errorf("%s: %w: %s", s.name, ErrGone, cause))
}

// Failed is a directory that could not be watched or listed.
func (s *sink) Failed(rel string, status uint16) {
	r := (*Root)(s)
	if status == enospc {
		return // stepLimit tells
	}
	r.failed[rel] = true
	if r.retryAt.IsZero() {
		r.retryAt = r.host.Now().Add(retryWalk)
	}
	s.refused(rel, status)
}

func (s *sink) refused(rel string, status uint16) {
	s.host.Printf(deliver.Warn, "%s: cannot watch or list %s: %s; tried again every %v: nothing below it is told meanwhile",
		s.name, tell.Show(rel), phrase.Status(ipc.Status(status)), retryWalk)
}

const enospc, retryWalk = 28, 5 * time.Second

// TooLong is a path that no request can name.
func (s *sink) TooLong(rel string) {
	if s.tooLong++; s.tooLong == 1 {
		s.host.Printf(deliver.Warn, "%s: path of %d bytes is too long to be watched, and so is what lies below it: %s…",
			s.name, len(rel), escape.Name(rel[:min(len(rel), 120)]))
	}
}

// What only matters to who copies.

func (s *sink) Seen(string, track.Entry, bool) {}
func (s *sink) Skip(string, uint8)             {}
func (s *sink) Suspect(string, []doubt.Doubt)  {}
func (s *sink) Forgotten(time.Time)            {}
