package nearest

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	names := []string{"label", "lists-dir", "rules-file", "mode", "gid"}
	for name, want := range map[string]string{
		"labl": "label", "lables": "label", "list-dir": "lists-dir", "rule_file": "rules-file", "Mode": "mode",
		"": "", "x": "", "gix": "gid", "nothing": "", strings.Repeat("l", 1000): "",
	} {
		if got := Of(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if Ask("") != "" || Ask("mode") != "; did you mean mode?" {
		t.Error(Ask("mode"))
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 2}, {"same", "same", 0}} {
		if got := Distance(c.a, c.b); got != c.want || Distance(c.b, c.a) != got {
			t.Errorf("%q %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
