package queue

import (
	"cmp"
	"slices"
	"time"
)

// Extend takes into a batch of which no command has begun what has come since
// Take: else it would wait until the command has ended, and need another one. A
// path of it that was only written to once more needs nothing else than to be
// read later. What else is due comes in as long as the batch has at most limit
// paths then; fresh says that there was some, for which it must be planned anew.
func (q *Queue) Extend(b *Batch, now time.Time, limit int) (fresh bool) {
	if b == nil || q.run[laneOf(b)] != b || len(q.items) == 0 {
		return false
	}
	q.rewritten(b)
	at := q.offset(now)
	if b.Big || q.run[laneBig] != nil || q.doubt > 0 || len(b.Entries) >= limit || at < q.gate || q.whole ||
		slices.ContainsFunc(b.Entries, func(e Entry) bool { return e.Attempts > 0 }) {
		return false // a batch that failed is kept as it was divided
	}
	taken := q.pick(laneSmall, at, limit-len(b.Entries))
	for _, it := range taken {
		e := q.entry(it)
		q.forget(it)
		i, there := slices.BinarySearchFunc(b.Entries, e.Rel, func(e Entry, rel string) int { return cmp.Compare(e.Rel, rel) })
		if there {
			b.Entries[i].merge(e)
		} else {
			b.Entries = slices.Insert(b.Entries, i, e)
		}
	}
	b.size = len(b.Entries)
	return len(taken) > 0
}

// rewritten takes what has new content, and nothing else that is new, and whose
// content is to be copied anyway.
func (q *Queue) rewritten(b *Batch) {
	for i := range b.Entries {
		e := &b.Entries[i]
		it := q.items[e.Rel]
		if it == nil || it.change != Content || e.Change&Content == 0 || it.big || it.isHeld || it.attempts > 0 {
			continue
		}
		q.lanes[laneSmall].remove(q, it)
		e.merge(q.entry(it))
		q.forget(it)
	}
}

// merge adds a later change of the same path.
func (e *Entry) merge(later Entry) {
	e.Change |= later.Change
	if later.Last.After(e.Last) {
		e.Last = later.Last
	}
	e.survived = false
}

func (q *Queue) entry(it *item) Entry {
	return Entry{
		Rel: it.rel, Change: it.change, Attempts: it.attempts,
		First: q.base.Add(time.Duration(it.first)), Last: q.base.Add(time.Duration(it.last)),
		limit: it.limit, solo: it.solo, survived: it.survived,
	}
}
