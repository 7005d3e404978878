package watch

import (
	"lockstep/ipc/status"
	"lockstep/worker/account"
)

// stepCost keeps account of what listing the whole tree takes, apart from the
// walk of the start: after a loss of events, and to compare it with the file
// system.
func (r *Root) stepCost() {
	c := r.track.Counters()
	// Lines are no log: what has ended is told in the line of numbers alone.
	_, _ = r.cost.Step(account.Now{
		At: r.host.Now(), Ready: r.ready, Listing: !r.track.Complete(), Verifying: c.Verifying, Draining: r.host.Draining(),
		Walks: c.Walks, Repairs: c.Repairs, Stale: c.Stale, Missing: c.Missing,
	})
}

// reportCost adds what that took. How often, and why, the lines say, which count
// a part of the tree as well.
func (r *Root) reportCost(rep *status.Report) {
	var all status.Report
	r.cost.Report(&all)
	rep.RescanDirs += all.RescanDirs
	rep.RescanNanos += all.RescanNanos
	rep.VerifyDirs += all.VerifyDirs
	rep.VerifyNanos += all.VerifyNanos
}
