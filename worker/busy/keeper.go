package busy

import (
	"slices"
	"time"

	"lockstep/monitor"
	"lockstep/worker/poll"
	"lockstep/worker/tree"
)

const (
	// every is how often a busy directory is listed.
	every = time.Second
	// calm is how many listings in a row that show no change end its rest; longest
	// is when it ends in any case, to see whether it still is too much: what changes
	// a little must not be seen late for ever.
	calm    = 2
	longest = time.Minute
	// settled is how long after it is watched again a directory is compared: what a
	// time cannot tell apart before that is told again by then (see poll's late).
	settled = 3 * time.Second
	// most is how many are kept at a time, and lines how many are said a minute.
	most  = 64
	lines = 10
)

// Tracker is what a Keeper needs of worker/track.
type Tracker interface {
	Tree() *tree.Tree
	Rest(id tree.ID) bool
	Resting(id tree.ID) bool
	Wake(id tree.ID)
}

// Config is what a Keeper must know.
type Config struct {
	Root uint32
	Rate int                     // events a second that are too many; 0: never
	Emit func(monitor.PathEvent) // takes what comparisons find: the tracker's Path
	// Prune: below rel a target may hold what came and went unseen.
	Prune func(rel string)
	// Say tells that a directory is busy, or calm again: not too often.
	Say func(rel string, busy bool)
}

// Keeper has the busy directories of one root.
type Keeper struct {
	cfg    Config
	track  Tracker
	meter  Meter
	poll   *poll.Poller
	dirs   []*dir
	times  uint64
	minute time.Time // of the lines that were said
	said   int
	now    time.Time
}

// phase is where a directory stands.
type phase uint8

const (
	first    phase = iota // it is watched, and its first listing is awaited
	resting               // it is not, and compared
	waking                // it is to be watched again
	settling              // it is, and what changed before may still be told apart by no time
	last                  // compared once more
	large                 // listing it costs more than its events
)

// dir is one directory.
type dir struct {
	id      tree.ID
	rel     string
	phase   phase
	since   time.Time // of the phase
	round   uint64    // the last one that was looked at; of first and last: that has to be over
	changed bool      // since then
	quiet   int       // rounds without a change, in a row
	pruned  bool
}

// New returns a Keeper without any; nil without a rate.
func New(cfg Config, track Tracker) *Keeper {
	if cfg.Rate <= 0 {
		return nil
	}
	k := &Keeper{cfg: cfg, track: track, meter: Meter{Rate: cfg.Rate}}
	k.poll = poll.New(poll.Config{
		Root: cfg.Root, Every: every, Inodes: true, Own: true, Dirs: k.listed,
		Known: track.Tree().Has,
		Emit: func(e monitor.PathEvent) {
			k.changed(string(e.Dir))
			cfg.Emit(e)
		},
	})
	return k
}

// Event counts an event of a watch.
func (k *Keeper) Event(wd int32) {
	if k != nil {
		k.meter.Count(wd)
	}
}

// Poller is what wants directories listed now (walks.Round); nil: nothing does.
func (k *Keeper) Poller() *poll.Poller {
	if k == nil || k.active() == 0 {
		return nil
	}
	return k.poll
}

// Next is when there is something to do; zero: no time soon.
func (k *Keeper) Next() time.Time {
	if p := k.Poller(); p != nil {
		return p.Next()
	}
	return time.Time{}
}

// Step does what is due. It is to be called after each answer and each events.
func (k *Keeper) Step(now time.Time) {
	if k == nil {
		return
	}
	k.now = now
	k.meter.Over(now, k.flooded)
	k.dirs = slices.DeleteFunc(k.dirs, func(d *dir) bool {
		// Who moves or removes a directory has it walked, or what takes its place.
		done := k.track.Tree().Find(d.rel) != d.id || k.step(d)
		if done {
			k.poll.Drop(d.rel)
		}
		return done
	})
}

