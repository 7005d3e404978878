package watch

import (
	"time"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/worker/arrivals"
	"lockstep/worker/listing"
	"lockstep/worker/track"
	"lockstep/worker/walks"
)

// With fanotify one mark, placed before this process was started, tells of every
// directory by its path. So there is nothing that a tree would have to tell: no
// directory is listed but those that come with content of their own, and the root
// is ready at once, however large it is. The tree is walked only when somebody
// asks for it: to be listed, or to be compared.

// startArrivals is called before the first event.
func (r *Root) startArrivals() {
	if r.cfg.Monitor == settings.MonitorFanotify {
		r.arrivals = arrivals.New()
	}
}

// follow has the tracker follow the whole tree from now on.
func (r *Root) follow() {
	if !r.follows {
		r.follows = true
		r.track.Start(r.poll != nil, 0)
	}
}

// still says whether no listing is under way that could be news.
func (r *Root) still() bool {
	if r.arrivals != nil {
		return r.arrivals.Idle()
	}
	return r.track.Idle() && len(r.asks.List) == 0
}

// wants has a directory listed that was just told of.
func (r *Root) wants(rel string) {
	switch {
	case len(rel) >= ipc.MaxRel: // no request can name it
		(*sink)(r).TooLong(rel)
		r.full[rel] = true
	case r.arrivals != nil:
		r.arrivals.Want(rel)
	default:
		r.track.Again(rel, r.poll != nil && r.poll.Shown(rel, r.track.Busy(rel)))
	}
}

// busy says whether a directory was not listed to its end.
func (r *Root) busy(rel string) bool {
	if r.arrivals != nil {
		return r.arrivals.Busy(rel)
	}
	return r.track.Busy(rel) || r.failed[rel]
}

// sendArrivals asks for what has come. It has the requests that the walks of the
// tree leave.
func (r *Root) sendArrivals() {
	for r.arrivals != nil && r.asks.Flying < walks.Most {
		next := r.arrivals.Next(ipc.MaxRels)
		if len(next) == 0 {
			return
		}
		r.arrivals.Back(next[r.asks.Ask(next, r.shown):])
	}
}

// shown is (part of) the listing of a directory that has come.
func (r *Root) shown(rel string, l track.Listing, _ time.Time) {
	if !r.arrivals.Counts(rel, l.Serial) {
		return
	}
	switch l.Status {
	case 0:
	case listing.ENOENT, listing.ENOTDIR, listing.ELOOP, listing.EXDEV:
		// It has gone, as an event will say, or something was mounted on it.
		l.More = false
	case listing.ENAMETOOLONG:
		l.More = false
		(*sink)(r).TooLong(rel)
	default:
		if r.retryAt.IsZero() {
			r.retryAt = r.host.Now().Add(retryWalk)
		}
		if r.arrivals.Fail(rel) {
			(*sink)(r).refused(rel, l.Status)
		}
		return
	}
	for i := range l.Entries {
		e := &l.Entries[i]
		at := rel + "/" + e.Name
		dir := e.Kind == listing.KindDir
		if excluded, _ := r.rules.Self(at, dir); !excluded && !(dir && r.mounts[at]) {
			r.met(at, e.Kind)
		}
	}
	r.relist()
	if !l.More {
		r.arrivals.Done(rel)
		r.again()
		r.full[rel] = true
	}
}

// moveArrivals follows new directories to their new places. What was listed at
// the old ones may have been what came there after them.
func (r *Root) moveArrivals(from string, places []string) {
	if r.arrivals == nil {
		return
	}
	r.arrivals.Forget(from)
	for _, rel := range places {
		if r.fresh.Listed(rel) {
			r.doubt(rel, "it was listed while it was renamed")
		}
		r.wants(rel)
	}
}
