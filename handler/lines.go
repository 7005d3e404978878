package handler

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"lockstep/rsync"
)

// Why an entry, or a rejected path, could not be handed over.
type Why uint8

// The reasons.
const (
	Newline Why = iota + 1 // the list has a line for each path
	TooLong                // for a line of rsync's, or for a call
)

func (w Why) String() string {
	if w == Newline {
		return "its name has a newline, which a list of lines cannot carry"
	}
	return "it is too long to be handed over"
}

// Left is what no run has.
type Left struct {
	Path string
	// Rejected: it must not be copied; instead of it the directory above it that
	// fits is left out with all that is in it.
	Rejected bool
	Why      Why
}

// line is an entry's in a list of mode shell.
func (m *Maker) line(e Entry) string {
	if m.opt.Simplify {
		return e.Path + "\n"
	}
	return "sync " + m.opt.Label + " " + strconv.FormatUint(uint64(e.Mask), 10) + " " + e.Path + "\n"
}

// pattern is rsync's for exactly one path below the root; "" if it is too long.
//
// rsync ends a line of a file at a newline and at a carriage return, and knows no
// escape for them: there a class stands for the byte, that has all other bytes
// and is negated.
func pattern(rel, suffix string) string {
	if !strings.ContainsAny(rel, "\n\r") {
		return strings.TrimPrefix(rsync.Rule(rsync.Include, rel, suffix), rsync.Include)
	}
	var b strings.Builder
	b.WriteByte('/')
	for i := range len(rel) {
		switch c := rel[i]; c {
		case '\n':
			b.WriteString("[^\x01-\x09\x0b-\xff]")
		case '\r':
			b.WriteString("[^\x01-\x0c\x0e-\xff]")
		case '*', '?', '[', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteString(suffix)
	if len(rsync.Include)+b.Len() > rsync.MaxRule {
		return ""
	}
	return b.String()
}

// patterns are the lines of an entry and of the directories above it. (Of the
// root itself an empty line, which rsync skips: its attributes come with
// everything.)
func patterns(e Entry) []string {
	suffixes := []string{}
	if e.Recursive {
		suffixes = append(suffixes, rsync.ItselfBelow)
	}
	if e.Content {
		suffixes = append(suffixes, rsync.Below)
	}
	if len(suffixes) == 0 || e.Content && !e.Recursive && e.Path != "" {
		suffixes = append(suffixes, rsync.Itself)
	}
	var out []string
	for _, suffix := range suffixes {
		if e.Path == "" {
			out = append(out, suffix)
			continue
		}
		out = append(out, pattern(e.Path, suffix))
	}
	for i, c := range []byte(e.Path) {
		if c == '/' {
			out = append(out, pattern(e.Path[:i], rsync.Itself))
		}
	}
	if slices.Contains(out, "") && e.Path != "" {
		return nil
	}
	return out
}

// excludes are the lines of what is rejected, and of what is rejected below.
func excludes(rejected, below []string) (content []byte, left []Left) {
	lines := map[string]bool{}
	for i, rel := range slices.Concat(rejected, below) {
		suffix := rsync.Itself
		if i >= len(rejected) {
			suffix = rsync.Below
		}
		if rel == "" {
			lines[rsync.Below] = true // of the root all is
			continue
		}
		p := pattern(rel, suffix)
		for above := rel; p == "" && above != ""; {
			above = above[:max(strings.LastIndexByte(above, '/'), 0)]
			p = pattern(above, rsync.Itself)
			if p != "" {
				left = append(left, Left{Path: rel, Rejected: true, Why: TooLong})
			}
		}
		lines[p] = true
	}
	return join(lines), left
}

func join(lines map[string]bool) []byte {
	content := []byte{}
	for _, l := range slices.Sorted(maps.Keys(lines)) {
		content = append(append(content, l...), '\n')
	}
	return content
}