// flooded begins with a directory of which too much is told.
func (k *Keeper) flooded(wd int32) {
	id := k.track.Tree().ByWD(wd)
	rel, attached := k.track.Tree().Path(id)
	if id == tree.None || !attached || len(k.dirs) == most || slices.ContainsFunc(k.dirs, func(d *dir) bool { return d.id == id }) {
		return
	}
	k.dirs = append(k.dirs, &dir{id: id, rel: rel, since: k.now, round: k.soon()})
	k.poll.Drop(rel)
	k.poll.Add(rel)
}

// soon is the end of the first round that begins from now on.
func (k *Keeper) soon() uint64 { return k.poll.Counters().Rounds + 2 }

// step says whether it is done with.
func (k *Keeper) step(d *dir) (done bool) {
	entries, known := k.poll.Has(d.rel)
	over := k.poll.Counters().Rounds >= d.round
	switch d.phase {
	case first:
		switch {
		case known && entries > k.cfg.Rate:
			k.enter(d, large)
		case known && over && k.track.Rest(d.id):
			// Not at once after the first listing: whoever writes to a file changes
			// its time a moment before the kernel tells of it, and then it must still
			// be watched. What has changed since that listing is told by the second.
			k.enter(d, resting)
			k.times++
			k.say(d.rel, true)
		case over && (!known || k.now.Sub(d.since) > longest):
			return true // it cannot be listed, or has no watch to be given up
		}
	case resting:
		k.rest(d, known && entries <= k.cfg.Rate)
	case waking:
		if !k.track.Resting(d.id) {
			k.enter(d, settling)
		} else if over { // it was listed for another reason, without a watch
			k.wake(d)
		}
	case settling:
		if k.now.Sub(d.since) >= settled {
			k.enter(d, last)
		}
	case last:
		if over {
			k.cfg.Prune(d.rel) // of what came and went unseen, and was copied
			k.say(d.rel, false)
		}
		return over
	case large:
		return k.now.Sub(d.since) > longest
	}
	return false
}

// rest waits for the directory to be calm, or no longer worth it: it cannot be
// listed, or has grown.
func (k *Keeper) rest(d *dir, worth bool) {
	if !k.track.Resting(d.id) { // another walk has placed the watch
		k.enter(d, settling)
		return
	}
	if rounds := k.poll.Counters().Rounds; rounds >= d.round {
		if !d.pruned {
			// A name of which events have told may have gone since, between the last
			// listing that was made with the watch and the first one without.
			d.pruned = true
			k.cfg.Prune(d.rel)
		}
		d.round = rounds + 1
		d.quiet++
		if d.changed {
			d.quiet, d.changed = 0, false
		}
	}
	if !worth || d.quiet >= calm || k.now.Sub(d.since) >= longest && d.pruned {
		k.wake(d)
	}
}

func (k *Keeper) wake(d *dir) {
	k.enter(d, waking)
	k.track.Wake(d.id)
}

func (k *Keeper) enter(d *dir, p phase) {
	d.phase, d.since, d.round, d.changed = p, k.now, k.soon(), false
}

// changed notes that a comparison found a difference in a directory.
func (k *Keeper) changed(rel string) {
	for _, d := range k.dirs {
		d.changed = d.changed || d.rel == rel
	}
}

// say tells of a directory, unless too much was told of late.
func (k *Keeper) say(rel string, busy bool) {
	if k.now.Sub(k.minute) > time.Minute {
		k.minute, k.said = k.now, 0
	}
	if k.said++; k.said <= lines {
		k.cfg.Say(rel, busy)
	}
}

// Times is how often a directory has become busy.
func (k *Keeper) Times() uint64 {
	if k == nil {
		return 0
	}
	return k.times
}

// listed are the directories to be listed in a round.
func (k *Keeper) listed() []string {
	rels := make([]string, 0, len(k.dirs))
	for _, d := range k.dirs {
		if d.phase != large {
			rels = append(rels, d.rel)
		}
	}
	return rels
}

// active counts them.
func (k *Keeper) active() (n int) {
	for _, d := range k.dirs {
		if d.phase != large {
			n++
		}
	}
	return n
}
