package options

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"lockstep/clsync/cmdline"
	"lockstep/clsync/keyfile"
	"lockstep/clsync/table"
	"lockstep/clsync/words"
	"lockstep/config"
	"lockstep/internal/escape"
	"lockstep/internal/nearest"
)

// given is what one place says of an option.
type given struct {
	values []value // each time it is named; a file has one
	at     config.Pos
	thing  string   // as a person wrote it
	words  []string // of the keys that hold words
}

type value struct {
	text string
	has  bool
}

// layer is one place: the command line, or a block.
type layer struct {
	block string // "" for the command line
	says  map[string]given
}

// input is all that is written, before any value is made.
type input struct {
	env      Env
	all      []table.Option
	layers   []layer // the nearest first
	runtime  int     // how many of them custom signals brought
	path     string  // of the file, "" for none
	parsed   *keyfile.File
	chain    []string
	problems config.Problems
	warnings config.Problems
}

func newInput(env Env) *input {
	return &input{env: env, all: table.All()}
}

func (in *input) clone() *input {
	next := *in
	next.layers = slices.Clone(in.layers)
	next.problems, next.warnings = nil, nil
	return &next
}

func (in *input) fail(at config.Pos, thing, reason, advice string) {
	in.problems = append(in.problems, config.Problem{Pos: at, Thing: thing, Reason: reason, Advice: advice})
}

func (in *input) warn(at config.Pos, thing, reason, advice string) {
	in.warnings = append(in.warnings, config.Problem{Pos: at, Thing: thing, Reason: reason, Advice: advice})
}

// doubt is a fault, or where that is asked for a warning.
func (in *input) doubt(at config.Pos, thing, reason, advice string) {
	if in.env.Lenient {
		in.warn(at, thing, reason, advice)
		return
	}
	in.fail(at, thing, reason, advice)
}

func (in *input) commandLine(args []string) {
	line, faults := cmdline.Read(table.Specs(), args)
	for _, f := range faults {
		in.fail(config.Pos{}, escape.Name(f.Written), f.Reason, f.Advice)
	}
	says := map[string]given{}
	for _, item := range line.Items {
		g := says[item.Name]
		g.values = append(g.values, value{item.Value, item.Has})
		g.thing = "--" + item.Name
		says[item.Name] = g
	}
	if len(line.Stray) > 0 {
		in.warn(config.Pos{}, `"`+escape.Name(line.Stray[0])+`"`, "belongs to no option and is taken for an argument of the handler", "write such words after --; an optional value is joined: -b1, --background=1")
	}
	// One empty word is none, but in place of those of a file.
	if all := slices.Concat(line.Stray, line.Words); len(all) == 1 && all[0] == "" {
		says[table.Arguments] = given{thing: "the words after --"}
	} else if len(all) > 0 {
		says[table.Arguments] = given{thing: "the words after --", words: all}
	}
	in.layers = []layer{{says: says}}
	if _, ok := says["lenient"]; ok {
		in.env.Lenient = true
	}
}

// asked is what --help or --version ask for, or nil.
func (in *input) asked() *Options {
	_, help := in.layers[0].says["help"]
	_, version := in.layers[0].says["version"]
	if !help && !version {
		return nil
	}
	return &Options{Help: help, Version: version && !help}
}

// file finds the file and reads the block with those that it inherits.
func (in *input) file() {
	if _, named := in.layers[0].says["config-file"]; named {
		if path := in.early("config-file"); path != "" && path != NoFile {
			in.read(path, true)
		}
	} else {
		for _, path := range in.env.Search {
			if in.read(path, false) {
				break
			}
		}
	}
	if in.parsed == nil {
		return
	}
	block, named := in.block()
	first, chosen := "", false
	if g, ok := in.layers[0].says["config-block-inherits"]; ok {
		first, chosen = in.expanded(g), true
	}
	in.chain = in.follow(block, named, first, chosen, func(l layer) { in.layers = append(in.layers, l) })
}

func (in *input) block() (name string, named bool) {
	if _, named = in.layers[0].says["config-block"]; named {
		return in.early("config-block"), true
	}
	if in.env.Block != "" {
		return in.env.Block, false
	}
	return "default", false
}

// early makes the value of an option that says where others are: of what the
// places that are known so far say.
func (in *input) early(name string) string {
	r := newResolver(in)
	return r.text(name)
}

func (in *input) expanded(g given) string {
	if len(g.values) == 0 {
		return ""
	}
	r := newResolver(in)
	text, _ := r.expand(g.values[len(g.values)-1].text, g)
	return text
}

// read reads a file; of those that are looked for, one that is missing is none.
func (in *input) read(path string, named bool) bool {
	data, err := in.env.ReadFile(path)
	switch {
	case err != nil && !named && errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil && named:
		in.fail(config.Pos{}, "--config-file", escape.Name(path)+": "+bare(err), "name a file that can be read, or "+NoFile+" for none")
		return false
	case err != nil:
		in.doubt(config.Pos{}, escape.Name(path), bare(err), "make it readable, or name another file by --config-file")
		return false
	}
	file, faults := keyfile.Parse(data)
	for _, f := range faults {
		report := in.fail
		if !named {
			report = in.doubt // clsync goes on to the next file, and says nothing
		}
		report(config.Pos{File: path, Line: f.Line, Column: f.Column}, "", f.Reason, f.Advice)
	}
	if len(faults) > 0 && !named && in.env.Lenient {
		return false
	}
	in.path, in.parsed = path, file
	return true
}

