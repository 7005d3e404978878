// Package escape is the one way by which names and output from trees, commands
// and confined processes reach a log or a terminal.
//
// Trust: linked into every program. Input is hostile; output is printable.
//
// Invariant: the result holds no control character, no byte that is not part
// of valid UTF-8, no character that changes the direction of text, and no bare
// backslash, so that one record stays one line and can be read back exactly.
package escape

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// Name returns s with every byte that is not part of a printable character
// written as \xNN, and a backslash as \\.
func Name(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case printable(r, n):
			b.WriteString(s[i : i+n])
		default:
			for _, c := range []byte(s[i : i+n]) {
				b.WriteString(`\x`)
				b.WriteByte(hex[c>>4])
				b.WriteByte(hex[c&15])
			}
		}
		i += n
	}
	return b.String()
}

// Bytes is Name for a byte slice.
func Bytes(b []byte) string { return Name(string(b)) }

// plain reports whether s needs no escape: the usual case, without allocation.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// printable refuses what unicode.IsPrint refuses (controls, format characters
// such as the bidirectional overrides of U+202A–U+202E and U+2066–U+2069, all
// spaces but U+0020) and what is no valid UTF-8.
func printable(r rune, size int) bool {
	if r == utf8.RuneError && size <= 1 {
		return false
	}
	return unicode.IsPrint(r)
}
