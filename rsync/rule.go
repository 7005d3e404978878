package rsync

import "strings"

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

// Exact translates patterns of gitignore(5) into rsync's patterns, those of
// them that mean exactly the same in both languages: literals, "*" inside a
// component, a leading or trailing slash, a leading "**/". The others are left
// out. It returns nil when any pattern begins with "!": then what a pattern
// means depends on the patterns after it.
func Exact(patterns []string) []string {
	var out []string
	for _, p := range patterns {
		if strings.HasPrefix(p, "!") {
			return nil
		}
		if t, ok := exact(p); ok {
			out = append(out, t)
		}
	}
	return out
}

// Covers says whether Exact translates all of the patterns that have an effect.
// When it does not, rsync protects on the target only some of what they match.
func Covers(patterns []string) bool {
	for _, p := range patterns {
		if strings.Trim(p, " ") == "" || p[0] == '#' {
			continue // no pattern at all
		}
		if _, ok := exact(p); !ok || p[0] == '!' {
			return false
		}
	}
	return true
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
