package ere

import (
	"strconv"

	"lockstep/rules/octet"
)

// emit writes a tree for the engine. Only letters, digits and the slash are
// written as they are.
func emit(n *node, edged bool) string {
	e := emitter{edged: edged}
	if edged {
		e.put(`\A(?s:...)*`)
	}
	e.group(n)
	return string(e.b)
}

type emitter struct {
	b     []byte
	edged bool
}

func (e *emitter) put(s string) { e.b = append(e.b, s...) }

func (e *emitter) node(n *node) {
	switch n.op {
	case opEmpty:
		e.put(`(?:)`)
	case opByte, opSet:
		if e.edged {
			e.put(`(?s:.)`)
			defer e.put(`(?s:.)`)
		}
		e.character(n)
	case opBegin:
		e.put(`\A`)
	case opEnd:
		e.put(`\z`)
	case opEdge:
		e.put(`\b`)
	case opNoEdge:
		e.put(`\B`)
	case opWordStart:
		e.put(`(?m:^)\b`)
	case opWordEnd:
		e.put(`(?m:$)\b`)
	case opConcat:
		for _, k := range n.kids {
			if k.op == opAlt {
				e.group(k)
			} else {
				e.node(k)
			}
		}
	case opAlt:
		for i, k := range n.kids {
			if i > 0 {
				e.put(`|`)
			}
			e.node(k)
		}
	case opRepeat:
		e.group(n.kids[0])
		e.repetition(n.min, n.max)
	}
}

func (e *emitter) group(n *node) {
	e.put(`(?:`)
	e.node(n)
	e.put(`)`)
}

// repetition never writes two marks in a row, for what it is of is in a group.
func (e *emitter) repetition(lo, hi int) {
	switch {
	case lo == 0 && hi == noMax:
		e.put(`*`)
	case lo == 1 && hi == noMax:
		e.put(`+`)
	case lo == 0 && hi == 1:
		e.put(`?`)
	case hi == noMax:
		e.put(`{` + strconv.Itoa(lo) + `,}`)
	default:
		e.put(`{` + strconv.Itoa(lo) + `,` + strconv.Itoa(hi) + `}`)
	}
}

func (e *emitter) character(n *node) {
	if n.op == opByte {
		e.rune(int(n.lit))
		return
	}
	e.put(`[`)
	for lo := 0; lo < 256; lo++ {
		if !n.set[lo] {
			continue
		}
		hi := lo
		for hi+1 < 256 && n.set[hi+1] {
			hi++
		}
		e.rune(lo)
		e.put(`-`)
		e.rune(hi)
		lo = hi
	}
	e.put(`]`)
}

func (e *emitter) rune(c int) {
	if octet.IsAlnum(byte(c)) || c == '/' {
		e.b = append(e.b, byte(c))
		return
	}
	e.put(`\x{` + strconv.FormatInt(int64(c), 16) + `}`)
}
