package worker

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/rsync"
	"lockstep/worker/account"
	"lockstep/worker/deliver"
	"lockstep/worker/doubt"
	"lockstep/worker/links"
	"lockstep/worker/phrase"
	"lockstep/worker/plan"
	"lockstep/worker/queue"
	"lockstep/worker/track"
)

// sink is the root as the tracker sees it.
type sink root

// Dirty puts a path into the queue of every target.
func (s *sink) Dirty(rel string, c track.Change, e *track.Entry) {
	r := (*root)(s)
	if e != nil {
		r.learn(rel, e)
	}
	if e == nil && r.rules.Unheard(rel) {
		return // an event: the next whole pass copies it. What a listing marks it may not.
	}
	r.links.Changed(rel, queue.Change(c))
	links.Add(r.waiting, rel, queue.Change(c), r.e.now)
}

// Suspect is a directory below which a target may hold what was never there.
func (s *sink) Suspect(rel string, doubts []doubt.Doubt) {
	for _, t := range s.targets {
		if t.Suspects(doubts) {
			t.Queue.Add(rel, queue.Replaced, s.e.now)
		}
	}
}

// Forgotten says that the tracker cannot answer for targets that far behind.
func (s *sink) Forgotten(until time.Time) {
	r := (*root)(s)
	var behind []*deliver.Target
	for _, t := range r.targets {
		if t.Behind(until) {
			behind = append(behind, t)
		}
	}
	if len(behind) > 0 {
		r.demand(account.Vanished, behind...)
	}
}

// Seen is an entry of the walk of a whole pass: nothing is known to have
// happened to it, but the pass needs to know what it must leave out.
func (s *sink) Seen(rel string, e track.Entry, excluded bool) {
	r := (*root)(s)
	kind := ipc.Kind(e.Kind)
	switch walking := r.walking; {
	case excluded && walking:
		r.omit.Leave(rel, plan.Reject(rel, kind == ipc.KindDir, r.rules.Excluded)...)
		return
	case excluded:
		return
	case walking && kind == ipc.KindDir && len(rel) > rsync.MaxRel-256:
		// What is in it may have a path for which rsync would delete nothing.
		s.TooLong(rel)
	case walking && r.skips(kind):
		r.omit.Hide(rel)
	}
	if r.walking && kind >= ipc.KindLink && r.links.Parted(rel, e.Ino) {
		// It is deleted, then made anew: else the pass would give what it was a name
		// of, and so the others, its attributes.
		r.omit.Hide(rel)
		links.Add(r.waiting, rel, queue.Content, r.e.now)
	}
	r.learn(rel, &e)
}

// Walk is a directory to be listed.
func (s *sink) Walk(w track.Walk) { s.asks.List = append(s.asks.List, w) }

// Unwatch removes a watch.
func (s *sink) Unwatch(wd int32) { s.e.feed.Unwatch(wd) }

// Rescan says that events were lost or are in doubt.
func (s *sink) Rescan(cause string) { (*root)(s).demand(cause) }

// Skip is a socket or a device that appeared.
func (s *sink) Skip(rel string, kind uint8) {
	if r := (*root)(s); r.skips(ipc.Kind(kind)) {
		r.special.Add(rel)
	}
}

// TooLong is a path that no request can name.
func (s *sink) TooLong(rel string) {
	r := (*root)(s)
	if r.walking {
		// One such path would have rsync keep everything that is to be deleted.
		r.omit.All(rel)
	}
	if !r.tooLong.Add(rel) {
		return
	}
	r.e.log.Printf(deliver.Warn, "%s: path of %d bytes is too long to be copied, and so is what lies below it: %s…; shorten it",
		r.name, len(rel), escape.Name(rel[:min(len(rel), 120)]))
}

// RootGone says that the root itself was deleted, moved or unmounted: its
// events say nothing about the path any more.
func (s *sink) RootGone(cause string) {
	if s.e.fatal == nil {
		s.e.fatal = fmt.Errorf("%s: %w: %s", s.name, ErrRootGone, cause)
	}
}

// Failed is a directory that could not be watched or listed. For want of
// watches the tree is kept in step by rescans (stepLimit); anything else is
// tried again.
func (s *sink) Failed(rel string, status uint16) {
	r := (*root)(s)
	if unix.Errno(status) == unix.ENOSPC {
		return
	}
	if r.retryAt.IsZero() {
		r.retryAt = r.e.now.Add(retryWalk)
	}
	r.refused.Add(rel)
	r.e.log.Printf(deliver.Warn, "%s: cannot watch or list %s: %s; tried again every %v, nothing below it is deleted meanwhile",
		r.name, phrase.Dir(rel), phrase.Status(ipc.Status(status)), retryWalk)
}

// retryWalk is when a directory that could not be listed is tried again.
const retryWalk = 5 * time.Second

// learn keeps the index of names that share an inode.
func (r *root) learn(rel string, e *track.Entry) {
	switch {
	case r.skips(ipc.Kind(e.Kind)), r.cfg.Tell == settings.TellLines && strings.Contains(rel, "\n"): // no list can say it
		r.special.Add(rel)
	case ipc.Kind(e.Kind) == ipc.KindDir:
	case e.Nlink > 1:
		r.links.Set(rel, e.Ino, e.Nlink)
		if ipc.Kind(e.Kind) != ipc.KindFile {
			r.links.Share(rel, e.Ino)
		}
	}
}

// skips tells the kinds that are never copied by policy.
func (r *root) skips(k ipc.Kind) bool {
	switch k {
	case ipc.KindSocket:
		return true
	case ipc.KindChar, ipc.KindBlock:
		return !r.cfg.Devices
	}
	return false
}
