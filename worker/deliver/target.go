// Package deliver brings one target up to date: it takes what is due from the
// target's queue, plans it, has it copied, and acknowledges what was copied.
//
// Trust: part of the worker, untrusted. Output of commands is hostile.
//
// Invariants: a batch ends in exactly one of Done, Requeue, Bisect, Postpone and
// Return; nothing that a target does waits for another one; what failed is planned afresh from what the paths are then; one
// command a lane runs at a time, and none beside a whole pass.
package deliver

import (
	"fmt"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/status"
	"lockstep/rsync"
	"lockstep/worker/links"
	"lockstep/worker/plan"
	"lockstep/worker/queue"
)

// Pass is a target's part in its root's whole pass.
type Pass uint8

const (
	PassNone    Pass = iota
	PassWaiting      // wants one; the walk is under way
	PassRunning      // its JobInitial runs
)

// Flight consumes the messages of one request's answer; final says that no
// further one comes.
type Flight func(m ipc.Message, final bool) error

// Answer is the message as what answers the request.
func Answer[T any, M interface {
	*T
	ipc.Message
}](m ipc.Message) (M, error) {
	a, ok := m.(M)
	if !ok {
		return nil, fmt.Errorf("a %T where a %T answers", m, a)
	}
	return a, nil
}

// Host is the engine and the root, as a target sees them.
type Host interface {
	Now() time.Time
	Random() float64 // from 0 up to 1, to spread retries
	Draining() bool  // nothing is to be started any more
	Ask(m ipc.Message, list []byte, f Flight)
	Running(job ipc.JobID, k *Task) // a job of k runs: its end goes to k.Exited
	Printf(level, format string, args ...any)

	ID() ipc.RootID
	Name() string // escaped
	Options() plan.Options
	Links() *links.Index
	Dirs() []string // all directories that can be named
	Skipped(rel string)
	TooLong(rel string)
	PassBegins()
	FullSync(t *Target) time.Time // when a pass is due that has just ended; zero: never
	PassEnded(t *Target)          // then t.CaughtUp, when the event queue was empty since
}

// lanes: small changes do not wait behind big files.
const (
	laneNormal = iota
	laneBig
	numLanes
)

// Target is one destination: its queue, what runs for it, how it fares.
type Target struct {
	Queue *queue.Queue
	Pass  Pass

	// Most is how many batches are acknowledged before no further one begins; 0: no
	// such end.
	Most    uint64
	batches uint64 // that were, with whole passes

	settling settling

	host  Host
	retry Backoff
	id    ipc.TargetID
	name  string
	lanes [numLanes]*Task
	live  bool // a whole pass has gone through (or all but some paths): changes may follow
	away  bool // it could not be reached: see knock

	left     time.Time // since when it is away for what a command met
	doubted  bool      // and it may be another one when it is back
	compared time.Time // when the last pass for that reason was due, or is

	fullAt time.Time // when the next whole pass is due without a reason

	redoAt   time.Time  // a pass left paths in doubt: when it is made again
	redone   uint64     // such passes in a row
	held     ipc.Exited // the hold that is in force; End is EndNone without
	last     ipc.Exited // the last failure
	fault    rsync.Fault
	lastSaid string // what was last told about failures
	saidAt   time.Time
	attempts uint64 // failures in a row
	initials uint64
	synced   uint64
	ended    uint64
	failed   uint64
	lastSync time.Time
	listed   uint64 // bytes of lists

	collapses uint64 // of the queue, as last told
}

// Backoff is that of a whole pass that left paths in doubt.
type Backoff struct{ Min, Max time.Duration }

// New makes a target with an empty queue. Its name is for messages, escaped.
func New(h Host, id ipc.TargetID, name string, c queue.Config) *Target {
	return &Target{host: h, id: id, name: name, Queue: queue.New(c, h.Now()), retry: Backoff{c.RetryMin, c.RetryMax}}
}

// Advance starts what can start.
func (t *Target) Advance() {
	if t.over() {
		return
	}
	if !t.redoAt.IsZero() && !t.host.Now().Before(t.redoAt) {
		t.redoAt = time.Time{}
		t.Queue.AddWhole(t.host.Now())
	}
	if !t.fullAt.IsZero() && !t.host.Now().Before(t.fullAt) {
		t.fullAt = time.Time{} // until a pass has ended
		t.host.Printf(Notice, "%s → %s: comparing the whole tree: full_sync_every says so", t.host.Name(), t.name)
		t.Queue.AddWhole(t.host.Now())
	}
	if t.away {
		t.knock()
		return
	}
	if n := t.Queue.Collapses(); n > t.collapses {
		t.collapses = n
		t.host.Printf(Warn, "%s → %s: so many paths wait that they are no longer kept apart: "+
			"the whole tree is compared, and where files have changed their content too", t.host.Name(), t.name)
	}
	if !t.live || t.Pass == PassRunning {
		return
	}
	if t.lanes[laneNormal] == nil {
		if b := t.Queue.Take(t.host.Now(), maxBatch); b != nil {
			t.startTask(laneNormal, b)
		}
	}
	if t.lanes[laneBig] == nil {
		if b := t.Queue.TakeBig(t.host.Now(), maxBatch); b != nil {
			t.startTask(laneBig, b)
		}
	}
}

