// Package keyfile reads the part of GLib's key-file format in which clsync's
// configuration is written.
//
// Trust: pure; it reads a file of whoever configures the daemon.
// Imports: the standard library alone.
//
// Invariants: a file is taken or refused as clsync 0.4.5 does (measured); every
// line that is not understood is told, not only the first; a value is the bytes
// that stand there, without escapes, quotes or remarks.
package keyfile

import (
	"slices"
	"strings"
	"unicode"
)

// Entry is one key of a group.
type Entry struct {
	Key, Value  string
	Line        int
	KeyColumn   int // in bytes, from 1 on
	ValueColumn int
	// Hidden are the lines with the same key that this one, the last, outdoes.
	Hidden []int
}

// Fault is a line that is not understood.
type Fault struct {
	Line, Column   int
	Reason, Advice string
}

// File is what a file says.
type File struct {
	groups []group
}

type group struct {
	name    string
	line    int
	entries []Entry
}

// Parse reads a file. With a fault, what is understood is returned all the same,
// so that more can be found that is wrong.
func Parse(data []byte) (*File, []Fault) {
	p := parser{file: &File{}, now: -1}
	for i, line := range strings.Split(string(data), "\n") {
		p.line(i+1, strings.TrimSuffix(line, "\r"))
	}
	return p.file, p.faults
}

type parser struct {
	file   *File
	now    int // the group, or -1 before the first
	lost   bool
	faults []Fault
}

func (p *parser) fail(line, column int, reason, advice string) {
	p.faults = append(p.faults, Fault{line, column, reason, advice})
}

func (p *parser) line(n int, raw string) {
	text := strings.TrimLeft(raw, blanks)
	column := len(raw) - len(text) + 1
	switch {
	case strings.Contains(raw, "\x00"):
		p.fail(n, strings.IndexByte(raw, 0)+1, "there is a NUL byte", "the file must be text")
	case text == "" || text[0] == '#':
	case strings.HasPrefix(text, "\ufeff"):
		p.fail(n, column, "there is a byte order mark", "save the file as UTF-8 without it")
	case isHeader(text):
		p.header(n, column, text[1:strings.IndexByte(text, ']')])
	case strings.IndexByte(text, '=') > 0:
		p.pair(n, column, text)
	default:
		p.fail(n, column, "this is neither a [block], a key = value nor a remark", remedy(text))
		if text[0] == '[' { // nobody knows what is meant by what follows
			p.now, p.lost = -1, true
		}
	}
}

// blanks are what GLib skips.
const blanks = " \t\r\f"

func remedy(text string) string {
	switch text[0] {
	case ';':
		return "a remark begins with #"
	case '=':
		return "write a key before ="
	case '[':
		return "a block is [name] on a line of its own"
	}
	return "write key = value; a remark begins with #"
}

// isHeader says whether a line is a block's: blanks may follow it, no remark.
func isHeader(text string) bool {
	_, after, closed := strings.Cut(text, "]")
	return text[0] == '[' && closed && strings.Trim(after, " \t") == ""
}

func (p *parser) header(n, column int, name string) {
	if name == "" || strings.ContainsRune(name, '[') || strings.ContainsFunc(name, unicode.IsControl) {
		p.fail(n, column, "this is no name of a block", "a name has at least one character, and neither brackets nor control characters")
		p.now, p.lost = -1, true
		return
	}
	p.now = p.file.find(name)
	if p.now < 0 { // a block that comes again goes on
		p.file.groups = append(p.file.groups, group{name: name, line: n})
		p.now = len(p.file.groups) - 1
	}
}

func (p *parser) pair(n, column int, text string) {
	key, value, _ := strings.Cut(text, "=")
	start := strings.TrimLeft(value, blanks)
	at := column + len(key) + 1 + len(value) - len(start)
	key = strings.TrimRight(key, blanks)
	switch {
	case p.now < 0:
		if !p.lost {
			p.lost = true // one word for all that stand there
			p.fail(n, column, "there is a key before the first block", "write [default] above it")
		}
	case !isKey(key):
		p.fail(n, column, "this is no key", "a key holds no brackets")
	default:
		p.file.groups[p.now].add(Entry{Key: key, Value: start, Line: n, KeyColumn: column, ValueColumn: at})
	}
}

// isKey takes what GLib takes. It knows translated keys, name[de]; they are no
// key of clsync's, but no fault of the file.
func isKey(key string) bool {
	name, rest, translated := strings.Cut(key, "[")
	if strings.ContainsRune(name, ']') || name == "" {
		return false
	}
	if !translated {
		return true
	}
	locale, after, closed := strings.Cut(rest, "]")
	return closed && after == "" && !strings.ContainsFunc(locale, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.@", r)
	})
}

func (g *group) add(e Entry) {
	i := slices.IndexFunc(g.entries, func(old Entry) bool { return old.Key == e.Key })
	if i < 0 {
		g.entries = append(g.entries, e)
		return
	}
	e.Hidden = append(g.entries[i].Hidden, g.entries[i].Line)
	g.entries[i] = e
}

func (f *File) find(name string) int {
	return slices.IndexFunc(f.groups, func(g group) bool { return g.name == name })
}

// Group is what a group holds, each key once, in the order in which the keys
// came first; ok is false when there is no such group.
func (f *File) Group(name string) (entries []Entry, ok bool) {
	i := f.find(name)
	if i < 0 {
		return nil, false
	}
	return slices.Clone(f.groups[i].entries), true
}

// Groups are the names of all groups, in their order.
func (f *File) Groups() []string {
	names := make([]string, len(f.groups))
	for i, g := range f.groups {
		names[i] = g.name
	}
	return names
}

// Line is where a group begins, or 0.
func (f *File) Line(name string) int {
	if i := f.find(name); i >= 0 {
		return f.groups[i].line
	}
	return 0
}
