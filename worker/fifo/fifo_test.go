package fifo

import "testing"

func TestOrder(t *testing.T) {
	var q Queue[int]
	in, out := 0, 0
	for round := range 200 {
		for range round * 7 % 1500 {
			q.Push(in)
			in++
		}
		for range min(round*5%1400, q.Len()) {
			if got := q.Pop(); got != out {
				t.Fatalf("%d, want %d", got, out)
			}
			out++
		}
		if q.Len() != in-out {
			t.Fatalf("%d, want %d", q.Len(), in-out)
		}
	}
	for q.Len() > 0 {
		if got := q.Pop(); got != out {
			t.Fatalf("%d, want %d", got, out)
		}
		out++
	}
}

func TestMemoryIsGivenBack(t *testing.T) {
	var q Queue[int]
	for i := range 4 * keep {
		q.Push(i)
	}
	for q.Len() > 0 {
		q.Pop()
	}
	if cap(q.list) > keep {
		t.Errorf("%d kept", cap(q.list))
	}
}
