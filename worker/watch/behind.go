package watch

import (
	"slices"

	"lockstep/ipc/settings"
	"lockstep/worker/below"
)

// behind is what was told since all events up to some moment were heard.
//
// Fanotify names a directory, and the resolver tells where it is when the event
// is read: if it, or one above it, has been renamed since the event, then the path
// is the new one already, and the event of the rename comes later. Who applies
// "create b/f" and then "move a to b" replaces the b that has f by the a that has
// not. So a directory that comes to a place below which something was told shortly
// before is to be looked at, and so is what was moved from there.
//
// Once all events up to now are heard, no such rename is left: see stepBehind.
type behind struct {
	steps  []step
	asked  bool // a barrier is under way
	beyond bool // there were too many to keep
	older  bool // there were, before the barrier
}

// step is a directory in which something was told, or (from is not "") a rename.
type step struct{ at, from string }

// What is kept, and how many places one rename may concern; where there are more,
// the whole of the root is to be looked at.
const (
	maxSteps = 1 << 13
	maxIn    = 64
)

func (b *behind) add(s step) {
	switch n := len(b.steps); {
	case n > 0 && b.steps[n-1] == s:
	case n == maxSteps:
		b.beyond = true
	default:
		b.steps = append(b.steps, s)
	}
}

// tells takes down that something is told of a directory's entries.
func (r *Root) tells(dir string) {
	if r.cfg.Monitor == settings.MonitorFanotify && r.ready {
		r.behind.add(step{at: dir})
	}
}

// came: a directory was moved to rel.
func (r *Root) came(rel string) {
	const cause = "it may have been told of before the rename that brought it was"
	b, in := &r.behind, []string{rel}
	for _, s := range b.steps {
		switch i := slices.IndexFunc(in, func(dir string) bool { return s.from != "" && below.Within(s.from, dir) }); {
		case s.from == "":
			if below.Within(s.at, rel) {
				r.doubt(rel, cause)
			}
		case i >= 0 && s.at != rel: // the copy had nothing there that could move
			in = append(in, s.at)
		default:
			for i, dir := range in[1:] {
				if below.Within(dir, s.from) { // it was moved on since
					in[i+1] = s.at + dir[len(s.from):]
				}
			}
		}
		if len(in) > maxIn {
			break
		}
	}
	for _, dir := range in[1:] {
		r.doubt(dir, cause)
	}
	if b.older || b.beyond || len(in) > maxIn {
		r.doubt("", cause)
	}
}

// stepBehind forgets what was told before the last moment up to which all events
// are heard.
func (r *Root) stepBehind() {
	b := &r.behind
	if b.asked || len(b.steps) == 0 && !b.beyond {
		return
	}
	n := len(b.steps)
	b.asked, b.older, b.beyond = true, b.beyond, false
	r.host.Barrier(func() {
		b.asked, b.older = false, false
		b.steps = slices.Delete(b.steps, 0, n)
	})
}
