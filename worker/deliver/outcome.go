package deliver

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/worker/plan"
	"lockstep/worker/queue"
)

// verdict is what an ended job means for its paths.
type verdict uint8

const (
	verdictDone     verdict = iota
	verdictVanished         // files went while it ran: look which
	verdictPartial          // some paths failed: all of the job's are in doubt
	verdictBroken           // it broke off at a path: which one is not known
	verdictFailed           // the target as a whole failed
	verdictHeld             // a guard holds the pass
)

// judge reads a job's end, of which f is the fault. debris says that rsync may
// have left files of its own on the target.
func judge(x *ipc.Exited, f rsync.Fault) (v verdict, debris bool) {
	switch x.End {
	case ipc.EndHeldEmpty, ipc.EndHeldMany:
		return verdictHeld, false
	case ipc.EndExited:
	case ipc.EndRefused:
		return verdictFailed, false
	default:
		return verdictFailed, true
	}
	m := rsync.ExitMeaning(int(x.Code))
	switch {
	case x.Code == 0 && len(x.Tail) > 0:
		return verdictPartial, false // a warning on success: its path is in doubt
	case x.Code == 0:
		return verdictDone, false
	case x.Code == exitVanished:
		return verdictVanished, false
	case f == rsync.FaultReadOnly && x.Code == exitPartial:
		return verdictPartial, m.Debris // it may be a file system mounted below the target
	case f.Away():
		return verdictFailed, m.Debris // no path is at fault
	case f == rsync.FaultVanished: // and gave up, in the middle
		return verdictBroken, true
	case f == rsync.FaultDiskFull, x.Code == exitFileIO:
		return verdictBroken, false // it says so and cleans up first
	case m.Class == rsync.Partial:
		return verdictPartial, m.Debris
	}
	return verdictFailed, m.Debris
}

// judged is judge, of what the target's command is: of a handler's exit codes
// nothing is known but that 0 is success, and it cleans up after itself.
func (k *Task) judged(x *ipc.Exited) (verdict, rsync.Fault, bool) {
	f := rsync.Diagnose(x.End, int(x.Code), x.Tail)
	if !k.told() {
		v, debris := judge(x, f)
		return v, f, debris
	}
	v, _ := judge(x, f)
	if x.End == ipc.EndExited && x.Code != 0 {
		v, f = verdictFailed, rsync.FaultHandler
	}
	if k.whole && v == verdictFailed && (x.End == ipc.EndExited || x.End == ipc.EndSignalled || x.End == ipc.EndTimeout) {
		v = verdictPartial // all was told, and one path is enough to fail at
	}
	return v, f, false
}

// told says that the target's command is a handler.
func (k *Task) told() bool { return k.t.host.Options().Tell != plan.TellNothing }

// exitFileIO is rsync(1)'s "error in file I/O": most often a file that does not
// fit on the target, at which rsync gives up although others would fit.
const exitFileIO = 11

// exitPartial is rsync(1)'s "partial transfer due to error": it went on, and did
// what it could.
const exitPartial = 23

// exitVanished is rsync(1)'s "some files vanished before they could be
// transferred".
const exitVanished = 24

// Exited acts on the end of the task's job.
func (k *Task) Exited(x ipc.Exited) {
	t := k.t
	t.ended++
	if k.knocking() {
		k.answered(&x)
		return
	}
	if k.afresh != nil {
		k.repeat()
		return
	}
	v, f, debris := k.judged(&x)
	if k.whole && v == verdictBroken && f == rsync.FaultDiskFull && x.Code != exitFileIO {
		v = verdictPartial // it went on, and did all that there was room for
	}
	t.account(k, v, f, &x)
	if debris {
		t.sweep(k)
	}
	if k.whole {
		k.passEnded(v)
		return
	}
	switch v {
	case verdictDone:
		k.jobs = k.jobs[1:]
		k.step()
	case verdictVanished:
		k.check()
	case verdictPartial:
		if x.Code == 0 && worn(k.jobs[0].Entries) {
			k.jobs = k.jobs[1:] // the warning stays whatever is done; it was told
			k.step()
			return
		}
		k.undone(x.Code != 0)
	case verdictBroken:
		t.Queue.Bisect(k.batch, k.batch.Entries, t.host.Now(), t.host.Random)
		k.leave()
	default:
		if k.ownFault(f, x.End) && tried(k.batch.Entries) {
			t.Queue.Bisect(k.batch, k.batch.Entries, t.host.Now(), t.host.Random)
			k.leave()
			return
		}
		k.postpone()
	}
}

// ownFault says that a failure can be one path's, and not the target's: the
// command ran and was ended in the middle. A handler's list is made of its paths by
// the runner, which can refuse it for what they are.
func (k *Task) ownFault(f rsync.Fault, end ipc.End) bool {
	switch end {
	case ipc.EndRefused:
		return k.told()
	case ipc.EndExited, ipc.EndSignalled, ipc.EndTimeout:
		return !f.Away() || f == rsync.FaultTimeout
	}
	return false
}

// tried says that a batch failed as a whole before: then it is divided, to find
// the path at fault.
func tried(entries []queue.Entry) bool {
	return slices.ContainsFunc(entries, func(e queue.Entry) bool { return e.Attempts >= triedAfter })
}

const triedAfter = 2

// wornAfter is how often a path whose command succeeds with a warning is done
// again before the warning is taken for a statement rather than a doubt.
const wornAfter = 3

func worn(entries []queue.Entry) bool {
	for _, en := range entries {
		if en.Attempts < wornAfter {
			return false
		}
	}
	return true
}

