// Package deliver brings one target up to date: it takes what is due from the
// target's queue, plans it, has it copied, and acknowledges what was copied.
//
// Trust: part of the worker, untrusted. Output of commands is hostile.
//
// Invariants: a batch ends in exactly one of Done, Requeue, Postpone and
// Return; what failed is planned afresh from what the paths are then; one
// command a lane runs at a time, and none beside a whole pass.
package deliver

import (
	"time"

	"lockstep/ipc"
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
	PassDone         // ended, or takes no part
)

// Flight consumes the packets of one request's answer.
type Flight func(h ipc.Header, payload []byte) error

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
	Find(k *Task, inodes []uint64) // look for names, then k.Replan
	Skipped(rel string)
	TooLong(rel string)
	Rules() (rules []byte, tooMany bool) // of the whole pass
	PassBegins()
	PassEnded()
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

	host  Host
	retry Retry
	id    ipc.TargetID
	name  string
	lanes [numLanes]*Task
	live  bool // a whole pass has gone through (or all but some paths): changes may follow

	redoAt   time.Time  // a pass left paths in doubt: when it is made again
	redone   uint64     // such passes in a row
	held     ipc.Exited // the hold that is in force; End is EndNone without
	last     ipc.Exited // the last failure
	lastSaid string     // what was last told about failures
	saidAt   time.Time
	attempts uint64 // failures in a row
	initials uint64
	synced   uint64
	ended    uint64
	failed   uint64
	lastSync time.Time
	listed   uint64 // bytes of lists
}

// Retry is the back-off of a whole pass that left paths in doubt.
type Retry struct{ Min, Max time.Duration }

// New makes a target with an empty queue. Its name is for messages, escaped.
func New(h Host, id ipc.TargetID, name string, c queue.Config) *Target {
	return &Target{host: h, id: id, name: name, Queue: queue.New(c, h.Now()), retry: Retry{c.RetryMin, c.RetryMax}}
}

// Advance starts what can start.
func (t *Target) Advance() {
	if t.host.Draining() {
		return
	}
	if !t.redoAt.IsZero() && !t.host.Now().Before(t.redoAt) {
		t.redoAt = time.Time{}
		t.Queue.AddWhole(t.host.Now())
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

// maxBatch bounds the paths of one batch, so that its plan stays short.
const maxBatch = 50_000

// Next is when Advance has something to do again, zero when only an answer or
// a change can bring that about.
func (t *Target) Next() time.Time {
	if t.host.Draining() {
		return time.Time{}
	}
	if t.Pass != PassNone || (t.lanes[laneNormal] != nil && t.lanes[laneBig] != nil) {
		return time.Time{} // only an answer can help
	}
	at, ok := t.Queue.Next(t.host.Now())
	if !t.live { // nothing but a pass can begin
		at, ok = t.Queue.NextWhole(t.host.Now())
	}
	if !ok {
		return t.redoAt
	}
	return Earlier(at, t.redoAt)
}

// StartPass hands the rules of the walk to the runner.
func (t *Target) StartPass() {
	rules, tooMany := t.host.Rules()
	if tooMany {
		t.host.Printf(Error, "%s: the names to be left out fill more than %d MiB; "+
			"use exclude patterns without ?, [ and !, which rsync understands itself", t.host.Name(), ipc.MaxList>>20)
		t.endPass(false)
		return
	}
	t.Pass = PassRunning
	k := &Task{t: t, lane: laneNormal, whole: true}
	t.lanes[laneNormal] = k
	t.host.PassBegins()
	k.start(ipc.JobInitial, rules)
}

func (t *Target) endPass(ok bool) {
	if t.Pass == PassRunning {
		t.host.PassEnded()
	}
	t.Pass = PassDone
	t.Queue.EndWhole(ok, t.host.Now(), t.host.Random)
	if ok {
		t.live = true
		t.initials++
	}
}

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
