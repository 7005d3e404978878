package queue

// heap is a binary heap of items by due time. An item knows its place, so that
// a change of its due time costs a few swaps.
type heap []*item

func (h *heap) push(q *Queue, it *item) {
	it.pos = int32(len(*h))
	*h = append(*h, it)
	h.up(q, int(it.pos))
}

func (h *heap) remove(q *Queue, it *item) {
	i, last := int(it.pos), len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	it.pos = -1
	if i < last {
		h.fix(q, (*h)[i])
	}
	if last == 0 && cap(*h) > maxSpare {
		*h = nil // an idle queue holds little memory
	}
}

func (h *heap) fix(q *Queue, it *item) {
	if i := int(it.pos); !h.down(q, i) {
		h.up(q, i)
	}
}

func (h heap) less(q *Queue, i, j int) bool {
	a, b := q.due(h[i]), q.due(h[j])
	if a != b {
		return a < b
	}
	return h[i].rel < h[j].rel // deterministic
}

func (h heap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = int32(i), int32(j)
}

func (h heap) up(q *Queue, i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !h.less(q, i, p) {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h heap) down(q *Queue, i int) bool {
	start := i
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h.less(q, c, least) {
				least = c
			}
		}
		if least == i {
			return i > start
		}
		h.swap(i, least)
		i = least
	}
}
