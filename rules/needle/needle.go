// Package needle finds which of many texts a name holds, in one pass over the
// name however many texts there are (Aho and Corasick, 1975).
//
// Trust: a leaf of rules, linked where it is. Names are hostile.
// Imports: the standard library; no os, net or syscall here.
//
// Invariant: the time for a name is linear in its length and in the number of
// finds; an Index does not change, so that it is safe for concurrent use.
package needle

import "slices"

// Index is a set of texts.
//
// The states are the beginnings of all texts, in the order of their length and
// then of their parents, so that the children of a state lie side by side:
// those of state s are first[s] to first[s+1], in the order of their label.
type Index struct {
	label []byte  // the last byte of a state's text
	first []int32 // one more than there are states
	back  []int32 // the longest other state that this one ends with
	text  []int32 // the text that a state is, -1: none
	found []int32 // the longest state with a text that this one ends with, itself included; 0: none
	root  [256]int32
	size  []int32 // of each text
}

// New makes an Index. The texts must not be empty, and no two may be equal.
func New(texts []string) *Index {
	order := make([]int32, len(texts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		switch {
		case texts[a] < texts[b]:
			return -1
		case texts[a] > texts[b]:
			return 1
		}
		return 0
	})
	x := &Index{label: []byte{0}, text: []int32{-1}, size: make([]int32, len(texts))}
	for i, t := range texts {
		x.size[i] = int32(len(t))
	}
	x.grow(texts, order)
	x.link()
	return x
}

// span is a run of the sorted texts that begin as a state does.
type span struct{ from, to int32 }

// grow makes the states, level by level.
func (x *Index) grow(texts []string, order []int32) {
	level := []span{{0, int32(len(order))}}
	for depth := 0; len(level) > 0; depth++ {
		var next []span
		for _, s := range level {
			x.first = append(x.first, int32(len(x.label)))
			for i := s.from; i < s.to; {
				t := texts[order[i]]
				if len(t) == depth { // the state itself
					i++
					continue
				}
				end := i + 1
				for end < s.to && texts[order[end]][depth] == t[depth] {
					end++
				}
				x.label = append(x.label, t[depth])
				x.text = append(x.text, whole(texts, order[i], depth+1))
				next = append(next, span{i, end})
				i = end
			}
		}
		level = next
	}
	x.first = append(x.first, int32(len(x.label)))
}

// whole is the text if it ends at that length: the shortest one of a run comes
// first.
func whole(texts []string, i int32, length int) int32 {
	if len(texts[i]) == length {
		return i
	}
	return -1
}

// link finds where to go on when no child fits. A state's way back is shorter
// than the state and so is known before it.
func (x *Index) link() {
	n := len(x.label)
	x.back, x.found = make([]int32, n), make([]int32, n)
	for c := x.first[0]; c < x.first[1]; c++ {
		x.root[x.label[c]] = c
	}
	for s := range n {
		for c := x.first[s]; c < x.first[s+1]; c++ {
			if s > 0 {
				x.back[c] = x.step(x.back[s], x.label[c])
			}
			x.found[c] = x.found[x.back[c]]
			if x.text[c] >= 0 {
				x.found[c] = c
			}
		}
	}
}

func (x *Index) step(s int32, b byte) int32 {
	for s != 0 {
		if c, ok := slices.BinarySearch(x.label[x.first[s]:x.first[s+1]], b); ok {
			return x.first[s] + int32(c)
		}
		s = x.back[s]
	}
	return x.root[b]
}

// Len is the length of a text.
func (x *Index) Len(text int) int { return int(x.size[text]) }

// Find calls hit with each text that name holds, by its index, and where it ends
// there. A text that is there several times is found as often.
func (x *Index) Find(name string, hit func(text, end int)) {
	s := int32(0)
	for i := 0; i < len(name); i++ {
		s = x.step(s, name[i])
		for f := x.found[s]; f != 0; f = x.found[x.back[f]] {
			hit(int(x.text[f]), i+1)
		}
	}
}
