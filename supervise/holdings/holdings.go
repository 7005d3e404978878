// Package holdings is what a sync has taken for itself as long as it is there: what
// is remembered of its pairs, with their locks, and uids.
//
// Trust: linked into the supervisor.
//
// Invariant: what was taken is given back by Close, in the opposite order, also when
// Take has failed in the middle.
package holdings

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"lockstep/config"
	"lockstep/internal/escape"
	"lockstep/rootid"
	"lockstep/supervise/pair"
	"lockstep/uidpool"
)

// Holdings are one sync's. Of each target there is one Pair, and the uid of its
// runner, which is nil of one on this host.
type Holdings struct {
	Pairs  []*pair.Pair
	Worker *uidpool.Lease
	UIDs   []*uidpool.Lease

	undo []func() error // what was taken, to be given back
}

// Take takes them. scratch is a directory of the sync's own, uids that of the leases
// of uids.
func (h *Holdings) Take(cfg config.Config, scratch, uids string, log *slog.Logger) error {
	for i, t := range cfg.Targets {
		// Are they root's alone? and no other has the targets.
		p, err := pair.Open(cfg, t, filepath.Join(scratch, fmt.Sprintf("empty-%d", i+1)))
		if err != nil {
			return err
		}
		h.Pairs = append(h.Pairs, p)
		h.undo = append(h.undo, p.Close)
		if t.Kind == config.Daemon {
			log.Warn(escape.Name(p.Place()) + ": an rsync daemon is spoken to in plain text: anyone on the way can read and change the files; a target over ssh is not")
		}
	}
	var err error
	if h.Worker, err = h.uid(uids, cfg.User); err != nil {
		return fmt.Errorf("the worker's uid: %w", err)
	}
	h.UIDs = make([]*uidpool.Lease, len(cfg.Targets))
	for i, t := range cfg.Targets {
		if !t.Remote() {
			continue
		}
		if h.UIDs[i], err = h.uid(uids, cfg.RunAs); err != nil {
			return fmt.Errorf("the uid of the runner of %s: %w", escape.Name(h.Pairs[i].Place()), err)
		}
	}
	return nil
}

func (h *Holdings) uid(dir, preferred string) (*uidpool.Lease, error) {
	lease, err := uidpool.Take(dir, preferred)
	if err == nil {
		h.undo = append(h.undo, lease.Release)
	}
	return lease, err
}

// Keep writes down what must be there from now on: it is about to be copied.
func (h *Holdings) Keep(now rootid.Roots) error {
	var err error
	for _, p := range h.Pairs {
		err = errors.Join(err, p.Keep(), p.Grow(now))
	}
	return err
}

// Save writes down what has been learnt, but not more often than every so long: the
// worker decides how often it changes. What is lost is a measure, or has more
// compared at the next start, so that a full disk is no reason to end.
func (h *Holdings) Save(now time.Time, every time.Duration, log *slog.Logger) {
	for _, p := range h.Pairs {
		if err := p.Save(now, every); err != nil {
			log.Warn("the state could not be saved", "error", err.Error())
		}
	}
}

// Close gives everything back.
func (h *Holdings) Close() error {
	var err error
	for i := len(h.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, h.undo[i]())
	}
	h.undo = nil
	return err
}
