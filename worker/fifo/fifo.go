// Package fifo is a queue in a slice whose beginning is used again.
//
// Trust: part of the worker; looks at no value in it.
// Imports: none. Pure.
package fifo

// Queue is a queue. The zero value is empty.
type Queue[T any] struct {
	list []T
	head int
}

// Sizes from which memory is given back, and from which it is worth moving.
const (
	keep = 1 << 16
	move = 1 << 12
)

// Push adds v at the end.
func (q *Queue[T]) Push(v T) { q.list = append(q.list, v) }

// Len is how many there are.
func (q *Queue[T]) Len() int { return len(q.list) - q.head }

// Pop takes the first; there must be one.
func (q *Queue[T]) Pop() T {
	v := q.list[q.head]
	q.head++
	switch {
	case q.head == len(q.list):
		q.list, q.head = q.list[:0], 0
		if cap(q.list) > keep {
			q.list = nil
		}
	case q.head > move && 2*q.head > len(q.list):
		q.list = q.list[:copy(q.list, q.list[q.head:])]
		q.head = 0
	}
	return v
}
