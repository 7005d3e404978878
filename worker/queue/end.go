package queue

import (
	"slices"
	"time"
)

// Done ends a batch with success: its paths are acknowledged.
func (q *Queue) Done(b *Batch, now time.Time) {
	if q.finish(b, now) {
		q.fails, q.gate = 0, 0
	}
}

// Requeue ends a batch of which some paths failed, or may have: they come back
// after a back-off, in batches of at most half this one's size, so that one
// bad path does not hold back the good ones for long. The back-off grows only
// once a path fails alone. The paths of b that are not in failed are done. rnd
// returns numbers from 0 up to 1.
func (q *Queue) Requeue(b *Batch, failed []Entry, now time.Time, rnd func() float64) {
	if !q.finish(b, now) {
		return
	}
	q.fails, q.gate = 0, 0
	limit := uint32(max(1, b.size/2))
	at := q.offset(now)
	for _, e := range failed {
		wait := q.backoff(q.c.RetryMin, uint32(e.solo), rnd)
		if b.size == 1 && e.solo < 255 {
			e.solo++
		}
		e.Attempts++
		e.limit = min(e.limit, limit)
		q.back(e, b.Big, at+wait)
	}
}

// Postpone ends a batch that failed because of the target as a whole (its
// runner is lost, its disk is full, the command ran out of time): the paths
// come back as they were, and nothing of this target is taken before the
// back-off is over.
func (q *Queue) Postpone(b *Batch, failed []Entry, now time.Time, rnd func() float64) {
	if !q.finish(b, now) {
		return
	}
	q.Shut(now, rnd)
	for _, e := range failed {
		e.Attempts++
		q.back(e, b.Big, 0)
	}
}

// Bisect ends a batch that broke off at one of its paths, which one is not
// known (a file that does not fit on the target, say): the paths come back in
// batches of at most half this one's size, and nothing of this target is taken
// before a back-off that grows until something succeeds.
func (q *Queue) Bisect(b *Batch, failed []Entry, now time.Time, rnd func() float64) {
	if !q.finish(b, now) {
		return
	}
	if b.size > 1 {
		q.Shut(now, rnd) // alone it waits by itself, and no other with it
	}
	limit := uint32(max(1, b.size/2))
	for _, e := range failed {
		wait := int64(0)
		if b.size == 1 {
			// Alone: it waits longer than the others, which may fit.
			wait = q.backoff(q.c.RetryMin, uint32(e.solo)+1, rnd)
			if e.solo < 255 {
				e.solo++
			}
		}
		e.Attempts++
		e.limit = min(e.limit, limit)
		q.back(e, b.Big, q.offset(now)+wait)
	}
}

// Return ends a batch that was not used: its paths wait again as before. What
// is returned, outlives a whole pass as content and is returned once more
// cannot be brought up to date but by a pass: the next one compares its content
// (see BeginWhole) and ends it. What has changed since Take has its turns anew.
func (q *Queue) Return(b *Batch, now time.Time) {
	if !q.finish(b, now) {
		return
	}
	for _, e := range b.Entries {
		changed := q.items[e.Rel] != nil
		q.back(e, b.Big, 0)
		if it := q.items[e.Rel]; it != nil && !changed {
			it.returned, it.survived, it.passed = true, e.survived, e.survived && it.change == Content
		}
	}
}

// Defer moves paths of a running batch to the lane of big files, to wait for
// its delay. They are no longer part of the batch.
func (q *Queue) Defer(b *Batch, rels []string, _ time.Time) {
	if len(rels) == 0 || b == nil || q.run[laneOf(b)] != b {
		return
	}
	moved := make(map[string]bool, len(rels))
	for _, rel := range rels {
		moved[rel] = true
	}
	var entries []Entry
	b.Entries = slices.DeleteFunc(b.Entries, func(e Entry) bool {
		if moved[e.Rel] {
			entries = append(entries, e)
		}
		return moved[e.Rel]
	})
	for _, e := range entries {
		if q.items[e.Rel] != nil {
			// It has changed again since: that change comes first, and
			// will be deferred in its turn if the file is still big.
			q.back(e, false, 0)
			continue
		}
		q.back(e, true, 0)
	}
}

