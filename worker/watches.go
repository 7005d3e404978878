package worker

import (
	"errors"
	"slices"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/worker/deliver"
	"lockstep/worker/watch"
)

// startWatches begins to watch the roots of which changes are told.
func (e *engine) startWatches(cfg []settings.Watch, names map[ipc.RootID]string) error {
	if len(cfg) > 0 && e.output == nil {
		return errors.New("there is no output for the changes that are to be told")
	}
	for i := range cfg {
		w, err := watch.New((*watcher)(e), e.output, &cfg[i], names[cfg[i].Root])
		if err != nil {
			return err
		}
		e.watches = append(e.watches, w)
	}
	for _, w := range e.watches {
		w.Start()
	}
	return nil
}

// telling says whether lines are still to be written.
func (e *engine) telling() bool {
	return slices.ContainsFunc(e.watches, func(w *watch.Root) bool { return !w.Done() })
}

// watcher is the engine as a watched root sees it (watch.Host).
type watcher engine

func (e *watcher) Now() time.Time   { return e.now }
func (e *watcher) Draining() bool   { return e.draining }
func (e *watcher) Barrier(f func()) { e.barriers.Add(f) }
func (e *watcher) Unwatch(wd int32) { e.feed.Unwatch(wd) }

func (e *watcher) Ask(m ipc.Message, f deliver.Flight) { (*engine)(e).ask(m, nil, f) }

func (e *watcher) Printf(level, format string, args ...any) { e.log.Printf(level, format, args...) }

func (e *watcher) Fail(err error) {
	if e.fatal == nil {
		e.fatal = err
	}
}
