package macro

import (
	"fmt"
	"strings"
	"testing"
)

func show(pieces []Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		fmt.Fprintf(&b, "<%s>%s", p.Name, p.Text)
	}
	return strings.ReplaceAll(b.String(), "<>", "|")
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "",
		"plain":                "|plain",
		"%label%":              "<label>",
		"a%label%b%TYPE%":      "|a<label>|b<TYPE>",
		"%%":                   "|%",
		"50%%":                 "|50%",
		"%%label%%":            "|%label%",
		"%%%label%%%":          "|%<label>|%",
		"100%":                 "|100%",
		"%":                    "|%",
		"%label":               "|%label",
		"10% of %label%":       "|10% of <label>",
		"10% of 20%":           "|10% of 20%",
		"%INCLUDE-LIST-PATH%x": "<INCLUDE-LIST-PATH>|x",
		"%1%":                  "|%1%",
		"%-%a%":                "|%-<a>",
		"%a b%c%":              "|%a b<c>",
		"%\xff%":               "|%\xff%",
	} {
		if got := show(Cut(text)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Quoted text comes back as it was; and what was cut and written again is cut
// in the same way.
func FuzzCut(f *testing.F) {
	for _, s := range []string{"", "%", "%%", "%a%", "%%a%%", "%a%%b%", "%a b%", "100%x%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := Cut(Quote(text)); text != "" && (len(got) != 1 || got[0] != Piece{Text: text}) {
			t.Errorf("%q: %+v", text, got)
		}
		var again strings.Builder
		for _, p := range Cut(text) {
			if p.Name != "" {
				again.WriteString("%" + p.Name + "%")
			}
			again.WriteString(Quote(p.Text))
		}
		if show(Cut(again.String())) != show(Cut(text)) {
			t.Errorf("%q, then %q", text, again.String())
		}
	})
}
