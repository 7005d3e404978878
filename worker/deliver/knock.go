package deliver

import (
	"time"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/worker/plan"
)

// A target that could not be reached is away: before anything is planned for it
// again, and before its root is walked for a pass, it is knocked on with a
// command that changes nothing.

// due says whether there is something to be done now.
func (t *Target) due() bool {
	now := t.host.Now()
	at, ok := t.Queue.Next(now)
	if !t.live {
		at, ok = t.Queue.NextWhole(now)
	}
	return ok && !at.After(now)
}

// knock asks a target that is away whether it is back, when something is due.
func (t *Target) knock() {
	if t.lanes[laneNormal] != nil || t.lanes[laneBig] != nil || t.Pass != PassNone || !t.due() {
		return
	}
	k := &Task{t: t, lane: laneNormal}
	k.jobs = []plan.Job{{Kind: ipc.JobKnock, List: plan.Knock()}}
	t.lanes[laneNormal] = k
	k.start(k.jobs[0])
}

// knocking says whether the task is no more than that.
func (k *Task) knocking() bool { return len(k.jobs) > 0 && k.jobs[0].Kind == ipc.JobKnock }

// answered acts on the end of a knock. What the target's paths would come to is
// for their own commands to find out: any end but that of one that is away will
// do.
func (k *Task) answered(x *ipc.Exited) {
	t := k.t
	k.leave()
	f := rsync.Diagnose(x.End, int(x.Code), x.Tail)
	if !f.Away() {
		t.away = false
		t.isBack()
		return
	}
	t.isAway(f)
	t.failure(x, f)
	t.Queue.Shut(t.host.Now(), t.host.Random)
}

const (
	// longAway is how long a target may be away for reasons of the network alone:
	// a host takes longer to start anew.
	longAway = 10 * time.Second
	// compareGap is least between two passes of a target that comes and goes.
	compareGap = 10 * time.Minute
)

// isAway notes since when, and whether it may be another one when it is back.
func (t *Target) isAway(f rsync.Fault) {
	t.away = true
	if f == rsync.FaultBusy {
		return // it answers
	}
	if t.left.IsZero() {
		t.left = t.host.Now()
	}
	t.doubted = t.doubted || f.Class() == rsync.Person
}

// isBack has the whole tree compared, where what is back may be another one than
// what went: a host that was started or installed anew, a disk that was mounted or
// is not, a daemon that serves another directory. What was acknowledged may not be
// there, and no event will say so.
func (t *Target) isBack() {
	now, left, doubted := t.host.Now(), t.left, t.doubted
	t.left, t.doubted = time.Time{}, false
	if !t.live || left.IsZero() || !doubted && now.Sub(left) < longAway {
		return
	}
	switch next := t.compared.Add(compareGap); {
	case t.compared.After(now): // it is put off till then
		t.redoAt = Earlier(t.redoAt, t.compared)
		return
	case !t.compared.IsZero() && next.After(now):
		t.compared, t.redoAt = next, Earlier(t.redoAt, next)
		return
	}
	t.compared = now
	t.host.Printf(Notice, "%s → %s: back after %v; the whole tree is compared, since it may not be what it was",
		t.host.Name(), t.name, now.Sub(left).Round(time.Second))
	t.Queue.AddWhole(now)
}
