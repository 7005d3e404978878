package file

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/internal/escape"
)

// text is a document whose faulty expressions are blanked out, one by one, so
// that the rest can be checked too.
type text struct {
	b    *keys.Builder
	path string
	data []byte
	gone []blanked
	told map[int]bool // lines with a fault

	lines []int // where each begins
}

// blanked is an expression that could not be read.
type blanked struct {
	offset int
	key    string // what it was probably meant to set; "" is unknown
	header string // what it was probably meant to begin
	table  bool   // it is a header, of whatever
}

// maxFaults bounds the search for more faults.
const maxFaults = 100

var (
	keyLine    = regexp.MustCompile(`^[ \t]*([A-Za-z0-9_.-]+)[ \t]*=`)
	headerLine = regexp.MustCompile(`^[ \t]*\[+[ \t]*([A-Za-z0-9_.-]+)`)
	beginLine  = regexp.MustCompile(`^[ \t]*(\[|[A-Za-z0-9_.-]+[ \t]*=)`)
)

// mend finds all faults of syntax, and leaves what can be read.
func mend(b *keys.Builder, path string, data []byte) *text {
	t := &text{b: b, path: path, data: bytes.Clone(data), told: map[int]bool{}, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	t.utf8()
	for range maxFaults {
		start, at, err := t.firstFault()
		if err == nil {
			break
		}
		t.blank(start, at, err.Error())
	}
	return t
}

// utf8 tells the first byte that is no part of UTF-8, and replaces all.
func (t *text) utf8() {
	for i, told := 0, false; i < len(t.data); {
		r, n := utf8.DecodeRune(t.data[i:])
		if r == utf8.RuneError && n == 1 {
			if !told {
				t.fail(i, "syntax", "is not UTF-8", "save the file as UTF-8")
			}
			t.data[i], told = '?', true
		}
		i += n
	}
}

// firstFault returns where the first expression that cannot be read begins, and
// where in it the parser gave up.
func (t *text) firstFault() (start, at int, err error) {
	var p unstable.Parser
	p.Reset(t.data)
	end := 0 // of what could be read
	for p.NextExpression() {
		end = endOf(p.Expression())
	}
	if p.Error() == nil {
		return 0, 0, nil
	}
	if i := bytes.IndexByte(t.data[end:], '\n'); end > 0 && i >= 0 {
		end += i + 1
	}
	at = len(t.data)
	var pe *unstable.ParserError
	if errors.As(p.Error(), &pe) {
		at = int(p.Range(pe.Highlight).Offset)
	}
	for end < len(t.data) {
		line, _, more := bytes.Cut(t.data[end:], []byte("\n"))
		trimmed := bytes.TrimSpace(line)
		if !more || len(trimmed) > 0 && trimmed[0] != '#' || end+len(line) >= at {
			break
		}
		end += len(line) + 1
	}
	return min(end, at), at, p.Error()
}

// endOf is the end of an expression, in bytes.
func endOf(n *unstable.Node) int {
	if n.Kind == unstable.KeyValue {
		return int(n.Raw.Offset + n.Raw.Length)
	}
	end := 0
	for i := n.Key(); i.Next(); {
		end = int(i.Node().Raw.Offset + i.Node().Raw.Length)
	}
	return end
}

// blank tells a fault and removes the expression that it is in: from its first
// line up to the next that looks like the beginning of another.
func (t *text) blank(start, at int, message string) {
	start = bytes.LastIndexByte(t.data[:start], '\n') + 1
	end, whole := start, false
	for end < len(t.data) {
		i := bytes.IndexByte(t.data[end:], '\n')
		if i < 0 {
			end = len(t.data)
			break
		}
		whole = whole || end == start && end+i >= at && complete(t.data[start:end+i])
		end += i + 1
		if whole || beginLine.Match(t.data[end:]) {
			break
		}
	}
	first, _, _ := bytes.Cut(t.data[start:end], []byte("\n"))
	gone, thing := blanked{offset: start}, "syntax"
	if gone.table = strings.HasPrefix(strings.TrimSpace(string(first)), "["); gone.table {
		if m := headerLine.FindSubmatch(first); m != nil {
			gone.header, thing = string(m[1]), string(m[1])
		}
	} else if m := keyLine.FindSubmatch(first); m != nil {
		gone.key, thing = string(m[1]), string(m[1])
	}
	t.gone = append(t.gone, gone)
	t.fail(at, thing, message, adviceSyntax(message, gone.table))
	for i := start; i < end; i++ {
		if t.data[i] != '\n' {
			t.data[i] = ' '
		}
	}
}

// complete says that an expression does not go on after its first line, as far
// as can be seen when it cannot be read.
func complete(line []byte) bool {
	return bytes.Count(line, []byte("[")) <= bytes.Count(line, []byte("]")) &&
		!bytes.Contains(line, []byte(`"""`)) && !bytes.Contains(line, []byte("'''"))
}

func adviceSyntax(message string, header bool) string {
	switch {
	case header:
		return "tables are written [service], [defaults] and [[sync]]"
	case strings.Contains(message, "start of value"), strings.Contains(message, "expected keyword"):
		return `write a text in quotes, such as "/srv/www", and true, false and numbers without`
	case strings.Contains(message, "zeroes"), strings.Contains(message, "underscore"):
		return "write a number in plain digits"
	case strings.Contains(message, "newline"):
		return "write one key on a line"
	case strings.Contains(message, "array"):
		return `write a list as ["one", "two"]`
	case strings.Contains(message, "string"):
		return "close the quotes on the same line"
	}
	return "write key = value; see lockstep.toml(5)"
}

// library has the whole document judged by the library too: it knows rules that
// the walk does not, such as how numbers are written. What it says of a line
// that was told already is no news.
func (t *text) library() {
	data := t.data
	for range maxFaults {
		var into map[string]any
		err := toml.Unmarshal(data, &into)
		if err == nil {
			return
		}
		var de *toml.DecodeError
		line, column := 1, 1
		if errors.As(err, &de) {
			line, column = de.Position()
		}
		lines := bytes.SplitAfter(data, []byte("\n"))
		message := strings.TrimPrefix(err.Error(), "toml: ")
		if !t.told[line] {
			t.failAt(config.Pos{File: t.path, Line: line, Column: column}, "syntax", message, "see lockstep.toml(5)")
		}
		if line > len(lines) || !keyLine.Match(lines[line-1]) {
			return
		}
		data = bytes.Clone(data)
		from := len(bytes.Join(lines[:line-1], nil))
		for i := from; i < len(data) && data[i] != '\n'; i++ {
			data[i] = ' '
		}
	}
}

// pos is where an offset is.
func (t *text) pos(offset int) config.Pos {
	offset = min(offset, len(t.data))
	line, exact := slices.BinarySearch(t.lines, offset)
	if exact {
		line++
	}
	return config.Pos{File: t.path, Line: line, Column: offset - t.lines[line-1] + 1}
}

// fail tells a fault at an offset.
func (t *text) fail(offset int, thing, reason, advice string) {
	t.failAt(t.pos(offset), thing, reason, advice)
}

func (t *text) failAt(at config.Pos, thing, reason, advice string) {
	t.told[at.Line] = true
	if thing == "" {
		thing = `""`
	}
	t.b.Fail(at, escape.Name(thing), reason, advice)
}
