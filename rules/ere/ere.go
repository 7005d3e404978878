// Package ere matches names with POSIX extended regular expressions, as
// regcomp(3) of glibc reads them in the C locale with REG_EXTENDED and without
// REG_ICASE or REG_NEWLINE: bytes, case sensitive, a match anywhere counts.
//
// Trust: a leaf of rules, linked where it is. Expressions are their user's; the
// names that they are matched with are hostile.
// Imports: the standard library and rules/octet; no os, net or syscall here.
//
// Invariants: an expression that is accepted means what it means to glibc; what
// the engine cannot do, or what implementations disagree about, is refused with
// the reason. No text of an expression reaches the engine: it is parsed here and
// written anew, so nothing that only Perl or Go knows gets through. Matching
// takes time linear in the name.
//
// One difference is on purpose: with ^ or $ in them glibc 2.36 reads some
// expressions as if a newline in a name ended a line; here it is a byte like any
// other.
//
// The engine is Go's regexp, which works with runes: each byte becomes the rune
// of its number first.
package ere

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"

	"lockstep/rules/octet"
)

// Expr is a compiled expression, safe for concurrent use.
type Expr struct {
	text   string
	re     *regexp.Regexp
	edged  bool // is matched with the edged form
	weight int
	needs  []Need
}

// The bounds. MaxWeight bounds what a match may cost for each byte of a name.
const (
	MaxLength = 4096   // bytes of an expression
	MaxWeight = 20_000 // characters, with each interval written out
	maxRepeat = 1000   // the engine's limit of one interval
	maxHeight = 200    // groups and repetitions in each other
)

// Compile reads an expression. The error says what is wrong with it, or what of
// it cannot be done here, and what to write instead.
func Compile(text string) (*Expr, error) {
	x, err := compile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strconv.QuoteToASCII(text), err)
	}
	return x, nil
}

func compile(text string) (*Expr, error) {
	if len(text) > MaxLength {
		return nil, errLength
	}
	tree, err := parse(text)
	if err != nil {
		return nil, err
	}
	weight := tree.weight()
	if weight > MaxWeight {
		return nil, errLarge
	}
	edged := tree.has(opWordStart) || tree.has(opWordEnd)
	re, err := regexp.Compile(emit(tree, edged))
	if err != nil {
		return nil, engineError(err)
	}
	return &Expr{text: text, re: re, edged: edged, weight: weight, needs: needs(tree)}, nil
}

// engineError puts a refusal by the engine in terms of what was written.
func engineError(err error) error {
	var e *syntax.Error
	if errors.As(err, &e) {
		switch e.Code {
		case syntax.ErrInvalidRepeatSize:
			return errProduct
		case syntax.ErrLarge:
			return errLarge
		case syntax.ErrNestingDepth:
			return errHeight
		default:
		}
	}
	return fmt.Errorf("this is a fault of lockstep, please report it: %w", err)
}

// String returns the expression as it was written.
func (x *Expr) String() string { return x.text }

// Weight is what a match costs for each byte of a name, and what the expression
// takes in memory: its number of characters with each interval written out.
func (x *Expr) Weight() int { return x.weight }

// Needs returns what a name must hold for the expression to match it: of each
// Need at least one. None means that nothing is known.
func (x *Expr) Needs() []Need { return x.needs }

// Match says whether the expression matches somewhere in the name.
func (x *Expr) Match(s *Subject) bool {
	if x.edged {
		return x.re.MatchString(s.edgedForm())
	}
	return x.re.MatchString(s.wideForm())
}

// MatchString is Match for one name and one expression.
func (x *Expr) MatchString(name string) bool {
	s := Of(name)
	return x.Match(&s)
}

// Subject is a name that several expressions are matched with: what they need
// is made once. It is not safe for concurrent use.
type Subject struct {
	name, wide, edged string
}

// Of makes a Subject of a name.
func Of(name string) Subject { return Subject{name: name} }

func (s *Subject) wideForm() string {
	if s.wide == "" {
		s.wide = octet.Widen(s.name)
	}
	return s.wide
}

// edgedForm is the name with two more runes around each character. They make
// the edges of words visible to assertions that the engine has, for it has none
// for only the beginning or only the end of a word. Between two characters there
// is always a pair:
//
//	where a word begins   "\n" and "w":  (?m:^) and \b hold, (?m:$) does not
//	where a word ends     "w" and "\n":  (?m:$) and \b hold, (?m:^) does not
//	elsewhere             "." and ".":   \B holds
//
// At the beginning and the end of the name one half of the pair is missing, and
// the same holds. An expression steps over three runes at a time, so it never
// looks at another position than the middle of a pair.
func (s *Subject) edgedForm() string {
	if s.edged != "" || s.name == "" {
		return s.edged
	}
	b := make([]byte, 0, 3*len(s.name))
	before := false
	for i := 0; i < len(s.name); i++ {
		word := isWord(s.name[i])
		after := i+1 < len(s.name) && isWord(s.name[i+1])
		b = append(b, edge(word, before))
		b = octet.AppendWide(b, s.name[i])
		b = append(b, edge(word, after))
		before = word
	}
	s.edged = string(b)
	return s.edged
}

// edge is the rune between a character and its neighbour, on the character's
// side: seen from both sides the table above comes out.
func edge(word, neighbour bool) byte {
	switch {
	case word == neighbour:
		return '.'
	case word:
		return 'w'
	default:
		return '\n'
	}
}

func isWord(c byte) bool { return octet.IsAlnum(c) || c == '_' }
