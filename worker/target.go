package worker

import (
	"time"

	"lockstep/ipc"
	"lockstep/worker/queue"
)

// pass is a target's part in its root's whole pass.
type pass uint8

const (
	passNone    pass = iota
	passWaiting      // wants one; the walk is under way
	passRunning      // its JobInitial runs
	passDone         // ended, or takes no part
)

// lanes: small changes do not wait behind big files.
const (
	laneNormal = iota
	laneBig
	numLanes
)

// target is one destination: its queue, what runs for it, how it fares.
type target struct {
	root  *root
	id    ipc.TargetID
	name  string
	queue *queue.Queue
	lanes [numLanes]*task
	pass  pass
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

func newTarget(r *root, id ipc.TargetID, name string) *target {
	c := r.cfg
	return &target{root: r, id: id, name: name, queue: queue.New(queue.Config{
		Delay: c.Delay, MaxDelay: c.MaxDelay, BigDelay: c.BigDelay,
		RetryMin: c.RetryMin, RetryMax: c.RetryMax,
	}, r.e.now)}
}

// advance starts what can start.
func (t *target) advance() {
	if t.root.e.draining {
		return
	}
	if !t.redoAt.IsZero() && !t.root.e.now.Before(t.redoAt) {
		t.redoAt = time.Time{}
		t.queue.AddWhole(t.root.e.now)
	}
	if t.root.whole == wholeReady && t.pass == passWaiting {
		t.startPass()
		return
	}
	if !t.live || t.pass == passRunning {
		return
	}
	if t.lanes[laneNormal] == nil {
		if b := t.queue.Take(t.root.e.now, maxBatch); b != nil {
			t.startTask(laneNormal, b)
		}
	}
	if t.lanes[laneBig] == nil {
		if b := t.queue.TakeBig(t.root.e.now, maxBatch); b != nil {
			t.startTask(laneBig, b)
		}
	}
}

// maxBatch bounds the paths of one batch, so that its plan stays short.
const maxBatch = 50_000

func (t *target) next() time.Time {
	if t.root.e.draining {
		return time.Time{}
	}
	if t.pass != passNone || (t.lanes[laneNormal] != nil && t.lanes[laneBig] != nil) {
		return time.Time{} // only an answer can help
	}
	if !t.live && !t.queue.Whole() {
		return t.redoAt
	}
	at, ok := t.queue.Next(t.root.e.now)
	if !ok {
		return t.redoAt
	}
	return earlier(at, t.redoAt)
}

// startPass hands the rules of the walk to the runner.
func (t *target) startPass() {
	r := t.root
	if r.tooMany {
		r.e.log.printf(levelError, "%s: the names to be left out fill more than %d MiB, or one of them is too long; "+
			"use exclude patterns without ?, [ and !, which rsync understands itself", r.name, ipc.MaxList>>20)
		t.endPass(false)
		return
	}
	t.pass = passRunning
	k := &task{t: t, lane: laneNormal, whole: true}
	t.lanes[laneNormal] = k
	r.track.Pass(true)
	k.start(ipc.JobInitial, r.rejected)
}

func (t *target) endPass(ok bool) {
	t.pass = passDone
	t.root.e.barrier(t.root)
	t.queue.EndWhole(ok, t.root.e.now, t.root.e.rnd)
	if ok {
		t.live = true
		t.initials++
	}
}
