package ordered

import (
	"math"
	"slices"

	"lockstep/rules/ere"
	"lockstep/rules/needle"
)

// index finds the rules that can match a path at all: those of whose texts one
// is in it, and those of which nothing is known.
type index struct {
	texts  *needle.Index
	owners [][]owner // by text
	always []int32   // rules, in order
}

// owner is a rule that a text is needed for, and where.
type owner struct {
	rule  int32
	place int
}

// A place is where in a path a text is: bits.
const (
	atStart = 1 << iota
	atEnd
	places
)

func placeOf(start, end bool) (place int) {
	if start {
		place |= atStart
	}
	if end {
		place |= atEnd
	}
	return place
}

// newIndex keeps up to most bytes of texts whole.
func newIndex(rules []rule, most int) index {
	shared := map[string]int{} // by how many rules a text could be used
	for i := range rules {
		for _, need := range rules[i].expr.Needs() {
			for _, l := range need.Literals {
				shared[l]++
			}
		}
	}
	var x index
	var texts []string
	size := 0
	ids := map[string]int{}
	for i := range rules {
		need, ok := rarest(rules[i].expr.Needs(), shared)
		if !ok {
			x.always = append(x.always, int32(i))
			continue
		}
		if size > most {
			need = cut(need)
		}
		for _, l := range need.Literals {
			id, known := ids[l]
			if !known {
				id = len(texts)
				ids[l] = id
				texts = append(texts, l)
				size += len(l)
				x.owners = append(x.owners, nil)
			}
			x.owners[id] = append(x.owners[id], owner{int32(i), placeOf(need.Start, need.End)})
		}
	}
	x.texts = needle.New(texts)
	return x
}

// A byte of the texts takes about 20 bytes of memory. A file that asks for more
// than maxTexts of them gets the rest cut: they are found more often, and the
// expressions still decide.
const (
	maxTexts = 2 << 20
	cutTo    = 6
)

// cut shortens the texts on the side on which their place allows it.
func cut(n ere.Need) ere.Need {
	out := ere.Need{Start: n.Start, End: n.End}
	for _, l := range n.Literals {
		switch {
		case len(l) <= cutTo:
		case n.Start:
			l, out.End = l[:cutTo], false
		default:
			l = l[len(l)-cutTo:]
		}
		out.Literals = append(out.Literals, l)
	}
	return out
}

// rarest picks what is likely to be in the fewest paths: what is long or has a
// fixed place, and what few other rules ask for, for what is in many rules is in
// many paths.
func rarest(needs []ere.Need, shared map[string]int) (best ere.Need, ok bool) {
	least := math.Inf(1)
	for _, n := range needs {
		sum := 0.0
		for _, l := range n.Literals {
			long := len(l)
			if n.Start || n.End {
				long += 2
			}
			sum += float64(shared[l]) / float64(int(1)<<min(long, 8))
		}
		if sum < least {
			best, least = n, sum
		}
	}
	return best, len(needs) > 0
}

// candidates appends the rules, in order, each once. A text that is in the path
// many times counts once, so that no path costs more than all rules do.
func (x *index) candidates(path string, out []int32) []int32 {
	var room [128]int
	hits := room[:0] // text and place in one number
	x.texts.Find(path, func(text, end int) {
		hits = append(hits, text*places+placeOf(end == x.texts.Len(text), end == len(path)))
	})
	slices.Sort(hits)
	for i := 0; i < len(hits); {
		text := hits[i] / places
		var seen [places]bool
		for ; i < len(hits) && hits[i]/places == text; i++ {
			seen[hits[i]%places] = true
		}
		for _, o := range x.owners[text] {
			if o.isIn(seen) {
				out = append(out, o.rule)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (o owner) isIn(seen [places]bool) bool {
	for place, is := range seen {
		if is && place&o.place == o.place {
			return true
		}
	}
	return false
}
