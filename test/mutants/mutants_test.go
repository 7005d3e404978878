package mutants

import (
	"os"
	"strings"
	"testing"
)

// table reads the mutants.
func table(t *testing.T) []Mutant {
	t.Helper()
	text, err := os.ReadFile("testdata/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every mutant can be planted in the source as it is today.
func TestApply(t *testing.T) {
	names := map[string]bool{}
	for _, m := range table(t) {
		source, err := os.ReadFile("../../" + m.File)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := m.Apply(string(source)); err != nil {
			t.Errorf("%s: %v", m.What, err)
		}
		if names[m.What] {
			t.Errorf("%s: twice", m.What)
		}
		names[m.What] = true
	}
	if len(names) < 30 {
		t.Errorf("%d mutants are too few", len(names))
	}
}

func TestParseRefuses(t *testing.T) {
	const good = "## a\nin f\nred ./p Test\n-x\n+y\n"
	if all, err := Parse("# remark\n#\n\n" + good); err != nil || len(all) != 1 || all[0] != (Mutant{"a", "f", "./p", "Test", "x\n", "y\n"}) {
		t.Errorf("%+v, %v", all, err)
	}
	for _, part := range []string{"in f\n", "red ./p Test\n", "-x\n"} {
		if _, err := Parse(strings.Replace(good, part, "", 1)); err == nil {
			t.Errorf("without %q it is taken", part)
		}
	}
	for _, bad := range []string{good + "*z\n", strings.Replace(good, "+y", "+x", 1)} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := (Mutant{Old: "x\n", New: "y\n"}).Apply("x x"); err == nil {
		t.Error("what stands twice is changed")
	}
}