// over says that nothing more begins, unless what runs fails.
func (t *Target) over() bool {
	return t.host.Draining() || t.Most > 0 && t.batches+uint64(t.Queue.Running()) >= t.Most
}

// maxBatch bounds the paths of one batch, so that its plan stays short.
const maxBatch = 50_000

// Next is when Advance has something to do again, zero when only an answer or
// a change can bring that about.
func (t *Target) Next() time.Time {
	if t.over() {
		return time.Time{}
	}
	if t.Pass != PassNone || (t.lanes[laneNormal] != nil && t.lanes[laneBig] != nil) ||
		t.away && (t.lanes[laneNormal] != nil || t.lanes[laneBig] != nil) {
		return time.Time{} // only an answer can help
	}
	redoAt := Earlier(t.redoAt, t.fullAt)
	at, ok := t.Queue.Next(t.host.Now())
	if !t.live { // nothing but a pass can begin
		at, ok = t.Queue.NextWhole(t.host.Now())
	}
	if !ok {
		return redoAt
	}
	return Earlier(at, redoAt)
}

// BeginPass has the target take part in the walk of a whole pass that begins
// now, if it wants one and is free to make it.
func (t *Target) BeginPass() bool {
	if t.over() || t.away || t.Pass != PassNone || t.lanes[laneNormal] != nil || !t.Queue.BeginWhole(t.host.Now()) {
		return false
	}
	t.Pass = PassWaiting
	return true
}

// StartPass begins the target's pass with the rules that the walk has found;
// over says that they are more than a pass can take.
func (t *Target) StartPass(rules []byte, over bool) {
	if over {
		t.host.Printf(Error, "%s: the names to be left out fill more than %d MiB; "+
			"use exclude patterns without ?, [ and !, which rsync understands itself", t.host.Name(), ipc.MaxList>>20)
		t.endPass(false)
		return
	}
	if t.Pass != PassRunning {
		t.Pass = PassRunning
		t.host.PassBegins()
	}
	k := &Task{t: t, lane: laneNormal, whole: true}
	k.jobs = []plan.Job{{Kind: ipc.JobInitial, List: rules}}
	t.lanes[laneNormal] = k
	k.start(k.jobs[0])
}

func (t *Target) endPass(ok bool) {
	if t.Pass == PassRunning {
		t.settling.ended = true
		t.host.PassEnded(t)
	}
	t.Pass = PassNone
	t.Queue.EndWhole(ok, t.host.Now(), t.host.Random)
	if ok {
		t.live = true
		t.initials++
		t.fullAt = t.host.FullSync(t)
	}
}

// Retry ends the back-off: what waits is tried now.
func (t *Target) Retry() {
	now := t.host.Now()
	t.Queue.Retry(now)
	if !t.redoAt.IsZero() {
		t.redoAt = now
	}
}

// ID is what the supervisor knows the target by.
func (t *Target) ID() ipc.TargetID { return t.id }

// Starting says whether a Start is on its way and not yet answered.
func (t *Target) Starting() bool {
	for _, k := range t.lanes {
		if k != nil && k.phase == phaseStarting {
			return true
		}
	}
	return false
}

// Earlier is the earlier of two moments, of which zero is never.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// Levels of sd-daemon(3), which the supervisor turns into records.
const (
	Error  = "<3>"
	Warn   = "<4>"
	Notice = "<5>"
)

// Report is the target's numbers.
func (t *Target) Report() status.Report {
	q := t.Queue
	rep := status.Report{
		Target: uint64(t.id),
		Queue:  uint64(q.Len()), Big: uint64(q.Big()), InFlight: uint64(q.InFlight()), Doubt: uint64(q.Doubt()),
		Synced: t.synced, Jobs: t.ended, Failed: t.failed, Initials: t.initials, ListDone: t.listed, Batches: t.batches,
		Attempts: t.attempts,
	}
	if !t.redoAt.IsZero() {
		rep.Doubt++ // what the last pass left undone
	}
	if t.attempts > 0 {
		rep.LastCode, rep.LastEnd = uint64(t.last.Code), uint64(t.last.End)
		rep.Fault = uint64(t.fault)
	}
	if t.held.End != ipc.EndNone {
		rep.Held, rep.HeldDeletes, rep.HeldEntries = uint64(t.held.End), t.held.Deletes, t.held.Entries
	}
	if !t.lastSync.IsZero() {
		rep.LastSync = uint64(t.lastSync.UnixNano())
	}
	return rep
}

// State is where the target stands.
func (t *Target) State() status.State {
	switch {
	case t.held.End != ipc.EndNone:
		return status.StateHeld
	case t.Pass == PassWaiting:
		return status.StateWalking
	case t.Pass == PassRunning:
		return status.StateInitial
	case t.attempts > 0 && !t.Queue.Idle(), !t.redoAt.IsZero():
		return status.StateRetrying
	case !t.live:
		return status.StateStarting
	case !t.Queue.Idle():
		return status.StateSyncing
	}
	return status.StateInStep
}
