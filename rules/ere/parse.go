package ere

import (
	"errors"
	"strings"

	"lockstep/rules/octet"
)

// Why an expression is refused.
var (
	errLength   = errors.New("it is longer than 4096 bytes; divide it into several rules")
	errNUL      = errors.New("it holds a NUL byte, which no name has")
	errHeight   = errors.New("its groups and repetitions are nested more than 200 deep")
	errLarge    = errors.New("it is too large with its intervals written out; use * or + for a high count")
	errNothing  = errors.New(`a repetition (* + ? {) has nothing before it to repeat; write \* \+ \? \{ for the character`)
	errEscape   = errors.New(`it ends in a lone backslash; write \\ for one`)
	errBackRef  = errors.New(`it has a back-reference (\1 to \9), which cannot be matched in linear time; write out what is repeated`)
	errParen    = errors.New(`a ( is never closed; write \( for the character`)
	errBrace    = errors.New(`a { does not begin an interval such as {2}, {2,} or {2,5}; write \{ for the character`)
	errInterval = errors.New("an interval has a minimum above its maximum")
	errRepeat   = errors.New("an interval is above 1000; use * or + for a high count")
	errProduct  = errors.New("intervals in each other multiply to more than 1000; use * or + for a high count")
	errAnchors  = errors.New(`an interval repeats a group with ^ $ \b \B \< or \>, which different programs take differently; write the group out as often`)
	errBracket  = errors.New(`a [ is never closed; write \[ for the character`)
	errClass    = errors.New("[: :] names an unknown character class; there are alnum alpha blank cntrl digit graph lower print punct space upper xdigit")
	errCollate  = errors.New("[. .] and [= =] hold one character each here, as in the C locale")
	errRange    = errors.New("a range in [ ] ends before it begins, or begins or ends with no character; a - of its own comes first or last in [ ]")
	errHyphens  = errors.New("--- in [ ] means different things to different programs; write [.-.] for the character")
)

type op uint8

const (
	opEmpty op = iota
	opByte
	opSet
	opBegin     // ^ \`
	opEnd       // $ \'
	opEdge      // \b
	opNoEdge    // \B
	opWordStart // \<
	opWordEnd   // \>
	opConcat
	opAlt
	opRepeat
)

// node is a part of an expression.
type node struct {
	op       op
	lit      byte
	set      *[256]bool
	kids     []*node
	min, max int // of opRepeat; max -1: no end
	height   int
}

const noMax = -1

func branch(o op, kids ...*node) *node {
	n := &node{op: o, kids: kids}
	for _, k := range kids {
		n.height = max(n.height, k.height+1)
	}
	return n
}

func (n *node) has(o op) bool {
	if n.op == o {
		return true
	}
	for _, k := range n.kids {
		if k.has(o) {
			return true
		}
	}
	return false
}

// anchored says that a condition on the place is somewhere in it.
func (n *node) anchored() bool {
	for o := opBegin; o <= opWordEnd; o++ {
		if n.has(o) {
			return true
		}
	}
	return false
}

// weight never overflows: it stops growing above MaxWeight.
func (n *node) weight() int {
	w := 1
	for _, k := range n.kids {
		w += k.weight()
	}
	if n.op == opRepeat {
		w *= max(n.min, n.max, 1)
	}
	return min(w, MaxWeight+1)
}

type parser struct {
	s     string
	i     int
	depth int // of open groups
}

func parse(text string) (*node, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, errNUL
	}
	p := &parser{s: text}
	return p.alternatives()
}

// done says that a branch ends here. Outside of a group a ) is a character.
func (p *parser) done() bool {
	return p.i == len(p.s) || p.s[p.i] == '|' || p.s[p.i] == ')' && p.depth > 0
}

