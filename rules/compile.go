package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lockstep/rules/octet"
)

// The reasons why a pattern could never match; git skips such patterns in
// silence, which hides a mistake.
var (
	errNUL      = errors.New("it holds a NUL byte, which no name has")
	errNothing  = errors.New("nothing is left of it to match")
	errEmpty    = errors.New("it has an empty component (two slashes in a row)")
	errEscape   = errors.New(`it ends in a lone backslash; write \\ for one`)
	errBracket  = errors.New(`its [ is never closed; write \[ for the character`)
	errClass    = errors.New("it names an unknown character class")
	errEmptySet = errors.New("its [ ] holds no character that a name can have")
)

// compile reads one line of gitignore(5), PATTERN FORMAT.
func compile(text string) (pattern, error) {
	p, err := parse(text)
	if err != nil {
		return pattern{}, fmt.Errorf("%s matches nothing: %w", strconv.QuoteToASCII(text), err)
	}
	return p, nil
}

func parse(text string) (pattern, error) {
	if strings.IndexByte(text, 0) >= 0 {
		return pattern{}, errNUL
	}
	if strings.HasPrefix(text, "#") {
		return pattern{}, nil
	}
	text = trimSpaces(text)
	if text == "" {
		return pattern{}, nil
	}
	var p pattern
	text, p.negate = strings.CutPrefix(text, "!")
	text, p.dirOnly = strings.CutSuffix(text, "/")
	p.path = strings.Contains(text, "/")
	text = strings.TrimPrefix(text, "/")
	if text == "" {
		return pattern{}, errNothing
	}
	toks, err := tokens(text)
	if err != nil {
		return pattern{}, err
	}
	if err := checkSegments(toks); err != nil {
		return pattern{}, err
	}
	p.form, p.text = emit(toks, p.path)
	return p, nil
}

// trimSpaces drops trailing spaces that no backslash protects.
func trimSpaces(s string) string {
	end := len(s)
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ':
			end = min(end, i)
		case '\\':
			i++
			end = len(s)
		default:
			end = len(s)
		}
	}
	return s[:end]
}

// token is one step of a pattern: a literal byte, '?', a run of stars, or a
// set of bytes.
type token struct {
	kind  tokenKind
	lit   byte
	stars int
	set   *[256]bool
}

type tokenKind uint8

const (
	tokLit tokenKind = iota
	tokAny
	tokStar
	tokSet
)

func tokens(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i == len(s) {
				return nil, errEscape
			}
			out = append(out, token{kind: tokLit, lit: s[i]})
		case '?':
			out = append(out, token{kind: tokAny})
		case '*':
			n := 1
			for i+1 < len(s) && s[i+1] == '*' {
				i++
				n++
			}
			out = append(out, token{kind: tokStar, stars: n})
		case '[':
			set, end, err := bracket(s, i)
			if err != nil {
				return nil, err
			}
			out = append(out, token{kind: tokSet, set: set})
			i = end
		default:
			out = append(out, token{kind: tokLit, lit: s[i]})
		}
	}
	return out, nil
}

// checkSegments refuses an empty component: no path has one.
func checkSegments(toks []token) error {
	slash := true
	for _, t := range toks {
		is := t.kind == tokLit && t.lit == '/'
		if is && slash {
			return errEmpty
		}
		slash = is
	}
	if slash {
		return errEmpty
	}
	return nil
}

// emit writes the tokens for the engine. git's "**" alone between slashes is
// the engine's; any other run of stars is one star. A last "/**" matches all
// below but not the directory itself, which for the engine is "/**/*".
func emit(toks []token, path bool) (form, string) {
	if lit, ok := literal(toks); ok {
		return formExact, lit
	}
	if toks[0].kind == tokStar && !path {
		if lit, ok := literal(toks[1:]); ok {
			return formSuffix, lit
		}
	}
	var b []byte
	for i, t := range toks {
		switch t.kind {
		case tokLit:
			b = appendLiteral(b, t.lit)
		case tokAny:
			b = append(b, '?')
		case tokSet:
			b = appendSet(b, t.set)
		case tokStar:
			first := i == 0 || toks[i-1] == slashToken
			last := i == len(toks)-1
			switch {
			case !path || t.stars < 2 || !first || !last && toks[i+1] != slashToken:
				b = append(b, '*')
			case last:
				b = append(b, "**/*"...)
			default:
				b = append(b, "**"...)
			}
		}
	}
	return formGlob, string(b)
}

