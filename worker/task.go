package worker

import (
	"fmt"

	"lockstep/ipc"
	"lockstep/worker/plan"
	"lockstep/worker/queue"
)

// phase of a task.
type phase uint8

const (
	phasePlanning  phase = iota // stats are on their way
	phaseSearching              // the names of an inode are being looked for
	phaseStarting               // Start was sent
	phaseRunning                // the runner has it
	phaseChecking               // files vanished while it ran: which?
)

// task is one batch (or one whole pass) on its way through plan, jobs and
// acknowledgement.
type task struct {
	t      *target
	lane   int
	whole  bool
	phase  phase
	batch  *queue.Batch
	plan   *plan.Plan
	need   []string // paths still to be asked for
	flying int      // Stat requests under way
	jobs   []plan.Job
	failed []plan.Job
	job    ipc.JobID
	gone   []string // vanished paths found by phaseChecking
	retold bool     // a search has been made already
}

func (t *target) startTask(lane int, b *queue.Batch) {
	k := &task{t: t, lane: lane, batch: b}
	t.lanes[lane] = k
	k.replan()
}

func (k *task) engine() *engine { return k.t.root.e }

// replan starts (or starts again) from what the paths are now: a list is
// always made afresh, never retried as it was.
func (k *task) replan() {
	r := k.t.root
	opt := plan.Options{
		Devices: r.cfg.Devices, BigSize: r.cfg.BigSize,
		InexactExcludes: r.inexact, Mounts: r.cfg.Mounts,
	}
	if !r.rules.Empty() {
		opt.Excluded = r.rules.Excluded
	}
	if k.lane == laneBig {
		opt.BigSize = 0
	}
	k.plan = plan.New(k.batch.Entries, opt, r.links)
	k.phase = phasePlanning
	k.ask()
}

// ask keeps up to maxStats requests under way, and goes on when none is left.
func (k *task) ask() {
	if k.phase == phasePlanning && len(k.need) == 0 && k.flying == 0 {
		if k.need = k.plan.Need(); len(k.need) == 0 {
			k.planned()
			return
		}
	}
	for len(k.need) > 0 && k.flying < maxStats {
		n, size := 0, 0
		for n < len(k.need) && n < ipc.MaxRels {
			size += len(k.need[n]) + 2
			if n > 0 && size > maxRelBytes {
				break
			}
			n++
		}
		rels := k.need[:n:n]
		k.need = k.need[n:]
		k.flying++
		k.engine().ask(&ipc.Stat{Root: k.t.root.id, Rels: rels}, nil, k.stats(rels))
	}
	if k.phase == phaseChecking && len(k.need) == 0 && k.flying == 0 {
		k.checked()
	}
}

func (k *task) stats(rels []string) flight {
	return func(h ipc.Header, payload []byte) error {
		a, err := ipc.DecodeStatAnswer(payload)
		if err != nil {
			return err
		}
		if len(a.Stats) != len(rels) {
			return fmt.Errorf("%d stats for %d paths", len(a.Stats), len(rels))
		}
		for i, s := range a.Stats {
			switch {
			case k.phase == phasePlanning:
				k.plan.Feed(rels[i], s)
			case s.Status != ipc.OK:
				k.gone = append(k.gone, rels[i])
			}
		}
		k.flying--
		k.ask()
		return nil
	}
}

// planned is reached when the plan needs no further stat.
func (k *task) planned() {
	t, e := k.t, k.engine()
	for _, rel := range k.plan.TooLong() {
		(*sink)(t.root).TooLong(rel)
	}
	for _, rel := range k.plan.Skipped() {
		t.root.special[rel] = struct{}{}
	}
	if k.plan.Whole() {
		t.queue.AddWhole(e.now)
		t.queue.Return(k.batch, e.now)
		k.leave()
		return
	}
	if inodes := k.plan.Search(); len(inodes) > 0 {
		k.phase = phaseSearching
		t.root.find(k, inodes)
		return
	}
	t.queue.Defer(k.batch, k.plan.Deferred(), e.now)
	k.jobs = k.plan.Jobs()
	k.step()
}

// step starts the next job, or ends the task.
func (k *task) step() {
	if len(k.jobs) == 0 || k.engine().draining {
		k.failed = append(k.failed, k.jobs...) // those that draining kept from starting
		k.end()
		return
	}
	k.start(k.jobs[0].Kind, k.jobs[0].List)
}

// end acknowledges what succeeded and puts the rest back.
func (k *task) end() {
	t, e := k.t, k.engine()
	bad := plan.Failing(k.failed, k.plan.Failed())
	t.synced += uint64(len(k.batch.Entries) - len(bad))
	if len(bad) == 0 {
		t.queue.Done(k.batch, e.now)
	} else {
		t.queue.Requeue(k.batch, bad, e.now, e.rnd)
	}
	for _, rel := range k.gone {
		t.queue.Add(rel, queue.Name, e.now)
	}
	k.leave()
}

// postpone puts all back: the target as a whole is at fault, not a path.
func (k *task) postpone() {
	t, e := k.t, k.engine()
	if k.whole {
		t.endPass(false)
	} else {
		t.queue.Postpone(k.batch, k.batch.Entries, e.now, e.rnd)
	}
	k.leave()
}

func (k *task) leave() { k.t.lanes[k.lane] = nil }

// start asks the helper for a job.
func (k *task) start(kind ipc.JobKind, list []byte) {
	k.phase = phaseStarting
	k.t.listed += uint64(len(list))
	k.engine().ask(&ipc.Start{Target: k.t.id, Kind: kind, Size: uint32(len(list))}, list, k.started)
}

func (k *task) started(_ ipc.Header, payload []byte) error {
	a, err := ipc.DecodeStartAnswer(payload)
	if err != nil {
		return err
	}
	if a.Status != ipc.OK {
		// The runner is being restarted, or the helper drains: not a failure
		// of the command, but the target is not there for the moment.
		k.postpone()
		return nil
	}
	e := k.engine()
	k.phase, k.job = phaseRunning, a.Job
	e.jobs[a.Job] = k
	if x, ok := e.early[a.Job]; ok {
		delete(e.early, a.Job)
		e.exited(x)
	}
	return nil
}

// check asks which of the batch's paths are gone: rsync said that files
// vanished while it ran. Each has an event of its own on the way, because its
// directory is watched; asking makes that certain.
func (k *task) check() {
	k.phase = phaseChecking
	k.need = k.need[:0]
	for _, en := range k.batch.Entries {
		k.need = append(k.need, en.Rel)
	}
	k.ask()
}

func (k *task) checked() {
	k.jobs = k.jobs[1:]
	k.step()
}
