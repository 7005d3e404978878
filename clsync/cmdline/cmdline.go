// Package cmdline reads a command line by the rules of getopt_long(3) of the GNU
// C library.
//
// Trust: pure; it reads what whoever starts the program wrote.
// Imports: the standard library and the names that may have been meant.
//
// Invariants: no word is dropped in silence: it is an option, the value of one,
// a word, or a fault. Reading goes on after a fault.
package cmdline

import (
	"slices"
	"strings"

	"lockstep/internal/nearest"
)

// Arg says whether an option takes a value.
type Arg uint8

// The forms. A value that is optional is joined: -b1, --background=1.
const (
	None Arg = iota
	Optional
	Required
)

// Spec is an option.
type Spec struct {
	Name  string
	Short byte // 0 for none
	Arg   Arg
}

// Item is an option that is given.
type Item struct {
	Name    string // in full
	Written string // as it stands there, without its value
	Value   string
	Has     bool // there is a value
}

// Line is a command line that was read.
type Line struct {
	Items []Item
	Stray []string // words before "--" that belong to no option
	Words []string // what stands after "--"
	Ended bool     // there was a "--"
}

// Fault is a word that is not understood.
type Fault struct{ Written, Reason, Advice string }

// Read reads the words of a command line, without the program's name.
func Read(specs []Spec, args []string) (Line, []Fault) {
	r := reader{specs: specs, args: args}
	for len(r.args) > 0 {
		word := r.next()
		switch {
		case word == "--":
			r.line.Words, r.line.Ended, r.args = slices.Clone(r.args), true, nil
		case strings.HasPrefix(word, "--"):
			r.long(word)
		case strings.HasPrefix(word, "-") && word != "-":
			r.cluster(word)
		default:
			r.line.Stray = append(r.line.Stray, word)
		}
	}
	return r.line, r.faults
}

type reader struct {
	specs  []Spec
	args   []string
	line   Line
	faults []Fault
}

func (r *reader) next() string {
	word := r.args[0]
	r.args = r.args[1:]
	return word
}

func (r *reader) fail(written, reason, advice string) {
	r.faults = append(r.faults, Fault{written, reason, advice})
}

func (r *reader) long(word string) {
	written, value, has := strings.Cut(word, "=")
	spec, ok := r.find(written)
	switch {
	case !ok:
		return
	case spec.Arg == None && has:
		r.fail(written, "takes no value", "write "+written+" alone")
		return
	case spec.Arg == Required && !has:
		if len(r.args) == 0 {
			r.fail(written, "needs a value", "write "+written+"=VALUE")
			return
		}
		value, has = r.next(), true
	}
	r.line.Items = append(r.line.Items, Item{spec.Name, written, value, has})
}

// find looks up a name that may be shortened.
func (r *reader) find(written string) (Spec, bool) {
	name := written[2:]
	var like []Spec
	for _, s := range r.specs {
		if s.Name == name {
			return s, true
		}
		if strings.HasPrefix(s.Name, name) {
			like = append(like, s)
		}
	}
	switch {
	case len(like) == 1 && name != "":
		return like[0], true
	case len(like) > 1 && name != "":
		r.fail(written, "may mean "+list(like), "write more of the name")
	default:
		r.fail(written, "unknown option", "see --help"+r.meant(name))
	}
	return Spec{}, false
}

func list(specs []Spec) string {
	const shown = 6
	var names []string
	for _, s := range specs[:min(shown, len(specs))] {
		names = append(names, "--"+s.Name)
	}
	if len(specs) > shown {
		names = append(names, "others")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func (r *reader) meant(name string) string {
	var names []string
	for _, s := range r.specs {
		names = append(names, s.Name)
	}
	if near := nearest.Of(name, names); near != "" {
		return nearest.Ask("--" + near)
	}
	return ""
}

// cluster reads -abc, -b1 and -W DIR.
func (r *reader) cluster(word string) {
	for i := 1; i < len(word); i++ {
		written, rest := "-"+word[i:i+1], word[i+1:]
		at := slices.IndexFunc(r.specs, func(s Spec) bool { return s.Short != 0 && s.Short == word[i] })
		if at < 0 {
			r.fail(written, "unknown option", "see --help")
			continue
		}
		item := Item{Name: r.specs[at].Name, Written: written}
		arg := r.specs[at].Arg
		switch {
		case arg != None && rest != "":
			item.Value, item.Has, i = rest, true, len(word)
		case arg == Required && len(r.args) == 0:
			r.fail(written, "needs a value", "write "+written+" VALUE")
			return
		case arg == Required:
			item.Value, item.Has = r.next(), true
		}
		r.line.Items = append(r.line.Items, item)
	}
}
