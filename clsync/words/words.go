// Package words splits a line into words as clsync's configuration does, and
// writes words so that a shell reads them back.
//
// Trust: pure; what it reads was written by whoever configures the daemon.
// Imports: the standard library alone.
//
// Invariant: no byte is added, and none is dropped but blanks between words and
// the quotes themselves.
package words

import (
	"fmt"
	"strings"
)

// Split splits at blanks and tabs. "…" and '…' keep blanks, and pieces that
// touch are one word. Within "…" a backslash keeps the next quote or backslash
// from having a meaning, and stays itself; anywhere else it is a byte like any
// other. Unlike clsync 0.4.5, a quoted word at the end of the line counts.
func Split(line string) ([]string, error) {
	var out []string
	for i := 0; i < len(line); {
		if blank(line[i]) {
			i++
			continue
		}
		word, n, err := one(line[i:])
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", i+1, err)
		}
		out = append(out, word)
		i += n
	}
	return out, nil
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// one reads the word at the start of a text, which is no blank.
func one(text string) (word string, length int, err error) {
	var b strings.Builder
	i := 0
	for i < len(text) && !blank(text[i]) {
		c := text[i]
		if c != '"' && c != '\'' {
			b.WriteByte(c)
			i++
			continue
		}
		n := closing(text[i+1:], c)
		if n < 0 {
			return "", 0, fmt.Errorf("the quote %c has no end", c)
		}
		b.WriteString(text[i+1 : i+1+n])
		i += n + 2
	}
	return b.String(), i, nil
}

// closing is where a quoted text ends, or -1.
func closing(text string, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == quote:
			return i
		case quote == '"' && text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
		}
	}
	return -1
}

// Shell writes words so that sh(1) reads the same ones.
func Shell(list []string) string {
	quoted := make([]string, len(list))
	for i, w := range list {
		quoted[i] = shellWord(w)
	}
	return strings.Join(quoted, " ")
}

func shellWord(w string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_"
	if w != "" && strings.Trim(w, plain) == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
