package options

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/clsync/table"
	"lockstep/clsync/values"
	"lockstep/config"
	"lockstep/internal/escape"
)

// options makes the values of what is written.
func (in *input) options() (*Options, config.Problems) {
	r := newResolver(in)
	o := &Options{Given: map[string]config.Pos{}, ConfigFile: in.path, ConfigChain: in.chain, in: in}
	bad, places := map[string]bool{}, map[string]any{}
	tagged(reflect.ValueOf(o).Elem(), places)
	for _, opt := range in.all {
		g, isGiven := in.find(opt.Name)
		if isGiven {
			o.Given[opt.Name] = g.at
		} else {
			g.thing = opt.Name // what it is instead may hold the values of others
		}
		if isGiven && opt.Instead != "" {
			in.warn(g.at, g.thing, "is read for the sake of old files", opt.Instead)
		}
		place, ok := places[opt.Name]
		if !ok {
			continue
		}
		before := len(in.problems)
		text := r.text(opt.Name)
		if err := put(opt, text, place); err != nil && len(in.problems) == before {
			advice := ""
			var f values.Fault
			if errors.As(err, &f) {
				advice = f.Advice
			}
			in.fail(g.at, g.thing, err.Error(), advice)
		}
		bad[opt.Name] = r.failed[opt.Name] || len(in.problems) > before
		in.octal(opt, g, text)
	}
	if _, named := o.Given["config-block"]; !named && in.env.Block != "" {
		o.ConfigBlock = in.env.Block
	}
	o.Lenient = in.env.Lenient
	in.finish(o, r)
	in.check(o, bad)
	o.Warnings = once(in.warnings)
	return o, once(in.problems)
}

// tagged finds the places of options in a struct: fields that have a tag.
func tagged(v reflect.Value, places map[string]any) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch name, ok := field.Tag.Lookup("clsync"); {
		case ok:
			places[name] = v.Field(i).Addr().Interface()
		case field.Type == reflect.TypeFor[Cluster]():
			tagged(v.Field(i), places)
		}
	}
}

// once drops what is told again: a value may be made for more than one purpose.
func once(all config.Problems) config.Problems {
	var out config.Problems
	for _, p := range all {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// finish fills in what depends on the mode.
func (in *input) finish(o *Options, r *resolver) {
	o.OneFileSystem = o.OneFileSystem || o.ExcludeMountPoints
	if o.SecureSplitting {
		o.Splitting, o.CheckArguments, o.Seccomp, o.ForbidDevices = "process", true, true, true
	}
	words, again := defaults(o.Mode)
	o.Arguments = in.handlerWords(r, table.Arguments, words)
	if o.RecursiveSync {
		o.RecursiveArguments = in.handlerWords(r, table.Recursive, again)
	}
	g, _ := in.find(table.Arguments)
	o.OwnArguments = len(g.words) > 0
}

// handlerWords are those of a key, or where it has none, the mode's.
func (in *input) handlerWords(r *resolver, key string, instead []string) []string {
	g, _ := in.find(key)
	if len(g.words) > 0 {
		// A handler's words may well hold percent signs of other kinds.
		return r.words(g.words, g, in.warn)
	}
	// What the mode needs and is not there, check tells.
	return r.words(instead, g, func(config.Pos, string, string, string) {})
}

// octal warns of a number that reads as another one than it looks like.
func (in *input) octal(o table.Option, g given, text string) {
	if len(g.values) == 0 || !slices.Contains([]table.Type{table.Number, table.Seconds, table.Flag, table.Count}, o.Type) {
		return
	}
	text = strings.Trim(text, values.Blanks)
	looks := strings.TrimLeft(text, "+0")
	n, err := values.Number(text)
	if err == nil && looks != "" && looks[0] <= '9' && len(looks) < len(strings.TrimLeft(text, "+")) && strconv.FormatInt(n, 10) != looks {
		in.warn(g.at, g.thing, fmt.Sprintf("%s is octal, and means %d", escape.Name(text), n), "write it without the leading 0")
	}
}

// put reads a text into the place of an option's value.
func put(o table.Option, text string, place any) (err error) {
	switch p := place.(type) {
	case *string:
		*p, err = values.Word(o, text)
	case *Mode:
		var w string
		w, err = values.Word(o, text)
		*p = Mode(w)
	case *bool:
		var n int
		n, err = values.Natural(text)
		*p = n != 0
	case *int:
		*p, err = values.Natural(text)
	case *uint32:
		*p, err = values.Octal(text)
	case *time.Duration:
		*p, err = values.Seconds(text)
	case *[]string:
		*p, err = values.List(o, text)
	case *[]int:
		*p, err = values.Codes(text)
	case *map[int]string:
		*p, err = values.Signals(text)
	default:
		err = fmt.Errorf("%T is no place for a value", place)
	}
	return err
}
