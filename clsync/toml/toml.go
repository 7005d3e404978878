// Package toml writes comments and strings of TOML.
//
// Trust: linked into the supervisor; pure. What is written may come from any file.
//
// Invariants: whatever the text is, each line that is made of a comment is one; a text
// of UTF-8 in quotes is read as itself.
package toml

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Comment writes a text as lines of a comment.
func Comment(b *strings.Builder, text string) {
	const width = 100
	line := "#"
	for _, word := range strings.Fields(clean(text)) {
		if len(line)+len(word) >= width && line != "#" {
			b.WriteString(line + "\n")
			line = "#  "
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// clean leaves nothing that a comment of TOML must not hold.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return '?'
		}
		return r
	}, text)
}

// Quoted is a text in quotes: in plain ones where it has backslashes.
func Quoted(text string) string {
	if strings.Contains(text, `\`) && !strings.ContainsFunc(text, func(r rune) bool { return r == '\'' || unicode.IsControl(r) }) {
		return "'" + text + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
