package toml

import (
	"strings"
	"testing"
)

func TestComment(t *testing.T) {
	for _, text := range []string{"", "a", "a\nb = 1", "\xff\x00\r\x1b[1m", strings.Repeat("word ", 100), strings.Repeat("x", 300)} {
		var b strings.Builder
		Comment(&b, text)
		for line := range strings.Lines(b.String()) {
			if !strings.HasPrefix(line, "#") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x00\x1b\n") {
				t.Errorf("%q: %q", text, line)
			}
		}
		if got, want := len(strings.Fields(strings.ReplaceAll(b.String(), "#", " "))), len(strings.Fields(clean(text))); got != want {
			t.Errorf("%q: %d words of %d", text, got, want)
		}
	}
}
