// Package toml writes comments of TOML.
//
// Trust: linked into the supervisor; pure. What is written may come from any file.
//
// Invariant: whatever the text is, each line that is made is a comment.
package toml

import (
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
