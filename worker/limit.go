package worker

import (
	"fmt"
	"time"

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
	if c.Unwatched == 0 {
		r.limitAt, r.limitSaid = time.Time{}, 0
		return
	}
	if r.track.Idle() && c.Unwatched != r.limitSaid {
		r.limitSaid = c.Unwatched
		r.e.log.printf(deliver.Warn, "%s: watch limit reached: %d of %d directories are not watched; %s. %s",
			r.name, c.Unwatched, c.Dirs, r.degraded(), moreWatches(r.cfg.WatchLimit, c.Unwatched))
	}
	if r.cfg.UnwatchedEvery <= 0 {
		return
	}
	if r.limitAt.IsZero() {
		r.limitAt = r.e.now.Add(r.cfg.UnwatchedEvery)
	}
	if !r.e.now.Before(r.limitAt) && !r.walking {
		r.limitAt = r.e.now.Add(r.cfg.UnwatchedEvery)
		r.demand(account.Unwatched)
	}
}

// degraded says what becomes of directories without a watch.
func (r *root) degraded() string {
	if r.cfg.UnwatchedEvery <= 0 {
		return "CHANGES IN THEM ARE NOT SEEN until the next whole comparison, because unwatched_every is 0"
	}
	return fmt.Sprintf("they are compared every %v", r.cfg.UnwatchedEvery)
}

// moreWatches says which sysctl to set to which number. The limit is one of all
// processes of a user (inotify(7)): what the others have is part of what it was
// when it was reached.
func moreWatches(limit, unwatched uint64) string {
	const sysctl = "fs.inotify.max_user_watches"
	if limit == 0 {
		return fmt.Sprintf("Set sysctl %s to at least %d more than now", sysctl, unwatched)
	}
	return fmt.Sprintf("Set sysctl %s to at least %d (it was %d)", sysctl, limit+unwatched, limit)
}
