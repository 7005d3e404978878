package ere

import "strings"

// Need is a set of literals: a name that the expression matches holds one of
// them, at its beginning with Start and at its end with End. None is empty.
type Need struct {
	Literals   []string
	Start, End bool
}

const (
	maxLiterals = 16 // of one Need
	maxSpread   = 4  // characters of a set that are written out
	maxText     = 32 // bytes from which on a literal is not made longer
)

// needs collects what is needed from the parts of an expression that are there
// in every match.
func needs(n *node) []Need { return needsAt(n, false) }

// needsAt is needs of a part that begins where the name does, with start.
func needsAt(n *node, start bool) []Need {
	c := collector{start: start}
	if start {
		c.cur = []string{""}
	}
	c.node(n)
	c.flush(false)
	return c.out
}

// collector goes through an expression from left to right. cur holds every text
// that the parts since the last gap can be; nil: it is just after a gap.
type collector struct {
	out   []Need
	cur   []string
	start bool // cur begins where the name does
}

func (c *collector) node(n *node) {
	switch n.op {
	case opBegin:
		// What came before took no character if this is to match: what follows
		// is at the beginning.
		c.flush(false)
		c.cur, c.start = []string{""}, true
	case opEnd:
		c.flush(true)
	case opConcat:
		for _, k := range n.kids {
			c.node(k)
		}
	default:
		if texts, ok := texts(n); ok && c.extend(texts) {
			return
		}
		start := c.start && len(c.cur) == 1 && c.cur[0] == ""
		c.flush(false)
		if texts, ok := texts(n); ok {
			c.cur = texts
			return
		}
		c.inside(n, start)
	}
}

// inside collects from a part whose texts are too many.
func (c *collector) inside(n *node, start bool) {
	switch {
	case n.op == opRepeat && n.min > 0:
		c.out = append(c.out, needsAt(n.kids[0], start)...)
	case n.op == opAlt:
		if need, ok := either(n.kids, start); ok {
			c.out = append(c.out, need)
		}
	}
}

// either is what one or another branch needs, of each the best.
func either(kids []*node, start bool) (Need, bool) {
	all := Need{Start: true, End: true}
	for _, k := range kids {
		var best Need
		for _, need := range needsAt(k, start) {
			if best.Literals == nil || shortest(need) > shortest(best) {
				best = need
			}
		}
		if best.Literals == nil {
			return Need{}, false
		}
		all.Literals = append(all.Literals, best.Literals...)
		all.Start, all.End = all.Start && best.Start, all.End && best.End
		if len(all.Literals) > 4*maxLiterals {
			return Need{}, false
		}
	}
	all = reduced(all)
	return all, len(all.Literals) <= maxLiterals
}

func shortest(n Need) int {
	short := len(n.Literals[0])
	for _, l := range n.Literals {
		short = min(short, len(l))
	}
	return short
}

// extend appends each of the texts to each of cur, if these do not get too many.
func (c *collector) extend(texts []string) bool {
	if c.cur == nil {
		c.cur = texts
		return true
	}
	if all, ok := cross(c.cur, texts); ok {
		c.cur = all
		return true
	}
	return false
}

// flush makes a Need of cur.
func (c *collector) flush(end bool) {
	need := Need{Literals: c.cur, Start: c.start, End: end}
	c.cur, c.start = nil, false
	if len(need.Literals) == 0 || shortest(need) == 0 {
		return
	}
	c.out = append(c.out, reduced(need))
}

// reduced leaves out every literal that another one makes superfluous.
func reduced(n Need) Need {
	out := Need{Start: n.Start, End: n.End}
	for i, l := range n.Literals {
		covered := false
		for j, other := range n.Literals {
			covered = covered || other == l && j < i || other != l && n.covers(other, l)
		}
		if !covered {
			out.Literals = append(out.Literals, l)
		}
	}
	return out
}

// covers says that a name that has long where it is needed has short there too.
func (n Need) covers(short, long string) bool {
	switch {
	case n.Start && n.End:
		return false
	case n.Start:
		return strings.HasPrefix(long, short)
	case n.End:
		return strings.HasSuffix(long, short)
	}
	return strings.Contains(long, short)
}

// texts returns all that a part can match, if that is little. What an assertion
// rules out is not left out: too much does no harm.
func texts(n *node) ([]string, bool) {
	switch n.op {
	case opByte:
		return []string{string([]byte{n.lit})}, true
	case opSet:
		var all []string
		for c, in := range n.set {
			if in && len(all) == maxSpread {
				return nil, false
			}
			if in {
				all = append(all, string([]byte{byte(c)}))
			}
		}
		return all, true
	case opConcat:
		all := []string{""}
		for _, k := range n.kids {
			part, ok := texts(k)
			if !ok {
				return nil, false
			}
			if all, ok = cross(all, part); !ok {
				return nil, false
			}
		}
		return all, true
	case opAlt:
		var all []string
		for _, k := range n.kids {
			part, ok := texts(k)
			if !ok || len(all)+len(part) > maxLiterals {
				return nil, false
			}
			all = append(all, part...)
		}
		return all, true
	case opRepeat:
		return repeatedTexts(n)
	}
	return []string{""}, true // empty, or an assertion
}

// repeatedTexts knows the two frequent repetitions that are finite and short.
func repeatedTexts(n *node) ([]string, bool) {
	part, ok := texts(n.kids[0])
	switch {
	case !ok || n.max == noMax:
		return nil, false
	case n.min == 0 && n.max == 1 && len(part) < maxLiterals:
		return append([]string{""}, part...), true
	case n.min == 1 && n.max == 1:
		return part, true
	case n.min == n.max && len(part) == 1 && len(part[0])*n.max <= maxText:
		return []string{strings.Repeat(part[0], n.max)}, true
	}
	return nil, false
}

// cross joins each of a with each of b, unless that gets too much.
func cross(a, b []string) ([]string, bool) {
	if len(a)*len(b) > maxLiterals {
		return nil, false
	}
	out := make([]string, 0, len(a)*len(b))
	for _, x := range a {
		if len(x) >= maxText {
			return nil, false
		}
		for _, y := range b {
			out = append(out, x+y)
		}
	}
	return out, true
}