func (p *parser) alternatives() (*node, error) {
	var all []*node
	for {
		n, err := p.sequence()
		if err != nil {
			return nil, err
		}
		all = append(all, n)
		if p.i == len(p.s) || p.s[p.i] != '|' {
			break
		}
		p.i++
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return branch(opAlt, all...), nil
}

func (p *parser) sequence() (*node, error) {
	var all []*node
	for !p.done() {
		n, err := p.atom()
		if err != nil {
			return nil, err
		}
		// glibc lets nothing repeat an anchor: what comes after is seen to
		// have nothing before it.
		if n.op < opBegin || n.op > opWordEnd {
			if n, err = p.repeated(n); err != nil {
				return nil, err
			}
		}
		if n.height > maxHeight {
			return nil, errHeight
		}
		all = append(all, n)
	}
	switch len(all) {
	case 0:
		return &node{}, nil
	case 1:
		return all[0], nil
	}
	return branch(opConcat, all...), nil
}

func (p *parser) atom() (*node, error) {
	c := p.s[p.i]
	p.i++
	switch c {
	case '*', '+', '?', '{':
		return nil, errNothing
	case '(':
		return p.group()
	case '[':
		return p.bracket()
	case '\\':
		return p.escape()
	case '.':
		return setOf(func(byte) bool { return true }), nil
	case '^':
		return &node{op: opBegin}, nil
	case '$':
		return &node{op: opEnd}, nil
	}
	return &node{op: opByte, lit: c}, nil
}

func (p *parser) group() (*node, error) {
	if p.depth++; p.depth > maxHeight {
		return nil, errHeight
	}
	n, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if p.i == len(p.s) {
		return nil, errParen
	}
	p.i++
	p.depth--
	// A group of an anchor can be repeated, an anchor cannot.
	return branch(opConcat, n), nil
}

func (p *parser) escape() (*node, error) {
	if p.i == len(p.s) {
		return nil, errEscape
	}
	c := p.s[p.i]
	p.i++
	switch c {
	case 'w':
		return setOf(isWord), nil
	case 'W':
		return setOf(func(c byte) bool { return !isWord(c) }), nil
	case 's', 'S':
		space, _ := octet.Class("space")
		return setOf(func(b byte) bool { return space(b) == (c == 's') }), nil
	case 'b':
		return &node{op: opEdge}, nil
	case 'B':
		return &node{op: opNoEdge}, nil
	case '<':
		return &node{op: opWordStart}, nil
	case '>':
		return &node{op: opWordEnd}, nil
	case '`':
		return &node{op: opBegin}, nil
	case '\'':
		return &node{op: opEnd}, nil
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return nil, errBackRef
	}
	return &node{op: opByte, lit: c}, nil // \d is a d, and so on
}

func setOf(in func(byte) bool) *node {
	var set [256]bool
	for c := range 256 {
		set[c] = in(byte(c))
	}
	return &node{op: opSet, set: &set}
}

// repeated reads the repetitions after n, each of all that is before it.
func (p *parser) repeated(n *node) (*node, error) {
	for p.i < len(p.s) && strings.IndexByte("*+?{", p.s[p.i]) >= 0 {
		lo, hi := 0, noMax
		switch p.s[p.i] {
		case '+':
			lo = 1
		case '?':
			hi = 1
		case '{':
			var err error
			if lo, hi, err = p.interval(); err != nil {
				return nil, err
			}
		}
		p.i++
		if hi == 0 {
			n = &node{}
			continue
		}
		// glibc 2.36 forgets such a condition in what it copies: (^|/){2}
		// finds "a/".
		if (lo > 1 || hi > 1) && n.anchored() {
			return nil, errAnchors
		}
		if n = branch(opRepeat, n); n.height > maxHeight {
			return nil, errHeight
		}
		n.min, n.max = lo, hi
	}
	return n, nil
}

// interval reads from { and stops at }. A missing minimum is 0.
func (p *parser) interval() (lo, hi int, err error) {
	end := strings.IndexByte(p.s[p.i:], '}')
	if end < 0 {
		return 0, 0, errBrace
	}
	first, second, comma := strings.Cut(p.s[p.i+1:p.i+end], ",")
	p.i += end
	lo, ok := number(first)
	hi = lo
	if comma {
		var ok2 bool
		if hi, ok2 = number(second); second == "" {
			hi, ok2 = noMax, true
		}
		if first == "" {
			lo, ok = 0, true
		}
		ok = ok && ok2
	}
	switch {
	case !ok:
		return 0, 0, errBrace
	case hi != noMax && lo > hi:
		return 0, 0, errInterval
	case lo > maxRepeat || hi > maxRepeat:
		return 0, 0, errRepeat
	}
	return lo, hi, nil
}

// number reads digits; what is above every limit stays there.
func number(s string) (int, bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(10*n+int(s[i]-'0'), 1<<20)
	}
	return n, s != ""
}
