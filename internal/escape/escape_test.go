package escape

import (
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"":                 "",
		"plain name.txt":   "plain name.txt",
		"umläut 漢字":        "umläut 漢字",
		"a\nb":             `a\x0ab`,
		"\x1b]0;owned\x07": `\x1b]0;owned\x07`,
		"\x9b31m":          `\x9b31m`,
		"\u009b31m":        `\xc2\x9b31m`,
		"\u202egnp.exe":    `\xe2\x80\xaegnp.exe`,
		`back\slash`:       `back\\slash`,
		`\x41`:             `\\x41`,
		"bad \xff\xfe utf": `bad \xff\xfe utf`,
		"\ufffd":           "\ufffd",
		"nbsp\u00a0":       `nbsp\xc2\xa0`,
	} {
		if got := Name(in); got != want {
			t.Errorf("Name(%q) = %q, want %q", in, got, want)
		}
	}
}

// unescape reads an escaped name back.
func unescape(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if s[i+1] == '\\' {
			b.WriteByte('\\')
			i++
			continue
		}
		n, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		b.WriteByte(byte(n))
		i += 3
	}
	return b.String()
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"", "a", "\n", "\\", "\\x41", "\x9b", "\u202e", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := Name(s)
		if !utf8.ValidString(out) {
			t.Fatalf("%q: not UTF-8", out)
		}
		for _, r := range out {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q: holds %U", out, r)
			}
		}
		if back := unescape(t, out); back != s {
			t.Fatalf("%q became %q, read back as %q", s, out, back)
		}
	})
}
