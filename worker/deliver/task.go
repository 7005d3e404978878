package deliver

import (
	"fmt"

	"lockstep/ipc"
	"lockstep/worker/plan"
	"lockstep/worker/queue"
)

// maxSearches bounds the searches of one batch: the others in it must not wait for
// a file whose links change all the time.
const maxSearches = 2

// maxStats is how many Stat requests of a batch are under way at once.
const maxStats = 4

// phase of a task.
type phase uint8

const (
	phasePlanning  phase = iota // stats are on their way
	phaseSearching              // the names of an inode are being looked for
	phaseStarting               // Start was sent
	phaseRunning                // the runner has it
	phaseChecking               // files vanished while it ran: which?
)

// Task is one batch (or one whole pass) on its way through plan, jobs and
// acknowledgement.
type Task struct {
	t      *Target
	lane   int
	whole  bool
	phase  phase
	batch  *queue.Batch
	plan   *plan.Plan
	need   []string // paths still to be asked for
	flying int      // Stat requests under way
	jobs   []plan.Job
	failed []plan.Job
	gone   []string // vanished paths found by phaseChecking

	extended int // how often more has come in while it was planned
	searches int // for the names of inodes

	partial bool // of a whole pass: its first job left paths in doubt

	job     ipc.JobID
	beside  bool    // a whole pass whose walk has not ended
	ended   bool    // its job has ended before its walk
	verdict verdict // of that end
	afresh  func()  // begins the pass again, whatever comes of this one
}

// Target is whose task it is.
func (k *Task) Target() *Target { return k.t }

func (t *Target) startTask(lane int, b *queue.Batch) {
	k := &Task{t: t, lane: lane, batch: b}
	t.lanes[lane] = k
	k.Replan()
}

// Replan starts (or starts again) from what the paths are now: a list is
// always made afresh, never retried as it was.
func (k *Task) Replan() {
	opt := k.t.host.Options()
	if k.lane == laneBig {
		opt.BigSize = 0
	}
	k.plan = plan.New(k.batch.Entries, opt, k.t.host.Links())
	k.phase = phasePlanning
	k.ask()
}

// ask keeps up to maxStats requests under way, and goes on when none is left.
func (k *Task) ask() {
	if k.phase == phasePlanning && len(k.need) == 0 && k.flying == 0 {
		if k.need = k.plan.Need(); len(k.need) == 0 {
			k.planned()
			return
		}
	}
	for len(k.need) > 0 && k.flying < maxStats {
		n := FitRels(k.need)
		rels := k.need[:n:n]
		k.need = k.need[n:]
		k.flying++
		k.t.host.Ask(&ipc.Stat{Root: k.t.host.ID(), Rels: rels}, nil, k.stats(rels))
	}
	if k.phase == phaseChecking && len(k.need) == 0 && k.flying == 0 {
		k.checked()
	}
}

// FitRels says how many of the paths fit into one request.
func FitRels(rels []string) int {
	n, size := 0, 0
	for n < len(rels) && n < ipc.MaxRels {
		if size += len(rels[n]) + 4; n > 0 && size > ipc.MaxPacket-2048 {
			break
		}
		n++
	}
	return n
}