var slashToken = token{kind: tokLit, lit: '/'}

func literal(toks []token) (string, bool) {
	b := make([]byte, 0, len(toks))
	for _, t := range toks {
		if t.kind != tokLit {
			return "", false
		}
		b = append(b, t.lit)
	}
	return string(b), true
}

// appendLiteral escapes all that is not plainly a character of a word, for
// the engine knows more special ones ({ and }) than git.
func appendLiteral(b []byte, c byte) []byte {
	if c < 0x80 && c != '/' && !octet.IsAlnum(c) {
		b = append(b, '\\')
	}
	return octet.AppendWide(b, c)
}

// appendSet writes a set as ranges, both ends escaped.
func appendSet(b []byte, set *[256]bool) []byte {
	b = append(b, '[')
	for lo := 1; lo < 256; lo++ {
		if !set[lo] {
			continue
		}
		hi := lo
		for hi+1 < 256 && set[hi+1] {
			hi++
		}
		b = octet.AppendWide(append(b, '\\'), byte(lo))
		if hi > lo {
			b = octet.AppendWide(append(b, '-', '\\'), byte(hi))
		}
		lo = hi
	}
	return append(b, ']')
}

// bracket reads the set that begins at s[i] == '[' the way git's wildmatch
// does and returns the index of its ']'. A slash is never in a set.
func bracket(s string, i int) (*[256]bool, int, error) {
	var set [256]bool
	i++
	negate := i < len(s) && (s[i] == '!' || s[i] == '^')
	if negate {
		i++
	}
	var prev byte // the character a following '-' makes a range from; 0: none
	for first := true; ; first = false {
		if i >= len(s) {
			return nil, 0, errBracket
		}
		if s[i] == ']' && !first {
			break
		}
		var err error
		if prev, i, err = member(&set, s, i, prev); err != nil {
			return nil, 0, err
		}
	}
	any := false
	for c := 1; c < 256; c++ {
		set[c] = set[c] != negate && c != '/'
		any = any || set[c]
	}
	if !any {
		return nil, 0, errEmptySet
	}
	return &set, i, nil
}

// member adds the part of a set that begins at s[i], and returns what a '-'
// after it would make a range from, and the index behind it.
func member(set *[256]bool, s string, i int, prev byte) (byte, int, error) {
	c := s[i]
	switch {
	case c == '\\':
		if i+1 >= len(s) {
			return 0, 0, errBracket
		}
		set[s[i+1]] = true
		return s[i+1], i + 2, nil
	case c == '-' && prev != 0 && i+1 < len(s) && s[i+1] != ']':
		i++
		if s[i] == '\\' {
			if i++; i >= len(s) {
				return 0, 0, errBracket
			}
		}
		for x := int(prev); x <= int(s[i]); x++ {
			set[x] = true
		}
		return 0, i + 1, nil
	case c == '[' && i+1 < len(s) && s[i+1] == ':':
		end := strings.IndexByte(s[i+2:], ']')
		if end < 0 {
			return 0, 0, errBracket
		}
		name := s[i+2 : i+2+end]
		if !strings.HasSuffix(name, ":") {
			break // no ":]": an ordinary character
		}
		if !addClass(set, strings.TrimSuffix(name, ":")) {
			return 0, 0, errClass
		}
		return 0, i + 2 + end + 1, nil
	}
	set[c] = true
	return c, i + 1, nil
}

// addClass adds a POSIX character class, ASCII as in git.
func addClass(set *[256]bool, name string) bool {
	in, ok := octet.Class(name)
	if !ok {
		return false
	}
	for c := 1; c < 0x80; c++ {
		set[c] = set[c] || in(byte(c))
	}
	return true
}