func bare(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// follow reads a block, the one that it inherits, and so on. first is the
// parent of the block when chosen says that the command line names it.
func (in *input) follow(block string, named bool, first string, chosen bool, add func(layer)) []string {
	var chain []string
	at, thing := config.Pos{}, "--config-block"
	for block != "" {
		if slices.Contains(chain, block) {
			in.fail(at, thing, "blocks inherit each other in a circle: "+show(append(chain, block)), "take one of the lines config-block-inherits out")
			break
		}
		entries, ok := in.parsed.Group(block)
		if !ok {
			if named {
				in.warn(at, thing, fmt.Sprintf("there is no block [%s] in %s", escape.Name(block), escape.Name(in.path)), "write it"+nearest.Ask(nearest.Of(block, in.parsed.Groups())))
			}
			break
		}
		chain = append(chain, block)
		l := in.layer(block, entries)
		add(l)
		g, inherits := l.says["config-block-inherits"]
		switch {
		case chosen:
			block, chosen = first, false
			thing = "--config-block-inherits"
		case inherits:
			block, at, thing = in.expanded(g), g.at, g.thing
		default:
			return chain
		}
		named = true
	}
	return chain
}

func show(chain []string) string {
	var names []string
	for _, c := range chain {
		names = append(names, "["+escape.Name(c)+"]")
	}
	return strings.Join(names, " → ")
}

// layer makes a layer of a block, and tells of what it cannot be.
func (in *input) layer(block string, entries []keyfile.Entry) layer {
	l := layer{block: block, says: map[string]given{}}
	for _, e := range entries {
		at := config.Pos{File: in.path, Line: e.Line, Column: e.KeyColumn}
		name := e.Key
		if other, ok := table.Aliases()[name]; ok {
			name = other
		}
		if _, twice := l.says[name]; twice || len(e.Hidden) > 0 {
			in.warn(at, escape.Name(e.Key), "is set more than once in ["+escape.Name(block)+"]; this line counts", "take the others out")
		}
		o, ok := table.Lookup(name)
		switch {
		case !ok:
			in.doubt(at, escape.Name(e.Key), "unknown key", in.adviseKey(e.Key))
		case o.Place == table.CommandLine:
			in.doubt(at, name, "has no effect in a file", "write --"+name+" on the command line")
		case name == table.Arguments || name == table.Recursive:
			g := given{at: at, thing: name}
			list, err := words.Split(e.Value)
			if err != nil {
				in.fail(at, name, err.Error(), "close it, or put it in quotes of the other kind")
			}
			g.words = list
			l.says[name] = g
		default:
			l.says[name] = given{values: []value{{e.Value, true}}, at: at, thing: name}
		}
	}
	return l
}

func (in *input) adviseKey(key string) string {
	if advice, ok := table.Retired()[key]; ok {
		return advice
	}
	var names []string
	for _, o := range in.all {
		if o.Place != table.CommandLine {
			names = append(names, o.Name)
		}
	}
	return "take it out, or give --lenient to have it ignored" + nearest.Ask(nearest.Of(key, names))
}

// load puts a block, with those that it inherits, before all else.
func (in *input) load(block string) {
	if in.parsed == nil {
		in.fail(config.Pos{}, "custom-signals", "there is no file with a block ["+escape.Name(block)+"]", "name one by --config-file")
		return
	}
	if _, ok := in.parsed.Group(block); !ok {
		in.fail(config.Pos{File: in.path, Line: 1, Column: 1}, "custom-signals", "there is no block ["+escape.Name(block)+"]", "write it"+nearest.Ask(nearest.Of(block, in.parsed.Groups())))
		return
	}
	var fresh []layer
	old := in.layers
	chain := in.follow(block, true, "", false, func(l layer) {
		fresh = append(fresh, in.changeable(l))
		in.layers = slices.Concat(fresh, old)
	})
	// The same block again is not another layer: no chain of signals makes more.
	kept := slices.DeleteFunc(slices.Clone(old[:in.runtime]), func(l layer) bool { return slices.Contains(chain, l.block) })
	in.layers = slices.Concat(fresh, kept, old[in.runtime:])
	in.runtime = len(fresh) + len(kept)
}

// changeable is a layer without what is read once.
func (in *input) changeable(l layer) layer {
	says := maps.Clone(l.says)
	for _, o := range in.all {
		g, ok := says[o.Name]
		if !ok || !o.Start {
			continue
		}
		delete(says, o.Name)
		if o.Name != "config-block-inherits" && !slices.ContainsFunc(in.chain, func(b string) bool { return b == l.block }) {
			in.warn(g.at, g.thing, "is read at the start; a signal does not change it", "take it out of ["+escape.Name(l.block)+"]")
		}
	}
	return layer{l.block, says}
}

// find is what the nearest place says of an option.
func (in *input) find(name string) (given, bool) {
	for _, l := range in.layers {
		if g, ok := l.says[name]; ok {
			return g, true
		}
	}
	return given{}, false
}
