package ere

import (
	"strings"

	"lockstep/rules/octet"
)

// element is one member of a bracket expression: a character, or a whole class,
// which no range begins or ends with.
type element struct {
	c     byte
	class func(byte) bool
}

// bracket reads the set whose [ has just been read. A backslash is a character
// in it.
func (p *parser) bracket() (*node, error) {
	var set [256]bool
	negate := p.i < len(p.s) && p.s[p.i] == '^'
	if negate {
		p.i++
	}
	for first := true; ; first = false {
		if p.i == len(p.s) {
			return nil, errBracket
		}
		if p.s[p.i] == ']' && !first {
			p.i++
			break
		}
		if err := p.member(&set, first); err != nil {
			return nil, err
		}
	}
	for c := range set {
		set[c] = set[c] != negate
	}
	return &node{op: opSet, set: &set}, nil
}

// member adds a character, a class or a range.
func (p *parser) member(set *[256]bool, first bool) error {
	if p.s[p.i] == '-' && !first && !strings.HasPrefix(p.s[p.i:], "-]") {
		if p.hyphens() {
			return errHyphens
		}
		return errRange
	}
	from, err := p.element()
	if err != nil {
		return err
	}
	if p.i+1 >= len(p.s) {
		if p.i < len(p.s) && p.s[p.i] == ']' {
			from.addTo(set)
			return nil
		}
		return errBracket
	}
	if p.s[p.i] != '-' || p.s[p.i+1] == ']' {
		from.addTo(set)
		return nil
	}
	if p.hyphens() {
		return errHyphens
	}
	p.i++
	to, err := p.element()
	if err != nil {
		return err
	}
	if from.class != nil || to.class != nil || from.c > to.c {
		return errRange
	}
	for c := int(from.c); c <= int(to.c); c++ {
		set[c] = true
	}
	return nil
}

func (p *parser) hyphens() bool { return strings.HasPrefix(p.s[p.i:], "---") }

func (e element) addTo(set *[256]bool) {
	if e.class == nil {
		set[e.c] = true
		return
	}
	for c := range set {
		set[c] = set[c] || e.class(byte(c))
	}
}

// element reads a character or what stands for one. The equivalence class [=a=]
// is a in the C locale, but cannot be an end of a range.
func (p *parser) element() (element, error) {
	c := p.s[p.i]
	p.i++
	if c == '-' && strings.HasPrefix(p.s[p.i:], "--") {
		return element{}, errHyphens
	}
	if c != '[' || p.i == len(p.s) || strings.IndexByte(".=:", p.s[p.i]) < 0 {
		return element{c: c}, nil
	}
	kind := p.s[p.i]
	p.i++
	name, rest, ok := strings.Cut(p.s[p.i:], string([]byte{kind, ']'}))
	if !ok {
		return element{}, errBracket
	}
	p.i = len(p.s) - len(rest)
	switch {
	case kind == ':':
		class, ok := octet.Class(name)
		if !ok {
			return element{}, errClass
		}
		return element{class: class}, nil
	case len(name) != 1:
		return element{}, errCollate
	case kind == '=':
		return element{class: func(c byte) bool { return c == name[0] }}, nil
	}
	return element{c: name[0]}, nil
}
