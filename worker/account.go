package worker

import (
	"lockstep/worker/account"
	"lockstep/worker/deliver"
)

// stepLimit keeps a tree in step by rescans when the kernel gives no more
// watches (unless a person wants no such rescans), and says what can be done.
func (r *root) stepLimit() {
	if !r.walking && r.links.Len() > 2*r.names+maxStaleNames {
		r.names = r.links.Len()
		r.demand(account.Names)
	}
	c := r.track.Counters()
	compare, told := r.limit.Step(c.Unwatched, c.Dirs, r.track.Idle(), r.walking, r.e.now)
	if told != "" {
		r.e.log.Printf(deliver.Warn, "%s: %s", r.name, told)
	}
	if compare {
		r.demand(account.Unwatched)
	}
}

// verify begins a comparison of tree and file system, both ways. It is made of
// walks as all else is: few are under way at a time (track.Config.MaxWalks,
// walks.Most), and events are applied between their answers.
func (r *root) verify() {
	if r.ready && !r.track.Counters().Verifying {
		r.track.Verify()
	}
}

// stepAccount keeps account of what listing the whole tree takes, and verifies it
// when that is due.
func (r *root) stepAccount() {
	verify, told := r.account.Step(r.seen())
	if told != "" {
		r.e.log.Printf(deliver.Notice, "%s: %s", r.name, told)
	}
	if verify {
		r.verify()
	}
}

// seen is the root as its account sees it.
func (r *root) seen() account.Now {
	c := r.track.Counters()
	return account.Now{
		At: r.e.now, Ready: r.ready, Listing: !r.track.Complete(), Passing: r.walking, Verifying: c.Verifying, Draining: r.e.draining,
		Walks: c.Walks, Repairs: c.Repairs, Stale: c.Stale, Missing: c.Missing,
	}
}
