package options

import (
	"slices"
	"strconv"
	"strings"

	"lockstep/clsync/macro"
	"lockstep/clsync/table"
	"lockstep/clsync/values"
	"lockstep/config"
	"lockstep/internal/escape"
	"lockstep/internal/nearest"
)

// maxText is the longest value: names in names could make it grow without end.
const maxText = 128 << 10

// resolver makes texts of what is written: with the values of other options in
// place of their names, whatever the order in which they stand.
type resolver struct {
	in     *input
	done   map[string]string
	failed map[string]bool // told, and without a value
	stack  []string        // the options that are being made, the outermost first
}

func newResolver(in *input) *resolver {
	return &resolver{in: in, done: map[string]string{}, failed: map[string]bool{}}
}

// text is the value of an option as other values see it, "" for none.
func (r *resolver) text(name string) string {
	if text, ok := r.done[name]; ok || slices.Contains(r.stack, name) {
		return text
	}
	o, _ := table.Lookup(name)
	g, _ := r.in.find(name)
	r.stack = append(r.stack, name)
	text := r.make(o, g)
	r.stack = r.stack[:len(r.stack)-1]
	r.done[name] = text
	return text
}

func (r *resolver) make(o table.Option, g given) string {
	switch {
	case len(g.values) == 0:
		g.values, g.thing = []value{{r.instead(o), true}}, o.Name
	case o.Type == table.Flag || o.Type == table.Count:
		return r.count(o, g)
	}
	// Of most, the last one counts; the others add up.
	if !slices.Contains([]table.Type{table.Paths, table.Codes, table.Signals}, o.Type) {
		g.values = g.values[len(g.values)-1:]
	}
	var all []string
	for _, v := range g.values {
		text, ok := r.expand(v.text, g)
		if !ok {
			r.failed[o.Name] = true
			return ""
		}
		all = append(all, r.place(o, g, text))
	}
	return strings.Join(all, ",")
}

// count adds up what a flag is given: without a value one more, else that.
func (r *resolver) count(o table.Option, g given) string {
	text := o.Default
	for _, v := range g.values {
		if v.has {
			text, _ = r.expand(v.text, g)
			continue
		}
		n, err := values.Number(text)
		if err != nil {
			return text // to be told when it is read
		}
		text = strconv.FormatInt(n+1, 10)
	}
	return text
}

// expand puts values in place of names. What is wrong is told; then ok is false.
func (r *resolver) expand(text string, g given) (out string, ok bool) {
	var b strings.Builder
	ok = true
	for _, p := range macro.Cut(text) {
		if p.Name == "" {
			b.WriteString(p.Text)
			continue
		}
		value, good := r.name(p.Name, g, r.in.doubt)
		ok = ok && good
		b.WriteString(value)
		if b.Len() > maxText {
			r.in.fail(g.at, g.thing, "the value is longer than "+strconv.Itoa(maxText)+" bytes", "use fewer names in names")
			return "", false
		}
	}
	return b.String(), ok
}

// teller says what is wrong: where, of what, why, and what to do.
type teller func(at config.Pos, thing, reason, advice string)

// name is what a name stands for. What stands for nothing is told, and stays.
func (r *resolver) name(name string, g given, tell teller) (string, bool) {
	whole := "%" + name + "%"
	o, known := table.Lookup(name)
	switch {
	case name == macro.PID:
		return strconv.Itoa(r.in.env.PID), true
	case slices.Contains(macro.RunTime(), name):
		tell(g.at, g.thing, whole+" has a value only when the handler is called", "use it among the arguments of the handler")
		return whole, r.in.env.Lenient
	case !known || o.Place == table.InFile:
		tell(g.at, g.thing, whole+" is no option", "write %%"+name+"%% to mean just that"+nearest.Ask(nearest.Of(name, names(r.in.all))))
		return whole, r.in.env.Lenient
	case slices.Contains(r.stack, name):
		r.in.fail(g.at, g.thing, "the values name each other in a circle: "+circle(append(r.stack, name)), "write one of them out")
		return "", false
	}
	if text := r.text(name); text != "" {
		return text, true
	}
	if g, ok := r.in.find(name); ok && len(g.values) > 0 {
		return "", true // given as empty, or told already
	}
	tell(g.at, g.thing, whole+" names an option that has no value", "give --"+name)
	return whole, r.in.env.Lenient
}

