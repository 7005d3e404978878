package deliver

import (
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
	if t.away = f.Away(); t.away {
		t.failure(x, f)
		t.Queue.Shut(t.host.Now(), t.host.Random)
	}
}
