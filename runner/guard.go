package runner

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/runner/narrow"
	"lockstep/runner/survey"
)

// guard is what protects the target from a whole pass that deletes too much.
type guard struct {
	active  bool
	limit   uint64 // more deletions are held
	entries uint64 // on the target; of a remote one, in the source as it was
	empty   bool   // the source is: any deletion is held

	found *narrow.Set // where the trees differ; nil: that is not known
	alike uint64      // directories of which nothing differs
}

// guard decides whether a whole pass may run. It returns the job's end when it
// may not.
func (j *job) guard() (guard, *ipc.RunExited) {
	cfg := &j.r.cfg
	j.r.mu.Lock()
	consent := cfg.Accept && !j.r.accepted
	j.r.mu.Unlock()
	if consent || len(cfg.Probe) == 0 {
		return guard{}, nil
	}
	if cfg.Target == "" {
		return j.guardRemote()
	}
	empty, err := survey.EmptyDir(cfg.Source)
	if err != nil {
		return guard{}, held(j, refused(j.id, fmt.Errorf("read the source: %w", err)))
	}
	s, found, err := j.survey()
	if errors.Is(err, survey.ErrOver) && !j.over() {
		return guard{}, &ipc.RunExited{End: ipc.EndTimeout}
	}
	if err != nil {
		return guard{}, held(j, refused(j.id, fmt.Errorf("look at source and target: %w", err)))
	}
	g := guard{active: true, entries: s.Entries, limit: limit(s.Entries, cfg.MaxDeletePercent, cfg.MaxDeleteEntries)}
	switch {
	case empty && s.Entries > 0:
		return g, &ipc.RunExited{End: ipc.EndHeldEmpty, Deletes: s.Entries, Entries: s.Entries}
	case !s.Unsure && s.Bound <= g.limit:
		g.found, g.alike = found, s.Alike
		return g, nil
	}
	return g, j.probe(g)
}

// survey looks at both trees. When it cannot know what the job deletes, the
// survey is unsure; an error is one of the runner's. It returns where they
// differ, if it could compare them.
func (j *job) survey() (survey.Result, *narrow.Set, error) {
	cfg := &j.r.cfg
	over := j.over
	if cfg.Timeout > 0 {
		end := time.Now().Add(cfg.Timeout)
		over = func() bool { return j.over() || time.Now().After(end) }
	}
	if err := j.rewind(); err != nil {
		return survey.Result{}, nil, err
	}
	h, unknown := survey.ReadHidden(j.list)
	c := j.r.compare()
	if unknown != nil {
		h, c = &survey.Hidden{}, nil
	}
	// A rough bound will do in most cases; where not, a second walk costs less
	// than a dry run.
	s, err := survey.Trees(cfg.Source, cfg.Target, h, min(cfg.MaxDeletePercent, 100)*3/4, over, c)
	unsure := s.Unsure || unknown != nil
	if err == nil && s.Rough && !unsure && s.Bound > limit(s.Entries, cfg.MaxDeletePercent, cfg.MaxDeleteEntries) {
		s, err = survey.Trees(cfg.Source, cfg.Target, h, 0, over, nil)
	}
	s.Unsure = s.Unsure || unsure
	if err != nil || !s.Compared || s.Unsure {
		return s, nil, err
	}
	return s, c.Found, nil
}

// probe has rsync count what it would delete. It returns the job's end when
// that is too much, or cannot be known.
func (j *job) probe(g guard) *ipc.RunExited {
	out := g.judge(j.command(rsync.WithMaxDelete(j.r.cfg.Probe, g.limit), false))
	if out.End == ipc.EndExited && rsync.ExitMeaning(int(out.Code)).Class <= rsync.Partial {
		// Something could not be read. The real run will say so; its own
		// limit holds the deletions, and rsync makes none after such an error.
		return nil
	}
	return &out
}

// guardRemote is the guard of a target that cannot be counted. Its other side
// does the counting: what it says about itself can harm nobody else. The share
// is of what the source was; unknown, the number alone counts.
func (j *job) guardRemote() (guard, *ipc.RunExited) {
	cfg := &j.r.cfg
	empty, err := survey.EmptyDir(cfg.Source)
	if err != nil {
		return guard{}, held(j, refused(j.id, fmt.Errorf("read the source: %w", err)))
	}
	g := guard{active: true, entries: cfg.Entries, empty: empty}
	if !empty {
		g.limit = limit(cfg.Entries, cfg.MaxDeletePercent, cfg.MaxDeleteEntries)
	}
	return g, j.probe(g)
}

// held is a guard that could not look: the job ends, for that reason or because
// it was stopped.
func held(j *job, out ipc.RunExited) *ipc.RunExited {
	if j.over() {
		out = ipc.RunExited{End: ipc.EndStopped}
	}
	return &out
}

// judge turns the end of a run that reached the limit into a held one.
func (g guard) judge(out ipc.RunExited) ipc.RunExited {
	if out.End != ipc.EndExited {
		return out
	}
	const tooMany = 25
	skipped := rsync.Skipped(out.Tail)
	if out.Code != tooMany && skipped == 0 {
		return out
	}
	out.End = ipc.EndHeldMany
	if g.empty {
		out.End = ipc.EndHeldEmpty
	}
	out.Deletes = g.limit + max(skipped, 1)
	out.Entries = g.entries
	return out
}

// limit is the larger of the two: a pass is held when it deletes more than the
// share and more than the number.
func limit(entries uint64, percent uint32, number uint64) uint64 {
	high, low := bits.Mul64(entries, uint64(min(percent, 100)))
	share, _ := bits.Div64(high, low, 100) // high < 100: no overflow
	return max(share, number)
}