// passEnded acts on the end of a job of a whole pass: its own, or the one that
// compares content after it.
func (k *Task) passEnded(v verdict) {
	t := k.t
	if k.beside { // what must be left out is not known yet: see Walked
		k.ended, k.verdict = true, v
		return
	}
	// What vanished was there when the walk began and has its own event since,
	// unless its directory has no watch: then the next rescan, due within
	// limitEvery, finds it. Warnings were told; every path was compared.
	fine := v == verdictDone || v == verdictVanished || v == verdictPartial && t.last.End == ipc.EndExited && t.last.Code == 0
	switch content := k.jobs[0].Kind == ipc.JobContent; {
	case !fine && v != verdictPartial && !content:
		k.leave()
		t.endPass(false)
		return
	case content && !fine:
		t.Queue.KeepContents()
	case !content && len(t.Queue.Contents()) > 0 && !t.host.Draining():
		k.partial = !fine
		k.jobs[0] = plan.Job{Kind: ipc.JobContent, List: plan.Contents(k.jobs[0].List, t.Queue.Contents(), t.host.Links())}
		k.start(k.jobs[0])
		return
	case !content && len(t.Queue.Contents()) > 0: // no time for it
		t.Queue.KeepContents()
		k.partial = true
	}
	k.leave()
	t.endPass(true)
	if fine && !k.partial {
		t.redone = 0
		t.batches++
		return
	}
	// Most of the tree is right: changes may follow until the pass is tried
	// again. Until it succeeds the target is not in step.
	t.redo()
}

// redo has the whole pass made again after a back-off that doubles.
func (t *Target) redo() {
	c := t.retry
	wait := max(c.Min, time.Second)
	for range min(t.redone, 30) {
		wait = min(wait*2, max(c.Max, wait))
	}
	t.redoAt = t.host.Now().Add(wait)
	t.redone++
}

// sweep has the directories that a broken-off command wrote to compared again:
// rsync's temporary files must not stay. (Of a prune, whose list is rules, it
// asks for a whole pass.)
func (t *Target) sweep(k *Task) {
	now := t.host.Now()
	dirs := make(map[string]struct{})
	if !k.whole && len(k.jobs) > 0 && k.jobs[0].Kind != ipc.JobPrune {
		for entry := range bytes.SplitSeq(k.jobs[0].List, []byte{0}) {
			d := path.Dir(string(entry)) // of "./a/b" it is "a"
			if len(entry) == 0 {
				continue
			}
			if d == "." {
				dirs = nil
				break
			}
			dirs[d] = struct{}{}
		}
	}
	if len(dirs) == 0 || len(dirs) > maxSweep {
		t.Queue.AddWhole(now)
		return
	}
	for d := range dirs {
		t.Queue.Add(d, queue.Replaced, now)
	}
}

const maxSweep = 64

// account counts and tells.
func (t *Target) account(k *Task, v verdict, f rsync.Fault, x *ipc.Exited) {
	if v == verdictDone || v == verdictVanished {
		if (k.whole && t.held.End != ipc.EndNone) || t.attempts > 0 {
			t.host.Printf(Notice, "%s → %s: going on", t.host.Name(), t.name)
		}
		if k.whole {
			t.held = ipc.Exited{} // what holds a pass is not lifted by a list
		}
		t.attempts, t.lastSaid = 0, ""
		t.lastSync = time.Now()
		t.Queue.Person(false)
		return
	}
	if f.Away() && v != verdictPartial {
		t.isAway(f)
	}
	if v == verdictHeld {
		t.held = *x
		t.held.Tail = nil
	}
	t.failure(x, f)
}

// failure counts a failure and tells it.
func (t *Target) failure(x *ipc.Exited, f rsync.Fault) {
	t.failed++
	t.attempts++
	x.Tail = bytes.Clone(x.Tail)
	t.last, t.fault = *x, f
	// What a guard holds may be mended by the next change of the source.
	t.Queue.Person(f.Class() == rsync.Person && f != rsync.FaultHeld)
	if f != rsync.FaultHeld { // the supervisor tells that, with what a person can do
		t.tell(x)
	}
}

// tell logs a failure by its name: the same one again only as the back-off
// spaces it, and at most once in sayAgain.
func (t *Target) tell(x *ipc.Exited) {
	name := t.fault.Name()
	if name == t.lastSaid && t.host.Now().Sub(t.saidAt) < sayAgain {
		return
	}
	t.lastSaid, t.saidAt = name, t.host.Now()
	t.host.Printf(Warn, "%s → %s: %s", t.host.Name(), t.name, describe(t.fault, x))
	for _, line := range lastLines(x.Tail, 3) {
		t.host.Printf(Warn, "%s → %s: it said: %s", t.host.Name(), t.name, line)
	}
}

// sayAgain is when a failure that stays the same is told again.
const sayAgain = time.Minute

// describe is "NAME: text; advice", in fixed words and numbers.
func describe(f rsync.Fault, x *ipc.Exited) string {
	text := f.Name() + ": " + f.Text()
	switch {
	case x.End == ipc.EndExited && x.Code != 0:
		text += fmt.Sprintf(" (exit code %d)", x.Code)
	case x.End == ipc.EndSignalled:
		text += fmt.Sprintf(" (%d)", x.Code)
	}
	if advice := f.Advice(); advice != "" {
		return text + "; " + advice
	}
	return text
}

// lastLines gives the last n lines of output, escaped and short.
func lastLines(tail []byte, n int) []string {
	lines := strings.Split(strings.TrimRight(string(tail), "\n"), "\n")
	lines = lines[max(len(lines)-n, 0):]
	out := lines[:0]
	for _, l := range lines {
		if l = strings.TrimRight(l, "\r"); l != "" { // ssh ends its lines so
			out = append(out, escape.Name(l[:min(len(l), 400)]))
		}
	}
	return out
}
