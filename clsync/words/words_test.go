package words

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// Measured with clsync 0.4.5, which forgets a quoted word that nothing follows:
// there the line was followed by another word.
func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		``:                         nil,
		" \t ":                     nil,
		`a b`:                      {"a", "b"},
		"a\tb ":                    {"a", "b"},
		`"two three"`:              {"two three"},
		`a"b c"d e`:                {"ab cd", "e"},
		`"a b""c d" e`:             {"a bc d", "e"},
		`'a"b' "c'd" e`:            {`a"b`, "c'd", "e"},
		`--x="a b" c`:              {"--x=a b", "c"},
		`"" x`:                     {"", "x"},
		`'' x`:                     {"", "x"},
		`x"" y`:                    {"x", "y"},
		`""x y`:                    {"x", "y"},
		`"c\nd" 'e\f'`:             {`c\nd`, `e\f`},
		`a\ b`:                     {`a\`, "b"},
		`"a\\" b`:                  {`a\\`, "b"},
		`a #b ; $c`:                {"a", "#b", ";", "$c"},
		`'%label% x' %watch-dir%/`: {"%label% x", "%watch-dir%/"},
		// Here it does not come back.
		`"a \"b\" c" e`: {`a \"b\" c`, "e"},
	} {
		got, err := Split(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v, want %q", line, got, err, want)
		}
	}
}

func TestUnterminated(t *testing.T) {
	for line, want := range map[string]string{
		`a "b c`:      `column 3: the quote " has no end`,
		`'a\'b'`:      `column 1: the quote ' has no end`,
		`x\"y z`:      `column 1: the quote " has no end`,
		`"a\"`:        `column 1: the quote " has no end`,
		`'it'\''s' e`: `column 1: the quote ' has no end`,
	} {
		if got, err := Split(line); err == nil || err.Error() != want || got != nil {
			t.Errorf("%s: %q %v, want %s", line, got, err, want)
		}
	}
}

func TestShell(t *testing.T) {
	sh := testenv.NeedTool(t, "sh")
	list := []string{"", "a b", "it's", `"x"`, "$HOME", "%label%", "-W/a,b", "line\nbreak", "*", `\`, "#", "~"}
	got, err := exec.Command(sh, "-c", `printf '%s\0' `+Shell(list)).Output()
	if err != nil || string(got) != strings.Join(list, "\x00")+"\x00" {
		t.Errorf("%q %v", got, err)
	}
	if got := Shell([]string{"clsync", "-W/a", "%label%"}); got != "clsync -W/a %label%" {
		t.Error(got)
	}
}

// Quoted with the quotes that they do not hold, words come back, and nothing
// comes that was not there.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", `a "b c" 'd'`, `"a\"b"`, `'a`, "\\\"\t", `x""''y`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		list, err := Split(line)
		if err != nil {
			return
		}
		total := 0
		var again []string
		for _, w := range list {
			total += len(w)
			quote := "'"
			if strings.Contains(w, quote) {
				quote = `"`
				if strings.ContainsAny(w, `"\`) {
					return
				}
			}
			again = append(again, quote+w+quote)
		}
		if total > len(line) {
			t.Errorf("%q became %q", line, list)
		}
		if got, err := Split(strings.Join(again, " ")); err != nil || !slices.Equal(got, list) {
			t.Errorf("%q: %q, then %q %v", line, list, got, err)
		}
	})
}
