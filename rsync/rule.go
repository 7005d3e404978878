package rsync

import (
	"bytes"
	"slices"
	"strings"
)

// Prefixes of a rule that names one path of the transfer (FILTER RULES IN
// DEPTH).
const (
	Exclude = "- " // not copied, and not deleted on the target
	Hide    = "H " // as if the source lacked it: not copied, deleted on the target
	Include = "+ " // decides before a later rule would exclude
)

// Suffixes of a rule.
const (
	Itself      = ""     // whatever the path names
	Directory   = "/"    // only if it is a directory
	Children    = "/*"   // what is directly in it
	ChildDirs   = "/*/"  // the directories directly in it
	Below       = "/**"  // all that is below it
	ItselfBelow = "/***" // the directory and all that is below it
)

// Rule is the filter rule for exactly the path rel below the root. It returns
// "" when the rule would be longer than MaxRule: rsync would drop it, so the
// caller must say something else of an ancestor.
//
// rsync compares a pattern byte by byte, unless it contains one of * ? [ ; only
// then is a backslash an escape (PATTERN MATCHING RULES). A suffix with a star
// makes the whole pattern such a one.
func Rule(prefix, rel, suffix string) string {
	name := rel
	if strings.ContainsAny(rel, "*?[") || strings.Contains(suffix, "*") {
		name = escape(rel)
	}
	rule := prefix + "/" + name + suffix
	if len(rule) > MaxRule {
		return ""
	}
	return rule
}

// Hidden reads a rule that Rule made: whether it hides one path, and which. Any
// other rule that it made holds for sender and receiver alike. ok is false for
// what Rule does not make of those prefixes.
func Hidden(rule []byte) (rel string, hides, ok bool) {
	if bytes.HasPrefix(rule, []byte(Exclude+"/")) || bytes.HasPrefix(rule, []byte(Include+"/")) {
		return "", false, true
	}
	name, hides := bytes.CutPrefix(rule, []byte(Hide+"/"))
	if !hides || len(name) == 0 || name[len(name)-1] == '/' {
		return "", false, false
	}
	if !bytes.ContainsAny(name, "*?[") {
		return string(name), true, true
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		switch name[i] {
		case '*', '?', '[':
			return "", false, false
		case '\\':
			if i++; i == len(name) {
				return "", false, false
			}
		}
		out = append(out, name[i])
	}
	return string(out), true, true
}

func escape(s string) string {
	if !strings.ContainsAny(s, `*?[\`) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*', '?', '[', '\\':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Exact translates patterns of gitignore(5) into rsync's filter rules, those of
// them that mean exactly the same in both languages: literals, "*" inside a
// component, a leading or trailing slash, a leading "**/", "!" before all that.
// The last pattern that matches decides in gitignore, the first rule in rsync:
// so the rules come in the opposite order. What cannot be translated is left
// out, unless there is a "!": then what a pattern means depends on the others,
// and it is all or nothing (nil).
func Exact(patterns []string) []string {
	var out []string
	negated, lost := false, false
	for _, p := range patterns {
		if void(p) {
			continue
		}
		prefix, body := Exclude, p
		if rest, ok := strings.CutPrefix(p, "!"); ok {
			prefix, body, negated = Include, rest, true
		}
		t, ok := exact(body)
		if !ok || prefix == Include && strings.HasPrefix(body, "!") {
			lost = true
			continue
		}
		out = append(out, prefix+t)
	}
	if negated && lost {
		return nil
	}
	slices.Reverse(out)
	return out
}

// void says that a line is no pattern at all: blank, or a comment.
func void(p string) bool { return strings.Trim(p, " ") == "" || p[0] == '#' }

// Covers says whether Exact translates all of the patterns that have an effect.
// When it does not, rsync protects on the target only some of what they match.
func Covers(patterns []string) bool {
	n := 0
	for _, p := range patterns {
		if !void(p) {
			n++
		}
	}
	return len(Exact(patterns)) == n
}

func exact(p string) (string, bool) {
	const longest = 1024
	if p == "" || len(p) > longest || p[0] == '#' || strings.HasSuffix(p, " ") {
		return "", false // a comment, or blanks that gitignore strips
	}
	if strings.ContainsAny(p, `?[\`) || strings.ContainsFunc(p, isControl) {
		return "", false
	}
	body, anyDepth := strings.CutPrefix(p, "**/")
	body, anchored := strings.CutPrefix(body, "/")
	body, dir := strings.CutSuffix(body, "/")
	if anyDepth && anchored || strings.Contains(body, "**") {
		return "", false
	}
	for c := range strings.SplitSeq(body, "/") {
		if c == "" || c == "." || c == ".." {
			return "", false
		}
	}
	// gitignore: a slash that is not the last byte anchors. rsync: only a
	// leading one does; without it the pattern must match the path's end.
	if anchored || !anyDepth && strings.Contains(body, "/") {
		body = "/" + body
	}
	if dir {
		body += "/"
	}
	return body, true
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
