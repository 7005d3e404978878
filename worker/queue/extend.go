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
// paths then: the answer names it, and what is there must be looked at anew.
func (q *Queue) Extend(b *Batch, now time.Time, limit int) (fresh []string) {
	if b == nil || q.run[laneOf(b)] != b || len(q.items) == 0 {
		return nil
	}
	q.rewritten(b)
	at := q.offset(now)
	if b.Big || q.run[laneBig] != nil || q.doubt > 0 || len(b.Entries) >= limit || at < q.gate || q.whole ||
		slices.ContainsFunc(b.Entries, func(e Entry) bool { return e.Attempts > 0 }) {
		return nil // a batch that failed is kept as it was divided
	}
	taken := q.pick(laneSmall, at, limit-len(b.Entries))
	if len(taken) == 0 {
		return nil
	}
	more := make([]Entry, len(taken))
	for i, it := range taken {
		more[i] = q.entry(it)
		fresh = append(fresh, it.rel)
		q.forget(it)
	}
	b.Entries = union(b.Entries, more)
	b.size = len(b.Entries)
	return fresh
}

// union adds later changes to a batch's entries.
func union(entries, later []Entry) []Entry {
	all := append(slices.Clip(entries), later...)
	slices.SortStableFunc(all, func(a, b Entry) int { return cmp.Compare(a.Rel, b.Rel) })
	out := all[:0]
	for _, e := range all {
		if n := len(out); n > 0 && out[n-1].Rel == e.Rel {
			out[n-1].merge(e)
		} else {
			out = append(out, e)
		}
	}
	return out
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
