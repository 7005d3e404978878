package worker

import (
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rsync"
	"lockstep/worker/deliver"
	"lockstep/worker/links"
	"lockstep/worker/plan"
)

// The root as its targets see it (deliver.Host).

func (r *root) Now() time.Time  { return r.e.now }
func (r *root) Draining() bool  { return r.e.draining }
func (r *root) Random() float64 { return rand.Float64() } // jitter: nothing that must not be guessed

func (r *root) Ask(m ipc.Message, list []byte, f deliver.Flight) { r.e.ask(m, list, f) }

func (r *root) Printf(level, format string, args ...any) { r.e.log.Printf(level, format, args...) }

func (r *root) Running(job ipc.JobID, k *deliver.Task) {
	r.e.jobs[job] = k
	if x, ok := r.e.early[job]; ok {
		delete(r.e.early, job)
		r.e.exited(x)
	}
}

func (r *root) ID() ipc.RootID      { return r.id }
func (r *root) Name() string        { return r.name }
func (r *root) Links() *links.Index { return r.links }

// wideFrom is from how many paths on a list may be divided: so many take rsync
// several times as long as another rsync takes to start.
const wideFrom = 2048

func (r *root) Options() plan.Options {
	opt := plan.Options{
		Devices: r.cfg.Devices, BigSize: r.cfg.BigSize, InexactExcludes: r.inexact, Mounts: r.cfg.Mounts,
		Keep: r.cfg.Delete != settings.DeleteAlways,
		Wide: wideFrom, Tell: plan.Telling(r.cfg.Tell),
		// Below which nothing is known now: they cannot be named, or not be listed.
		Unknown: func() []string { return append(r.unnamed(), r.track.Failing()...) },
	}
	if !r.rules.Empty() {
		opt.Excluded = r.rules.Excluded
	}
	return opt
}

func (r *root) Skipped(rel string) { r.special.Add(rel) }
func (r *root) TooLong(rel string) { (*sink)(r).TooLong(rel) }

func (r *root) PassBegins() { r.track.Pass(true) }

func (r *root) PassEnded(t *deliver.Target) {
	r.barrier(func() {
		r.track.Pass(false)
		t.CaughtUp()
		// The walk's garbage goes back to the kernel now: what comes is little, and
		// it could be hours until as much has been allocated again.
		debug.FreeOSMemory()
	})
}

// FullSync spreads the targets' passes: each has a share of its own of the tenth
// before and the tenth after the time at which they are due.
func (r *root) FullSync(t *deliver.Target) time.Time {
	if r.cfg.FullSyncEvery <= 0 {
		return time.Time{}
	}
	share := (float64(slices.Index(r.targets, t)) + r.Random()) / float64(len(r.targets))
	return r.e.now.Add(time.Duration(float64(r.cfg.FullSyncEvery) * (0.9 + 0.2*share)))
}

// Dirs lists every directory of the tree as it is now.
func (r *root) Dirs() []string { return r.track.Tree().Paths(rsync.MaxRel) }
