package watch

import (
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/monitor"
	"lockstep/worker/poll"
	"lockstep/worker/tree"
)

// Where changes are found by comparing listings: all of them or, with dnotify,
// those in a directory of which no more is told.

func (r *Root) startPoll() {
	m := r.cfg.Monitor
	if m != settings.MonitorPoll && m != settings.MonitorDnotify {
		return
	}
	cfg := poll.Config{
		Root: uint32(r.cfg.Root), Inodes: r.cfg.Inodes, Dirs: r.dirs,
		Known: func(rel string) bool { return r.track.Tree().Find(rel) != tree.None },
		Emit: func(e monitor.PathEvent) {
			if e.Mask.Has(monitor.Changed) { // it could not be listed: what it was compared with is lost
				r.rescan(string(e.Dir), unknown)
			}
			r.Path(e)
		},
	}
	if m == settings.MonitorPoll {
		cfg.Every = r.cfg.PollEvery
	}
	r.poll = poll.New(cfg)
}

// dirs lists every directory of the tree as it is now.
func (r *Root) dirs() []string { return r.track.Tree().Paths(ipc.MaxRel - 1) }

// polls says whether rounds have begun; the walks come first.
func (r *Root) polls() bool { return r.poll != nil && r.ready && len(r.asks.List) == 0 }
