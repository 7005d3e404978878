package worker

import (
	"slices"
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rsync"
	"lockstep/rules"
	"lockstep/worker/account"
	"lockstep/worker/busy"
	"lockstep/worker/clock"
	"lockstep/worker/deliver"
	"lockstep/worker/links"
	"lockstep/worker/listing"
	"lockstep/worker/omit"
	"lockstep/worker/phrase"
	"lockstep/worker/poll"
	"lockstep/worker/queue"
	"lockstep/worker/track"
	"lockstep/worker/walks"
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
	poll    *poll.Poller // nil: events tell of every change
	busy    *busy.Keeper // nil: of everything, however much it is
	links   *links.Index
	targets []*deliver.Target
	waiting []links.Waiting // their queues
	asks    walks.Queue
	ready   bool
	alone   bool // the first walk is made without a pass

	// The walk of a whole pass serves all targets that were free to make one
	// when it began; each then makes its pass at its own pace, and another walk
	// may begin for others meanwhile.
	walking bool
	omit    omit.List // what the walk found is to be left out
	began   time.Time // when the initial walk did
	known   int       // bytes of the rules that were known before it

	special  omit.Tally // sockets and devices seen by the last walk or since
	tooLong  omit.Tally // paths that cannot be named
	walked   uint64
	account  account.Account
	limit    account.Limit
	heard    uint64     // events, when
	hearing  time.Time  // it was last found out up to when all were
	settling bool       // the event queue is being read until it is empty, for settle
	refused  omit.Tally // where directories were that could not be listed, since all could
	names    int        // in links, when it was last made anew
	retryAt  time.Time  // when directories that failed are listed again
	verified uint64     // verifications ended when the pass's walk began
	beside   walks.Join // the passes, with the initial walk
}

func newRoot(e *engine, c *settings.Sync, names map[ipc.RootID]string, targets map[ipc.TargetID]string) (*root, error) {
	set, err := rules.New(c.Exclude)
	if err != nil {
		return nil, err
	}
	r := &root{
		e: e, asks: walks.Queue{Root: c.Root, Host: (*watcher)(e)}, id: c.Root, name: escape.Name(names[c.Root]), cfg: c, rules: set.With(e.rules),
		inexact: !rsync.Covers(c.Exclude) || e.rules.Len() > 0,
		links:   links.New(),
		account: account.Account{Every: c.VerifyEvery}, limit: account.Limit{Every: c.UnwatchedEvery, Text: account.WatchLimit(c.WatchLimit, c.UnwatchedEvery)},
	}
	r.links.Left = r.nameLeft
	r.track = track.New(track.Config{Excluded: r.excluded, Mounts: c.Mounts, Devices: c.Devices, Paths: c.Monitor.ByPath(), Compared: c.Monitor == settings.MonitorPoll, Unsure: c.Unsure}, (*sink)(r))
	r.startPoll()
	r.startBusy()
	if r.inexact && c.Delete != settings.DeleteNever && c.Tell == settings.TellNothing {
		e.log.Printf(deliver.Warn, "%s: rsync does not know rules, nor all exclude patterns (not those with ?, [, \\ or !): "+
			"what they match in the source is left out as it should be, but what they match on the target alone is deleted", r.name)
	}
	for _, id := range c.Targets {
		r.targets = append(r.targets, deliver.New(r, id, escape.Name(targets[id]), queue.Config{
			Delay: c.Delay, MaxDelay: c.MaxDelay, BigDelay: c.BigDelay,
			RetryMin: c.RetryMin, RetryMax: c.RetryMax,
		}))
		r.targets[len(r.targets)-1].Most = uint64(c.MaxBatches)
		r.waiting = append(r.waiting, r.targets[len(r.targets)-1].Queue)
	}
	return r, nil
}

// nameLeft hears that a name of an inode that has others goes. A
// write through one of the names was told under that name alone, so that what
// waits for it is due for all.
func (r *root) nameLeft(_ string, ino uint64) {
	r.links.Spread(ino, r.e.now, r.waiting)
}

// excluded decides about one name whose parents are known not to be excluded.
func (r *root) excluded(rel string, isDir bool) bool {
	out, _ := r.rules.Self(rel, isDir)
	return out
}

