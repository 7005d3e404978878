package toml

import (
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// What is quoted is read as itself.
func TestQuoted(t *testing.T) {
	for _, text := range []string{"", "a b", `"`, `\`, `'`, `a\'"b`, "\x00\n\t\x1b\u0085", `%label%`, "ä€\U0001f600", `^a\.b$`} {
		var got struct{ X string }
		if err := toml.Unmarshal([]byte("X = "+Quoted(text)), &got); err != nil || got.X != text {
			t.Errorf("%q is written %s and read %q: %v", text, Quoted(text), got.X, err)
		}
	}
}