func circle(stack []string) string {
	first := slices.Index(stack, stack[len(stack)-1])
	return "%" + strings.Join(stack[first:], "% → %") + "%"
}

func names(all []table.Option) []string {
	var out []string
	for _, o := range all {
		if o.Place != table.InFile {
			out = append(out, o.Name)
		}
	}
	return append(out, macro.RunTime()...)
}

// place makes paths absolute.
func (r *resolver) place(o table.Option, g given, text string) string {
	switch o.Type {
	case table.Path:
		if text == "" || o.Name == "config-file" && text == NoFile {
			return text
		}
		text = values.Absolute(r.in.env.Dir, text)
		if o.Name == "watch-dir" {
			text = r.real(g, text)
		}
	case table.Target:
		if text == "" || values.Remote(text) {
			return text
		}
		return r.real(g, values.Absolute(r.in.env.Dir, text))
	case table.Program:
		// A bare word is a program of PATH; a module is no program.
		if text == "" {
			return r.instead(o)
		}
		if strings.Contains(text, "/") || Mode(r.text("mode")).Module() {
			return values.Absolute(r.in.env.Dir, text)
		}
	case table.Paths:
		list := strings.Split(text, ",")
		for i, one := range list {
			if one != "" {
				list[i] = values.Absolute(r.in.env.Dir, one)
			}
		}
		return strings.Join(list, ",")
	}
	return text
}

func (r *resolver) real(g given, text string) string {
	if r.in.env.RealPath == nil || len(g.values) == 0 {
		return text
	}
	found, err := r.in.env.RealPath(text)
	if err != nil {
		advice := "name a directory that there is"
		if strings.Contains(text, ":") {
			advice += "; one of another host is USER@HOST:DIR"
		}
		r.in.fail(g.at, g.thing, escape.Name(text)+": "+bare(err), advice)
		return text
	}
	return found
}

// instead is the value of an option that is not given.
func (r *resolver) instead(o table.Option) string {
	if o.Name == "sync-handler" {
		return map[string]string{"direct": "cp", "rsyncdirect": "rsync"}[r.text("mode")]
	}
	return o.Default
}

// words expands the words of a handler's command line. What only the run knows
// stays, what stands for itself is quoted for macro.Cut.
func (r *resolver) words(list []string, g given, tell teller) []string {
	var out []string
	for _, word := range list {
		var b strings.Builder
		for _, p := range macro.Cut(word) {
			switch {
			case p.Name == "":
				b.WriteString(macro.Quote(p.Text))
			case slices.Contains(macro.RunTime(), p.Name):
				b.WriteString("%" + p.Name + "%")
			default:
				value, _ := r.name(p.Name, g, tell)
				b.WriteString(macro.Quote(value))
			}
		}
		out = append(out, b.String())
	}
	return out
}

// defaults are the words that a mode's handler gets when none are given, and
// those of a recursive call. "" in place of a word: there are none.
func defaults(m Mode) (words, recursive []string) {
	switch m {
	case Simple:
		words = []string{"sync", "%label%", "%EVENT-MASK%", "%INCLUDE-LIST%"}
	case Direct:
		words = []string{"%INCLUDE-LIST%", "%destination-dir%/"}
		recursive = words
	case Shell:
		words = []string{"synclist", "%label%", "%INCLUDE-LIST-PATH%"}
		recursive = []string{"initialsync", "%label%", "%INCLUDE-LIST%"}
	case RsyncShell:
		words = []string{"rsynclist", "%label%", "%INCLUDE-LIST-PATH%", "%EXCLUDE-LIST-PATH%"}
	case RsyncDirect:
		words = []string{"%RSYNC-ARGS%", "%watch-dir%/", "%destination-dir%/"}
	}
	return words, recursive
}
