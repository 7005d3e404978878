package ordered

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"lockstep/internal/escape"
	"lockstep/rules/ere"
)

// The bounds of a file.
const (
	MaxFile   = 1 << 20 // bytes
	MaxRules  = 20_000
	maxWeight = 1 << 20 // of all expressions together
	maxFaults = 100     // that are told
)

// Fault is what is wrong with a line, and what to do.
type Fault struct {
	File   string
	Line   int // from 1; 0: the file
	Reason string
}

func (f Fault) Error() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", escape.Name(f.File), f.Reason)
	}
	return fmt.Sprintf("%s:%d: %s", escape.Name(f.File), f.Line, f.Reason)
}

// Faults are all that is wrong with a file.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// add keeps a fault, up to a bound, and says whether more are wanted.
func (f *Faults) add(file string, line int, reason string) bool {
	if len(*f) == maxFaults {
		*f = append(*f, Fault{file, line, "there is more that is wrong from here on; mend what is above and check again"})
	}
	if len(*f) > maxFaults {
		return false
	}
	*f = append(*f, Fault{file, line, reason})
	return true
}

// letter returns what a type letter fits and decides.
func letter(c byte) (fits, decides mask, ok bool) {
	const (
		every       mask = 1<<kinds - 1
		dir         mask = 1 << Dir
		all         mask = 1<<actions - 1
		walk, watch mask = 1 << Walk, 1 << Monitor
	)
	switch c {
	case 'f':
		return 1 << File, all, true
	case 'd':
		return dir, all, true
	case '*':
		return every, all, true
	case 'w':
		return dir, walk, true
	case 'm':
		return dir, watch, true
	case 'W':
		return dir, walk | watch, true
	case 's':
		return dir, 1 << Sync, true
	}
	return 0, 0, false
}

// Parse reads a rule file. The name is for messages. The error is of type
// Faults and holds all that is wrong.
func Parse(file string, data []byte) (*Set, error) {
	if len(data) > MaxFile {
		return nil, Faults{{file, 0, fmt.Sprintf("it has %d bytes, of which a rule file may have %d; say with fewer rules what is left out", len(data), MaxFile)}}
	}
	s := &Set{file: file}
	var faults Faults
	weight, number := 0, 0
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		number++
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		r, err := parseRule(line)
		if err != nil {
			if !faults.add(file, number, err.Error()) {
				break
			}
			continue
		}
		r.line = number
		s.rules = append(s.rules, r)
		if weight += r.expr.Weight(); weight > maxWeight {
			faults.add(file, number, "with this line the expressions take too much memory with their intervals written out; use * or + for high counts")
			break
		}
		if len(s.rules) > MaxRules {
			faults.add(file, number, fmt.Sprintf("this is one rule more than the %d that a file may have; join several with |", MaxRules))
			break
		}
	}
	if err := faults.orNil(); err != nil {
		return nil, err
	}
	s.index = newIndex(s.rules, maxTexts)
	return s, nil
}

func parseRule(line []byte) (rule, error) {
	if line[0] != '+' && line[0] != '-' {
		return rule{}, fmt.Errorf("a rule begins with + or - and a comment with #, this line with %s", strconv.QuoteToASCII(string(line[:1])))
	}
	if len(line) == 1 {
		return rule{}, fmt.Errorf("a letter for the type is missing after the %c; %s", line[0], letters)
	}
	if line[len(line)-1] == '\r' {
		return rule{}, fmt.Errorf("it ends in a carriage return, which would be part of the expression; save the file with Unix line ends")
	}
	r := rule{permit: line[0] == '+', text: string(line)}
	var ok bool
	if r.kinds, r.actions, ok = letter(line[1]); !ok {
		hint := letters
		if low := line[1] | 0x20; low != line[1] && strings.IndexByte("fdms", low) >= 0 {
			hint = "did you mean " + string(rune(low)) + "?"
		}
		return rule{}, fmt.Errorf("the type %s is unknown; %s", strconv.QuoteToASCII(string(line[1:2])), hint)
	}
	var err error
	r.expr, err = ere.Compile(r.text[2:])
	return r, err
}

const letters = "there are f (all but directories), d (directories), * (everything), w, m, W and s (walk, monitor, both, sync of directories)"
