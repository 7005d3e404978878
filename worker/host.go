package worker

import (
	"math/rand/v2"
	"time"

	"lockstep/ipc"
	"lockstep/worker/deliver"
	"lockstep/worker/links"
	"lockstep/worker/plan"
)

// The root as its targets see it (deliver.Host).

func (r *root) Now() time.Time  { return r.e.now }
func (r *root) Draining() bool  { return r.e.draining }
func (r *root) Random() float64 { return rand.Float64() } // jitter: nothing that must not be guessed

func (r *root) Ask(m ipc.Message, list []byte, f deliver.Flight) { r.e.ask(m, list, f) }

func (r *root) Printf(level, format string, args ...any) { r.e.log.printf(level, format, args...) }

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

func (r *root) Options() plan.Options {
	opt := plan.Options{
		Devices: r.cfg.Devices, BigSize: r.cfg.BigSize,
		InexactExcludes: r.inexact, Mounts: r.cfg.Mounts,
	}
	if !r.rules.Empty() {
		opt.Excluded = r.rules.Excluded
	}
	return opt
}

func (r *root) Skipped(rel string) { r.special.add(rel) }
func (r *root) TooLong(rel string) { (*sink)(r).TooLong(rel) }

func (r *root) Rules() ([]byte, bool) { return r.rejected, r.tooMany }

func (r *root) PassBegins() { r.track.Pass(true) }
func (r *root) PassEnded()  { r.e.barrier(barrier{root: r}) }