func laneOf(b *Batch) int {
	if b.Big {
		return laneBig
	}
	return laneSmall
}

// finish frees a batch's lane. It reports false for a batch that has ended
// before, which then has no effect.
//
// A command sets the attributes of all parents as they were when it began. So
// after one that ran beside another, the parents' attributes are queued again:
// it may have put back what the other one had brought up to date.
func (q *Queue) finish(b *Batch, now time.Time) bool {
	if b == nil || q.run[laneOf(b)] != b {
		return false
	}
	q.run[laneOf(b)] = nil
	for _, it := range q.held {
		it.isHeld = false
		q.lanes[it.lane()].push(q, it)
	}
	q.held = nil
	if !b.Big || !b.overlap {
		return true
	}
	last := ""
	for _, e := range b.Entries {
		for dir := e.Rel; dir != ""; {
			if dir = parent(dir); dir == last && dir != "" {
				break // as for the entry before
			}
			q.Add(dir, Attr, now)
		}
		last = parent(e.Rel)
	}
	return true
}

// back puts an entry into the queue again, and merges it with what has been
// added since.
func (q *Queue) back(e Entry, big bool, floor int64) {
	if q.absorb {
		q.soil(e.Rel, e.Change) // the whole pass that is needed begins later
		return
	}
	at := q.offset(e.Last)
	it := q.items[e.Rel]
	if it == nil {
		q.insert(&item{
			rel: e.Rel, change: e.Change, first: q.offset(e.First), last: at, floor: floor, gen: q.gen,
			attempts: e.Attempts, limit: e.limit, solo: e.solo, big: big, pos: -1,
		})
		return
	}
	if it.attempts == 0 && e.Attempts > 0 {
		q.doubt++
	}
	if floor > 0 {
		// It changed while it was under way, so it may be mended: soon.
		it.floor = max(it.floor, min(floor, it.last+int64(q.c.RetryMin)))
	}
	it.attempts = max(it.attempts, e.Attempts)
	it.limit = min(it.limit, e.limit)
	it.solo = max(it.solo, e.solo)
	it.first = min(it.first, q.offset(e.First))
	it.change |= e.Change
	it.gen = q.gen
	if !it.isHeld {
		q.lanes[it.lane()].fix(q, it)
	}
}

// backoff is least doubled n times, at most RetryMax, and of that a random part
// between a half and the whole.
func (q *Queue) backoff(least time.Duration, n uint32, rnd func() float64) int64 {
	d := least
	for ; n > 0 && d < q.c.RetryMax; n-- {
		d *= 2
	}
	d = min(d, q.c.RetryMax)
	return int64(d/2) + int64(float64(d/2)*rnd())
}

// personWait is the first back-off of a target that a person must mend.
const personWait = 30 * time.Second

// Person says whether the target's last failure is one that a person must mend:
// then its back-off begins at personWait. What waits for one path is the same.
func (q *Queue) Person(needed bool) {
	if q.least = q.c.RetryMin; needed {
		q.least = max(q.least, personWait)
	}
}

// Shut lets nothing of this target be taken, nor a whole pass begin, before a
// back-off that grows until something succeeds.
func (q *Queue) Shut(now time.Time, rnd func() float64) {
	q.gate = q.offset(now) + q.backoff(q.least, q.fails, rnd)
	q.fails = min(q.fails, 1<<30) + 1
}

// Retry makes all that waits due at once and ends every back-off: the next
// failure is as a first one.
func (q *Queue) Retry(_ time.Time) {
	q.gate, q.passAt, q.fails, q.passFails = 0, 0, 0, 0
	for _, it := range q.items {
		it.floor, it.asap = 0, true
		if !it.isHeld {
			q.lanes[it.lane()].fix(q, it)
		}
	}
}

// Hurry has nothing wait for more changes from now on.
// Precondition: Retry was called just before, so that all that waits is due.
func (q *Queue) Hurry() { q.c.Delay, q.c.MaxDelay, q.c.BigDelay = 0, 0, 0 }
