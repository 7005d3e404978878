package clsync

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What stands in a recording for what changes from run to run.
const (
	Handler = "{HANDLER}" // the path of the handler
	Include = "{LIST}"    // the path of a list
	Exclude = "{EXC}"     // the path of an exclude list
	PID     = "{PID}"     // in a word "pid=…"
	Watch   = "/w/from"
	Dest    = "/w/to"
)

// Call is one call of the handler.
type Call struct {
	Status    string
	Iteration string
	Dir       string   // its working directory
	Argv      []string // argv[0] first
	Lists     []List
}

// List is a list file that a word of the call names.
type List struct {
	Name  string // Include or Exclude
	Lines []string
}

// Recording is the calls, step by step.
type Recording [][]Call

const header = "# recorded from clsync 0.4.5"

// Text is the recording as it is kept.
func (r Recording) Text() string {
	var b strings.Builder
	fmt.Fprintln(&b, header)
	for _, step := range r {
		fmt.Fprintln(&b, "step")
		for _, c := range step {
			fmt.Fprintf(&b, "call %q %q %q\n", c.Status, c.Iteration, c.Dir)
			for _, word := range c.Argv {
				fmt.Fprintf(&b, "\targ %s\n", strconv.QuoteToASCII(word))
			}
			for _, l := range c.Lists {
				fmt.Fprintf(&b, "\tlist %s\n", l.Name)
				for _, line := range l.Lines {
					fmt.Fprintf(&b, "\t\tline %s\n", strconv.QuoteToASCII(line))
				}
			}
		}
	}
	return b.String()
}

// LoadRecording reads what came of a script.
func LoadRecording(dir, name string) (Recording, error) {
	b, err := os.ReadFile(filepath.Join(dir, name+".rec"))
	if err != nil {
		return nil, err
	}
	r, err := ParseRecording(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s.rec: %w", name, err)
	}
	return r, nil
}

// ParseRecording reads what Text wrote.
func ParseRecording(text string) (Recording, error) {
	var r Recording
	n := 0
	for s := range strings.SplitSeq(text, "\n") {
		n++
		if err := r.line(strings.TrimLeft(s, "\t")); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return r, nil
}

func (r *Recording) line(s string) error {
	w, err := words(s)
	if err != nil || len(w) == 0 || w[0] == "#" {
		return err
	}
	if w[0] == "step" {
		*r = append(*r, nil)
		return nil
	}
	if len(*r) == 0 {
		return fmt.Errorf("%q is in no step", w[0])
	}
	step := &(*r)[len(*r)-1]
	if w[0] == "call" && len(w) == 4 {
		*step = append(*step, Call{Status: w[1], Iteration: w[2], Dir: w[3]})
		return nil
	}
	if len(*step) == 0 || len(w) != 2 {
		return fmt.Errorf("%q is in no call, or has no value", w[0])
	}
	c := &(*step)[len(*step)-1]
	switch w[0] {
	case "arg":
		c.Argv = append(c.Argv, w[1])
	case "list":
		c.Lists = append(c.Lists, List{Name: w[1]})
	case "line":
		l := &c.Lists[len(c.Lists)-1]
		l.Lines = append(l.Lines, w[1])
	default:
		return fmt.Errorf("%q is not known", w[0])
	}
	return nil
}

// Sort puts what clsync orders by hash into an order: the lines of a list, the
// words of a call that name files of the tree, and, if the script says so, the
// calls of a step. Words that were dealt out over several calls are dealt out
// anew, to each as many as it had.
func (r Recording) Sort(s *Script) {
	names := s.names()
	isFile := func(word string) bool { return names[word] }
	unordered := s.Unordered
	for _, step := range r {
		var at []*string
		for i := range step {
			for j := range step[i].Lists {
				slices.Sort(step[i].Lists[j].Lines)
			}
			for j := range step[i].Argv[1:] {
				if word := &step[i].Argv[j+1]; !unordered && isFile(*word) {
					at = append(at, word)
				}
			}
		}
		words := make([]string, len(at))
		for i, word := range at {
			words[i] = *word
		}
		slices.Sort(words)
		for i, word := range at {
			*word = words[i]
		}
		if unordered {
			slices.SortStableFunc(step, func(a, b Call) int {
				return cmp.Compare(strings.Join(a.Argv, "\x00"), strings.Join(b.Argv, "\x00"))
			})
		}
	}
}

// names are the words that stand for entries.
func (s *Script) names() map[string]bool {
	known := map[string]bool{".": s.Mode == "direct"}
	for _, step := range s.Steps {
		for _, e := range step.Entries {
			known[e.Path] = true
			known[e.Word()] = true
			known["./"+e.Path] = true
			known[Watch+"/"+e.Path] = true
		}
	}
	return known
}
