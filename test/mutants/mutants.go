// Package mutants plants bugs and looks for the test that notices: what no test
// notices, nobody would have noticed.
//
// Trust: a test's own; it writes to a copy of the source alone.
package mutants

import (
	"fmt"
	"strings"
)

// A Mutant is one planted bug.
type Mutant struct {
	What    string // is broken
	File    string
	Package string // whose tests are to notice it
	Tests   string // a regular expression of their names
	Old     string // occurs once in the file
	New     string
}

// Parse reads the table of mutants.
func Parse(text string) ([]Mutant, error) {
	var out []Mutant
	for i, line := range strings.Split(text, "\n") {
		var m *Mutant
		if len(out) > 0 {
			m = &out[len(out)-1]
		}
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "##":
			out = append(out, Mutant{What: rest})
		case m == nil || line == "":
		case word == "in":
			m.File = rest
		case word == "red":
			m.Package, m.Tests, _ = strings.Cut(rest, " ")
		case line[0] == '-':
			m.Old += line[1:] + "\n"
		case line[0] == '+':
			m.New += line[1:] + "\n"
		default:
			return nil, fmt.Errorf("line %d is not understood: %s", i+1, line)
		}
	}
	for _, m := range out {
		if m.What == "" || m.File == "" || m.Package == "" || m.Tests == "" || m.Old == "" || m.Old == m.New {
			return nil, fmt.Errorf("mutant %q is not whole", m.What)
		}
	}
	return out, nil
}

// Apply is the source with the bug in it. The last line of both may be a part of
// one.
func (m Mutant) Apply(source string) (string, error) {
	old, planted := strings.TrimSuffix(m.Old, "\n"), strings.TrimSuffix(m.New, "\n")
	if n := strings.Count(source, old); n != 1 {
		return "", fmt.Errorf("what it changes stands %d times in %s", n, m.File)
	}
	return strings.Replace(source, old, planted, 1), nil
}
