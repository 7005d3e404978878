package worker

import (
	"time"

	"lockstep/worker/account"
	"lockstep/worker/deliver"
)

// verify begins a comparison of tree and file system, both ways. It is made of
// walks as all else is: few are under way at a time (track.Config.MaxWalks,
// maxWalks), and events are applied between their answers.
func (r *root) verify() {
	if r.ready && !r.track.Counters().Verifying {
		r.track.Verify()
	}
}

// stepVerify keeps account of what listing the whole tree takes, and verifies at
// the interval that verify_every gives: since the last time that every directory
// was listed, for whatever reason.
func (r *root) stepVerify() {
	c := r.track.Counters()
	if ended := r.account.Step(r.listing(c.Verifying), r.e.now, c.Walks, c.Repairs); ended.Kind != account.Nothing {
		r.verifyAt = time.Time{}
		r.tell(ended, c.Stale, c.Missing)
	}
	if r.cfg.VerifyEvery <= 0 || !r.ready || r.e.draining {
		return
	}
	if r.verifyAt.IsZero() {
		r.verifyAt = r.e.now.Add(r.cfg.VerifyEvery)
	}
	if r.waits() && !r.e.now.Before(r.verifyAt) {
		r.timed = true
		r.verify()
	}
}

// waits says whether a verification can begin: no other listing of all is under way.
func (r *root) waits() bool { return r.track.Complete() && !r.walking }

// nextVerify is when stepVerify has something to do; zero: no time soon.
func (r *root) nextVerify() time.Time {
	if r.e.draining || !r.waits() {
		return time.Time{}
	}
	return r.verifyAt
}

// listing is why every directory is being listed.
func (r *root) listing(verifying bool) account.Kind {
	switch {
	case r.track.Complete():
		return account.Nothing
	case !r.ready:
		return account.First
	case r.walking:
		return account.Rescan
	case verifying:
		return account.Verify
	}
	return account.Same
}

// tell logs what has been listed; a verification that was asked for is told by
// the state that was asked for with it.
func (r *root) tell(s account.Span, stale, missing uint64) {
	timed := r.timed
	r.timed = false
	took := s.Took.Round(time.Millisecond)
	switch {
	case s.Kind == account.Rescan:
		r.e.log.printf(deliver.Notice, "%s: the whole tree was listed again: %d directories in %v, %d differences mended", r.name, s.Dirs, took, s.Repairs)
	case timed:
		r.e.log.printf(deliver.Notice, "%s: verified %d directories in %v: %d stale, %d missing, %d mended (what changed meanwhile counts too)",
			r.name, s.Dirs, took, stale, missing, s.Repairs)
	}
}