func (k *Task) stats(rels []string) Flight {
	return func(m ipc.Message, _ bool) error {
		a, err := Answer[ipc.StatAnswer](m)
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

// What a batch may grow by while it is planned is bounded: the first ones in it
// wait.
const (
	maxExtends = 2
	extendTo   = ipc.MaxRels // paths: one request asks for them
)

// extend has the batch take in what has come since: one change by a person is
// often several events, and the command that begins now would be the first of
// two.
func (k *Task) extend() bool {
	limit := extendTo
	if k.extended >= maxExtends {
		limit = 0
	}
	k.extended++
	fresh := k.t.Queue.Extend(k.batch, k.t.host.Now(), limit)
	if len(fresh) > 0 {
		k.plan.Extend(k.batch.Entries, fresh)
	}
	return len(fresh) > 0
}

// planned is reached when the plan needs no further stat.
func (k *Task) planned() {
	if k.extend() {
		k.ask()
		return
	}
	t, now := k.t, k.t.host.Now()
	for _, rel := range k.plan.TooLong() {
		t.host.TooLong(rel)
	}
	for _, rel := range k.plan.Skipped() {
		t.host.Skipped(rel)
	}
	if k.plan.Whole() {
		if t.Queue.Whole() { // it is in back-off: the others must not wait for it
			t.Queue.Requeue(k.batch, k.batch.Entries, now, t.host.Random)
		} else {
			t.Queue.AddWhole(now)
			t.Queue.Return(k.batch, now)
		}
		k.leave()
		return
	}
	if inodes := k.plan.Search(); len(inodes) > 0 && k.searches < maxSearches {
		k.searches++
		k.phase = phaseSearching
		k.find(inodes)
		return
	}
	k.plan.GiveUp() // whose links change faster than they are found
	t.Queue.Defer(k.batch, k.plan.Deferred(), now)
	k.jobs = k.plan.Jobs()
	k.step()
}

// step starts the next job, or ends the task.
func (k *Task) step() {
	if len(k.jobs) == 0 || k.t.host.Draining() {
		k.failed = append(k.failed, k.jobs...) // those that draining kept from starting
		k.end()
		return
	}
	k.start(k.jobs[0])
}

// end acknowledges what succeeded and puts the rest back.
func (k *Task) end() {
	t, now := k.t, k.t.host.Now()
	bad := plan.Failing(k.failed, k.plan.Failed())
	t.synced += uint64(len(k.batch.Entries) - len(bad))
	if len(bad) == 0 {
		t.Queue.Done(k.batch, now)
		if k.job != 0 { // else there was nothing to do
			t.batches++
		}
	} else {
		t.Queue.Requeue(k.batch, bad, now, t.host.Random)
	}
	for _, rel := range k.gone {
		t.Queue.Add(rel, queue.Name|queue.Replaced, now) // nobody knows what it was
	}
	k.leave()
}

// requeue puts all back, after a search for names that could not be completed.
func (k *Task) requeue() {
	k.t.Queue.Requeue(k.batch, k.batch.Entries, k.t.host.Now(), k.t.host.Random)
	k.leave()
}

// postpone puts all back: the target as a whole is at fault, not a path.
func (k *Task) postpone() {
	t, now := k.t, k.t.host.Now()
	switch {
	case k.whole:
		t.endPass(false)
	case k.knocking():
		t.Queue.Shut(now, t.host.Random)
	default:
		t.Queue.Postpone(k.batch, k.batch.Entries, now, t.host.Random)
	}
	k.leave()
}

func (k *Task) leave() { k.t.lanes[k.lane] = nil }

// start asks the helper for a job.
func (k *Task) start(j plan.Job) {
	k.phase = phaseStarting
	k.t.listed += uint64(len(j.List))
	k.t.host.Ask(&ipc.Start{Target: k.t.id, Kind: j.Kind, Size: uint32(len(j.List))}, j.List, k.started)
}

func (k *Task) started(m ipc.Message, _ bool) error {
	a, err := Answer[ipc.StartAnswer](m)
	if err != nil {
		return err
	}
	if a.Status != ipc.OK {
		// The runner is being restarted, or the helper drains: not a failure
		// of the command, but the target is not there for the moment.
		k.t.away = true
		k.postpone()
		return nil
	}
	k.phase, k.job = phaseRunning, a.Job
	k.t.host.Running(a.Job, k)
	if k.afresh != nil {
		k.stop()
	}
	return nil
}

// check asks which of the batch's paths are gone: rsync said that files
// vanished while it ran. Each has an event of its own on the way, because its
// directory is watched; asking makes that certain.
func (k *Task) check() {
	k.phase = phaseChecking
	k.need = k.need[:0]
	for _, en := range k.batch.Entries {
		k.need = append(k.need, en.Rel)
	}
	k.ask()
}

// checked goes on: what vanished is missing, and nothing stands in its place.
func (k *Task) checked() {
	k.jobs = k.jobs[1:]
	k.step()
}

// undone goes on after a job that has not done all. A list that failed may have left
// something else where a directory was to be.
func (k *Task) undone(failure bool) {
	var held []plan.Job
	failed := k.jobs[0]
	k.jobs = k.jobs[1:]
	if failure && failed.Kind != ipc.JobPrune {
		k.jobs, held = plan.Withhold(k.jobs)
	}
	k.failed = append(append(k.failed, failed), held...)
	k.step()
}
