package worker

import (
	"time"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/monitor"
	"lockstep/worker/busy"
	"lockstep/worker/deliver"
	"lockstep/worker/listing"
	"lockstep/worker/phrase"
	"lockstep/worker/poll"
	"lockstep/worker/track"
)

// Where changes are found by comparing listings (worker/poll), all of them or, with
// dnotify, those in a directory of which no more is told.

func (r *root) startPoll() {
	every, compares := r.cfg.Monitor.Compares(r.cfg.PollEvery)
	if !compares {
		return
	}
	r.poll = poll.New(poll.Config{
		Root: uint32(r.id), Inodes: r.cfg.Inodes, Every: every,
		Dirs: r.Dirs, Known: r.track.Tree().Has,
		Emit: func(e monitor.PathEvent) {
			r.e.events++
			r.track.Path(e, r.e.now)
		},
		Say: func(rel string, status uint16) {
			r.e.log.Printf(deliver.Warn, "%s: cannot list %s just now: %s; it is listed again, and compared with what was there before", r.name, phrase.Dir(rel), phrase.Status(ipc.Status(status)))
		},
	})
}

// listsAll says whether every entry of a directory is of interest: to leave out
// what is excluded, to compare it later, or to know how much there is: where nobody can
// count what a handler has, that tells a source that was emptied from one that was empty.
func (r *root) listsAll() bool {
	return r.poll != nil || !r.rules.Empty() || r.cfg.Tell != settings.TellNothing
}

// told applies an event that names its directory by its path.
func (r *root) told(e monitor.PathEvent) {
	if e.Mask.Has(monitor.Changed) && r.poll != nil && r.poll.Ask(string(e.Dir)) {
		return
	}
	r.track.Path(e, r.e.now)
}

// barrier has f called once every change up to now was applied.
func (r *root) barrier(f func()) {
	if r.poll == nil {
		r.e.barriers.Add(f)
		return
	}
	r.e.barriers.Add(func() { r.poll.Mark(f) })
}

// compare has a listing compared with the one before.
func (r *root) compare(rel string, part listing.Part, asked time.Time, own bool) {
	if r.poll != nil {
		r.poll.Listed(rel, part, asked, r.e.now, own)
	}
}

// stepPoll asks for the next directories of a round, once the initial walk has
// brought what they are compared with.
func (r *root) stepPoll() {
	if r.ready {
		r.asks.Round(r.poll)
	}
}

// startBusy keeps account of directories in which too much happens.
func (r *root) startBusy() {
	if r.cfg.Monitor != settings.MonitorInotify || !r.cfg.Inodes {
		return // nobody hears of each change; or what is at a name could not be told from what was
	}
	r.busy = busy.New(busy.Config{
		Root: uint32(r.id), Rate: int(r.cfg.BusyRate),
		Emit:  func(e monitor.PathEvent) { r.track.Path(e, r.e.now) },
		Prune: func(rel string) { (*sink)(r).Dirty(rel, track.Attr|track.Replaced, nil) },
		Say: func(rel string, begins bool) {
			r.e.log.Printf(deliver.Notice, "%s: %s", r.name, phrase.Busy(rel, begins))
		},
	}, r.track)
}

// stepBusy has those listed that are due, once the initial walk has ended.
func (r *root) stepBusy() {
	if r.busy.Step(r.e.now); r.ready {
		r.asks.Round(r.busy.Poller())
	}
}

func (r *root) nextPoll() time.Time {
	if !r.ready || len(r.asks.List) > 0 { // their answers come first
		return time.Time{}
	}
	if r.poll == nil {
		return r.busy.Next()
	}
	return r.poll.Next()
}
