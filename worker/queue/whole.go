package queue

import "time"

// collapse trades all that waits for the need of a whole pass, and for the
// subtrees in which that pass must compare content: it sees names, sizes, times
// and other attributes by itself. What runs goes on; what is added before that
// pass begins is its affair.
func (q *Queue) collapse(now time.Time) {
	for rel, it := range q.items {
		q.soil(rel, it.change)
	}
	q.items = map[string]*item{}
	q.bytes = 0
	q.lanes = [2]heap{}
	q.held = nil
	q.doubt = 0
	q.absorb = true
	q.collapses++
	q.AddWhole(now)
}

// soil notes a change that the next pass is to see to.
func (q *Queue) soil(rel string, change Change) {
	if change&(Content|Name) != 0 {
		q.dirty = q.dirty.with(rel)
	}
}

// Collapses counts how often the queue has collapsed.
func (q *Queue) Collapses() uint64 { return q.collapses }

// Contents names the paths at or below which the pass under way must compare
// content, whatever size and time say; "" is the whole tree.
func (q *Queue) Contents() []string { return q.comparing.list() }

// KeepContents says that not all content could be compared: the next pass is to
// do it again.
func (q *Queue) KeepContents() {
	q.dirty, q.comparing = q.dirty.union(q.comparing), nil
}

// AddWhole notes that anything may have changed: a whole pass is needed.
func (q *Queue) AddWhole(_ time.Time) {
	q.marked++
	q.again = q.passing
	q.whole = true
}

// NextWhole is when BeginWhole has something to do.
func (q *Queue) NextWhole(now time.Time) (time.Time, bool) {
	if !q.whole || q.passing || q.run[laneSmall] != nil || q.run[laneBig] != nil {
		return time.Time{}, false
	}
	return q.base.Add(time.Duration(max(q.passAt, q.gate, q.offset(now)))), true
}

// Whole says whether a whole pass is needed or under way.
func (q *Queue) Whole() bool { return q.whole }

// BeginWhole begins a whole pass. It answers false when none is needed or one
// is under way, while a batch runs, and during back-off. Until EndWhole
// nothing can be taken. What it is to end though no batch can copy it, it compares:
// nobody else ever would.
func (q *Queue) BeginWhole(now time.Time) bool {
	if !q.whole || q.passing || q.run[laneSmall] != nil || q.run[laneBig] != nil || q.offset(now) < max(q.gate, q.passAt) {
		return false
	}
	q.passing, q.again, q.absorb = true, false, false
	q.gen++
	q.pruned = map[string]bool{}
	for rel, it := range q.items {
		if it.change&Replaced != 0 {
			q.pruned[rel] = true
		}
		if it.passed {
			q.soil(rel, it.change)
		}
	}
	q.comparing, q.dirty = q.dirty, nil
	return true
}

// EndWhole ends a whole pass. After success, what was added before it began is
// acknowledged, except for new content: a pass compares size and time, and a
// file that was written twice within one tick of the file system's clock, or
// renamed over another, may differ in neither. What came during it stays, but that
// the pass was to delete what is not there any more: else a root in which names come
// and go would have one pass follow the other. After a failure all stays, and the
// pass is needed still, after a back-off; batches can be taken until then.
func (q *Queue) EndWhole(ok bool, now time.Time, rnd func() float64) {
	if !q.passing {
		return
	}
	q.passing = false
	pruned := q.pruned
	q.pruned = nil
	if !ok {
		q.KeepContents()
		q.passAt = q.offset(now) + q.backoff(q.least, q.passFails, rnd)
		q.passFails = min(q.passFails, 1<<30) + 1
		return
	}
	q.comparing = nil
	q.fails, q.passFails, q.gate, q.passAt = 0, 0, 0, 0
	q.whole, q.again = q.again, false
	for _, it := range q.items {
		if it.gen == q.gen {
			if pruned[it.rel] {
				it.change &^= Replaced
			}
			continue
		}
		if it.change&(Content|Name) != 0 && !it.passed {
			it.change = Content // names the pass has compared
			it.survived = it.returned
			continue
		}
		q.lanes[it.lane()].remove(q, it)
		q.forget(it)
	}
}
