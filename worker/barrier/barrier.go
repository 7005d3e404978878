// Package barrier orders what is to be done behind events that are on their way.
//
// Trust: part of the worker, untrusted. Pure.
//
// Invariant: a function is called once, after all events that were in the queue when
// it was added.
package barrier

// Queue is what waits. Mark asks for a sign behind everything that is in the queue of
// events now; Reached is called when it comes.
type Queue struct {
	Mark    func()
	waiting []func()
}

// Add has f called once every event up to now was applied.
func (q *Queue) Add(f func()) {
	// One mark at a time: a second one that is under way could answer for a
	// barrier that was added after it.
	if q.waiting = append(q.waiting, f); len(q.waiting) == 1 {
		q.Mark()
	}
}

// Reached is called when a mark comes back. One mark answers for one barrier: a later
// one needs another.
func (q *Queue) Reached() {
	if len(q.waiting) == 0 {
		return
	}
	f := q.waiting[0]
	if q.waiting = q.waiting[1:]; len(q.waiting) > 0 {
		q.Mark()
	}
	f()
}

// Waiting is how many wait.
func (q *Queue) Waiting() int { return len(q.waiting) }
