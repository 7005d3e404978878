package watch

import (
	"lockstep/ipc"
	"lockstep/monitor"
	"lockstep/worker/poll"
)

// Where changes are found by comparing listings: all of them or, with dnotify,
// those in a directory of which no more is told.

func (r *Root) startPoll() {
	every, compares := r.cfg.Monitor.Compares(r.cfg.PollEvery)
	if !compares {
		return
	}
	r.poll = poll.New(poll.Config{
		Root: uint32(r.cfg.Root), Inodes: r.cfg.Inodes, Every: every, Dirs: r.dirs,
		Known: r.track.Tree().Has,
		Emit: func(e monitor.PathEvent) {
			if e.Mask.Has(monitor.Changed) { // it could not be listed: what it was compared with is lost
				r.rescan(string(e.Dir), unknown)
			}
			r.Path(e)
		},
	})
}

// dirs lists every directory of the tree as it is now.
func (r *Root) dirs() []string { return r.track.Tree().Paths(ipc.MaxRel - 1) }

// polls says whether rounds have begun; the walks come first.
func (r *Root) polls() bool { return r.poll != nil && r.ready && len(r.asks.List) == 0 }
