package look

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"lockstep/test/compare"
)

// Watched is what Await needs to know of the daemon that should bring the
// target in step.
type Watched struct {
	CPU   func() (time.Duration, error) // of all its processes
	Ended <-chan struct{}
	Early func() error // why it ended
}

// Outcome is how a target ended up.
type Outcome struct {
	// Took is from the given moment until the target was equal; with Times
	// alone until everything but times was. With Lost it is nothing.
	Took time.Duration
	Diff
}

// Diff counts the entries of which something differs, modification times to the
// nanosecond included.
type Diff struct {
	Lost    int // missing, too many, or other than they should be
	Times   int // only the time differs
	Example string
}

func (d Diff) String() string {
	switch {
	case d.Lost > 0:
		return fmt.Sprintf("lost %d", d.Lost)
	case d.Times > 0:
		return fmt.Sprintf("%d times differ", d.Times)
	}
	return "equal"
}

// Await waits until dst is what src is, from a source that no longer changes.
// It looks in three steps, so that it hardly takes CPU from what it waits for:
// the number of entries, their sizes and times, and at last everything,
// content included. A daemon that is idle for stall with a target that still
// differs has lost something.
func Await(ctx context.Context, src, dst string, since time.Time, stall time.Duration, w Watched) (Outcome, error) {
	want, err := Read(src)
	if err != nil {
		return Outcome{}, err
	}
	busy := idleClock{stall: stall, cpu: w.CPU}
	pending := Pending(maps.Clone(want))
	var there time.Time // everything but times was equal
	for {
		at := time.Now()
		have := Count(dst)
		near := have >= (len(want)-1)*9/10
		if have == len(want)-1 { // the root is not counted
			if !pending.Look(dst) {
				there = time.Time{}
			} else if there.IsZero() {
				there = at
			}
			if len(pending) == 0 {
				if d, err := Differences(src, dst); err == nil && d == (Diff{}) {
					return Outcome{Took: at.Sub(since)}, nil
				}
				pending = Pending(maps.Clone(want)) // something changed after it was looked at
			}
		}
		idle, err := busy.idle()
		if err != nil {
			return Outcome{}, err
		}
		if idle {
			return settled(src, dst, since, there)
		}
		pause := 100 * time.Millisecond
		if near {
			pause = 20 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			out, err := settled(src, dst, since, there)
			return out, errors.Join(fmt.Errorf("still not equal (%v): %w", out.Diff, ctx.Err()), err)
		case <-w.Ended:
			return Outcome{}, w.Early()
		case <-time.After(pause):
		}
	}
}

// settled is the outcome of a daemon that does nothing any more.
func settled(src, dst string, since, there time.Time) (Outcome, error) {
	d, err := Differences(src, dst)
	out := Outcome{Diff: d}
	if d.Lost == 0 && !there.IsZero() {
		out.Took = there.Sub(since)
	}
	return out, err
}

// Differences compares two trees in everything that a mirror keeps.
func Differences(src, dst string) (Diff, error) {
	want, err := compare.Read(src, compare.Options{})
	if err != nil {
		return Diff{}, err
	}
	got, err := compare.Read(dst, compare.Options{})
	if err != nil {
		return Diff{}, err
	}
	lines := compare.Diff(want, got, len(want)+len(got))
	for rel, e := range want { // what differs now differs in more than its time
		e.Mtime = got[rel].Mtime
		want[rel] = e
	}
	worse := compare.Diff(want, got, len(want)+len(got))
	d := Diff{Lost: len(worse), Times: len(lines) - len(worse)}
	for _, examples := range [][]string{lines, worse} {
		if len(examples) > 0 {
			d.Example = examples[0]
		}
	}
	return d, nil
}

// idleClock tells when a daemon has done nothing for a while.
type idleClock struct {
	stall time.Duration
	cpu   func() (time.Duration, error)
	last  time.Duration
	since time.Time
}

// idle says whether less than 1 % of a core was used since stall ago.
func (c *idleClock) idle() (bool, error) {
	now, err := c.cpu()
	if err != nil {
		return false, err
	}
	if c.since.IsZero() || now-c.last > c.stall/100 {
		c.last, c.since = now, time.Now()
	}
	return time.Since(c.since) > c.stall, nil
}

// Quiet waits until a daemon uses less than 1 % of a core for d.
func Quiet(ctx context.Context, d time.Duration, cpu func() (time.Duration, error)) error {
	c := idleClock{stall: d, cpu: cpu}
	for {
		idle, err := c.idle()
		if idle || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not become idle: %w", ctx.Err())
		case <-time.After(d / 10):
		}
	}
}