// demand asks for a whole pass of targets: everything is in doubt there. None
// named means all.
func (r *root) demand(cause string, targets ...*deliver.Target) {
	if len(targets) == 0 {
		targets = r.targets
	}
	if cause == "start" && r.cfg.SkipFirst {
		r.alone = true
		return
	}
	if cause != "start" {
		r.account.Called(cause)
		r.e.log.Printf(deliver.Notice, "%s: comparing the whole tree: %s", r.name, cause)
	}
	for _, t := range targets {
		t.Queue.AddWhole(r.e.now)
	}
}

func (r *root) advance() {
	r.track.Tick(r.e.now)
	r.stepAccount()
	r.stepWhole()
	r.stepLimit()
	if !r.retryAt.IsZero() && !r.e.now.Before(r.retryAt) {
		r.stepFailed()
	}
	for _, t := range r.targets {
		t.Advance()
	}
	r.settle()
	r.hear()
	r.stepPoll()
	r.stepBusy()
	r.asks.Send(r.listed) // last: what went before may want something listed
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
	if r.refused.Count() > 0 {
		r.refused.Clear()
		r.demand(account.Refused)
	}
}

// hurry has what waits copied now, and what comes from here on without a delay: also
// what is in a directory that is still to be listed.
func (r *root) hurry() {
	for _, t := range r.targets {
		t.Retry()
		t.Queue.Hurry()
	}
	r.e.hurried++
}

// settle finds out which targets have all that was marked for them, each for
// itself, so that the tracker can forget which directories once stood where.
func (r *root) settle() {
	if r.settling || !r.quiet() || !slices.ContainsFunc(r.targets, (*deliver.Target).Unsettled) {
		return
	}
	for _, t := range r.targets {
		t.Settle()
	}
	r.settling = true
	began := r.e.now
	r.barrier(func() {
		r.settling = false
		all := began
		for _, t := range r.targets {
			if at := t.Settled(began, r.quiet()); at.Before(all) {
				all = at
			}
		}
		r.track.Acknowledged(all)
	})
}

// hear finds out, while there are events, up to when all have been heard: were they
// lost next, what has changed since is in doubt, however long a target is behind.
func (r *root) hear() {
	if n := r.track.Counters().Events; n != r.heard && r.e.now.Sub(r.hearing) >= hearEvery {
		r.heard, r.hearing = n, r.e.now
		at := r.e.now
		r.e.barriers.Add(func() { r.track.Heard(at) })
	}
}

// hearEvery is how long what an overflow puts in doubt may reach back more than it must.
const hearEvery = time.Second

// quiet says whether the tracker waits for nothing.
func (r *root) quiet() bool { return r.track.Idle() && len(r.asks.List) == 0 }

// listed is (part of) the listing of a directory that the tracker wanted.
func (r *root) listed(rel string, part listing.Part, asked time.Time) {
	if r.beside.Answered(part.Serial); r.walking {
		r.walked += uint64(len(part.Entries))
	}
	r.track.Listing(part, r.e.now)
	r.compare(rel, part, asked, false)
}

// stepWhole begins the walk of a whole pass when a target wants one, and hands
// its rules to those that take part when it has ended.
func (r *root) stepWhole() {
	if !r.walking {
		// A walk that has begun already has shown only part of what it meets.
		if !r.e.draining && (!r.ready || r.track.Complete()) && (r.beginPasses() || r.alone) {
			r.beginWalk()
		}
		return
	}
	if !r.walkEnded() {
		r.stepBeside()
		return
	}
	r.ready, r.walking, r.beside = true, false, walks.Join{}
	r.links.Sweep() // of names in trees that left no event tells
	r.names = r.links.Len()
	r.omitRefused()
	rules, over := r.omit.Rules()
	r.omit = omit.List{}
	again := len(rules) > r.known || over || clock.Stepped(r.began, r.e.now)
	for _, t := range r.targets {
		if t.Pass == deliver.PassWaiting {
			t.StartPass(rules, over)
		} else {
			t.Walked(rules, over, again)
		}
		if r.alone {
			t.Skip()
		}
	}
	if r.alone && clock.Stepped(r.began, r.e.now) {
		r.demand(account.Clock) // times do not tell what changed meanwhile
	}
	r.alone = false
}

