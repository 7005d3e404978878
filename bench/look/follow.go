package look

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Probes are files that are written at a steady pace into one directory of the
// source, and seen on the target.
type Probes struct {
	Src, Dst string // that directory on both sides
	Prefix   string
	Every    time.Duration
	Fresh    time.Duration // a probe that is seen this soon was followed live
	After    time.Duration // how long to go on after the target follows
}

// Following is what the probes showed.
type Following struct {
	First time.Time       // the first probe was seen
	Ready time.Time       // a fresh one was, and all before it
	Lags  []time.Duration // from a probe's write to its sight, of those written after Ready
	All   []time.Duration // of all
	Lost  int             // never seen
}

// probeRun is the state of Run.
type probeRun struct {
	p       Probes
	written []time.Time
	seen    []time.Time // zero: not yet
	prefix  int         // all before this one were seen
	out     Following
}

// Run writes probes until the target follows live (or, with stop, until that is
// closed), and waits for the last of them.
func (p Probes) Run(ctx context.Context, stop <-chan struct{}, ended <-chan struct{}, patience time.Duration) (Following, error) {
	d, err := Open(p.Dst)
	if err != nil {
		return Following{}, err
	}
	defer d.Close()
	r := &probeRun{p: p}
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	if err := r.write(); err != nil {
		return r.out, err
	}
	if err := r.writing(ctx, d, tick, stop, ended); err != nil {
		return r.out, err
	}
	err = r.waiting(ctx, d, ended, patience)
	r.finish()
	return r.out, err
}

// writing is the part while probes are written.
func (r *probeRun) writing(ctx context.Context, d *Dir, tick *time.Ticker, stop, ended <-chan struct{}) error {
	for {
		select {
		case <-ctx.Done():
			r.finish()
			return fmt.Errorf("%d of %d probes were seen, and none as soon as %v: %w", r.count(), len(r.written), r.p.Fresh, ctx.Err())
		case <-ended:
			return errors.New("the daemon ended")
		case <-stop:
			return nil
		case <-tick.C:
			if stop == nil && !r.out.Ready.IsZero() && time.Since(r.out.Ready) >= r.p.After {
				return nil
			}
			if err := r.write(); err != nil {
				return err
			}
		case e := <-d.Events():
			r.see(e)
		}
	}
}

// waiting is the part when no more are written. Probes that do not come are
// lost: no error.
func (r *probeRun) waiting(ctx context.Context, d *Dir, ended <-chan struct{}, patience time.Duration) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for r.prefix < len(r.written) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
			return errors.New("the daemon ended")
		case <-limit.C:
			return nil
		case e := <-d.Events():
			r.see(e)
		}
	}
	return nil
}

func (r *probeRun) name(i int) string { return fmt.Sprintf("%s%06d", r.p.Prefix, i) }

func (r *probeRun) write() error {
	path := filepath.Join(r.p.Src, r.name(len(r.written)))
	if err := os.WriteFile(path, []byte("probe\n"), 0o644); err != nil {
		return err
	}
	r.written = append(r.written, time.Now())
	r.seen = append(r.seen, time.Time{})
	return nil
}

func (r *probeRun) see(e Event) {
	var i int
	if n, err := fmt.Sscanf(e.Name, r.p.Prefix+"%06d", &i); n != 1 || err != nil || i >= len(r.written) || e.Gone || e.Name != r.name(i) || !r.seen[i].IsZero() {
		return
	}
	r.seen[i] = e.At
	if r.out.First.IsZero() {
		r.out.First = e.At
	}
	for r.prefix < len(r.seen) && !r.seen[r.prefix].IsZero() {
		r.prefix++
	}
	if r.out.Ready.IsZero() && r.prefix > i && e.At.Sub(r.written[i]) < r.p.Fresh {
		r.out.Ready = e.At
	}
}

func (r *probeRun) count() int {
	return len(r.seen) - len(slices.DeleteFunc(slices.Clone(r.seen), func(t time.Time) bool { return !t.IsZero() }))
}

func (r *probeRun) finish() {
	r.out.Lost = len(r.written) - r.count()
	for i, t := range r.seen {
		if t.IsZero() {
			continue
		}
		lag := t.Sub(r.written[i])
		r.out.All = append(r.out.All, lag)
		if !r.out.Ready.IsZero() && r.written[i].After(r.out.Ready) {
			r.out.Lags = append(r.out.Lags, lag)
		}
	}
}