// omitRefused leaves out of the pass what cannot be listed now, where it is now: it
// is not known what is below, which is neither copied nor deleted. What has failed
// before and is listed again is in the pass: nothing else shows what was lost there.
func (r *root) omitRefused() {
	for _, rel := range r.track.Failing() {
		if r.omit.All(rel); r.refused.Add(rel) { // it was told of under another name
			r.e.log.Printf(deliver.Warn, "%s: what still cannot be watched or listed is now %s", r.name, phrase.Dir(rel))
		}
	}
}

// unnamed are the paths that are too long: directories as they are now, and whatever
// else was told of, as long as its directory is there.
func (r *root) unnamed() []string {
	return append(r.tooLong.In(r.track.Tree().Has), r.track.TooLong()...)
}

// startWalk begins the initial walk, and the passes beside it where that is
// sound: what changes at a place after the pass was there and before the watch
// is, the listing shows by its time (track.Start); and what the rules do not say
// is to be left out, the walk finds, and the pass is made again.
func (r *root) startWalk() {
	r.began = r.e.now
	r.track.Heard(r.began)
	beside, since := r.cfg.Beside && !r.inexact && !r.alone, uint64(0)
	if beside && r.cfg.BesideAfter == 0 || r.alone {
		since = clock.Since(r.began)
	}
	if r.track.Start(r.listsAll(), since); beside {
		r.beside.Start(r.began.Add(r.cfg.BesideAfter))
		r.stepBeside()
	}
}

// stepBeside begins the passes beside the initial walk, if it has lasted long enough.
func (r *root) stepBeside() {
	if !r.beside.Due(r.e.now, r.tellTimes) {
		return
	}
	rules, _ := r.omit.Rules()
	r.known = len(rules)
	for _, t := range r.targets {
		if t.Pass == deliver.PassWaiting {
			t.BeginBeside(rules)
		}
	}
}

// tellTimes has the rest of the initial walk tell what changes from now on.
func (r *root) tellTimes() (before uint64) {
	if r.cfg.BesideAfter > 0 {
		before = r.track.Since(clock.Since(r.e.now))
	}
	return before
}

// beginPasses has every target that wants a whole pass and is free take part in
// the next walk.
func (r *root) beginPasses() bool {
	any := false
	for _, t := range r.targets {
		any = t.BeginPass() || any
	}
	return any
}

func (r *root) beginWalk() {
	r.walking, r.walked = true, 0
	r.links.Walk(!slices.ContainsFunc(r.targets, func(t *deliver.Target) bool { return t.Pass != deliver.PassWaiting }))
	r.special.Clear()
	for _, rel := range slices.Concat(r.cfg.Mounts, r.unnamed()) {
		r.omit.All(rel)
	}
	if !r.ready {
		r.startWalk()
		return
	}
	r.verified = r.track.Counters().Verified
	r.track.Verify()
}

// walkEnded tells whether every directory has been listed since the pass was
// begun: the first time by the initial walk, later by a verification.
func (r *root) walkEnded() bool {
	if !r.ready {
		return r.track.Complete()
	}
	return r.track.Complete() && r.track.Counters().Verified > r.verified
}

// maxStaleNames bounds what links holds of trees that have been moved away,
// whose names no event tells.
const maxStaleNames = 100_000

func (r *root) next() time.Time {
	var next time.Time
	if at, ok := r.track.Next(); ok {
		next = at
	}
	next = deliver.Earlier(deliver.Earlier(deliver.Earlier(next, r.retryAt), r.account.Next(r.seen())), deliver.Earlier(r.nextPoll(), r.beside.Next()))
	if !r.walking {
		next = deliver.Earlier(next, r.limit.Next())
	}
	for _, t := range r.targets {
		at := t.Next()
		if (r.walking || r.ready && !r.track.Complete()) && t.Queue.Whole() && !at.After(r.e.now) {
			continue // the pass that is due waits for a listing
		}
		next = deliver.Earlier(next, at)
	}
	return next
}
