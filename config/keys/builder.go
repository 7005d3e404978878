package keys

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"lockstep/config"
)

// maxSyncs bounds a Set.
const maxSyncs = 1000

// entry is a value that was read without a fault.
type entry struct {
	key   Key
	value string
}

// section is what was put in one.
type section struct {
	scratch config.Config // the values alone, without defaults
	entries []entry
	seen    map[string]bool
	bad     map[string]bool
	guessed map[string]bool // what an unknown key was probably meant to be
	doubt   bool            // something in it could not be read
}

// Builder takes values as text, key by key, and gathers what is wrong.
type Builder struct {
	path     string // of the file; "": a command line
	files    []config.File
	sections map[config.Section]*section
	syncs    int
	places   config.Places
	problems config.Problems
}

// NewBuilder is for a command line: one sync.
func NewBuilder() *Builder {
	b := NewFileBuilder("")
	b.NewSync(config.Pos{})
	return b
}

// NewFileBuilder is for a file, and what belongs to it.
func NewFileBuilder(path string) *Builder {
	return &Builder{path: path, sections: map[config.Section]*section{}, places: config.Places{}}
}

// AddFile takes note of a file that was read.
func (b *Builder) AddFile(f config.File) { b.files = append(b.files, f) }

// NewSync begins a sync.
func (b *Builder) NewSync(at config.Pos) config.Section {
	s := config.Section(b.syncs)
	b.syncs++
	if b.syncs == maxSyncs+1 {
		b.Fail(at, "sync", fmt.Sprintf("more than %d syncs", maxSyncs), "divide them among several services")
	}
	b.places[config.Spot{In: s, Key: ""}] = at
	b.at(s)
	return s
}

// Syncs counts the syncs that were begun.
func (b *Builder) Syncs() int { return b.syncs }

func (b *Builder) at(s config.Section) *section {
	if b.sections[s] == nil {
		b.sections[s] = &section{seen: map[string]bool{}, bad: map[string]bool{}, guessed: map[string]bool{}}
	}
	return b.sections[s]
}

// Set reads the value of one key of a command line. What is wrong with it is
// told by Build.
func (b *Builder) Set(name, value string) {
	in := config.Section(0)
	if k, ok := Lookup(name); ok && k.Scope == ScopeService {
		in = config.InService
	} else if ok && k.Scope == ScopeRun {
		in = config.InRun
	}
	b.Put(in, name, value, config.Pos{})
}

// Put reads one value of a key: of a list, one of several. It says whether the
// value is good.
func (b *Builder) Put(in config.Section, name, value string, at config.Pos) bool {
	k, ok := Lookup(name)
	if !ok {
		b.Fail(at, name, "unknown key", "see lockstep mirror --help")
		return false
	}
	s := b.at(in)
	if s.seen[name] && !k.List {
		b.Fail(at, b.say(name), "given twice", "give it once")
		return false
	}
	b.Begin(in, name, at)
	err := k.field.Read(&s.scratch, value)
	if err == nil && b.path != "" {
		err = needsAbsolute(k, value)
	}
	if err != nil {
		s.bad[name] = true
		var told config.Problem
		if !errors.As(err, &told) {
			told = config.Problem{Reason: err.Error(), Advice: k.Advice}
		}
		b.Fail(at, b.say(name), told.Reason, told.Advice)
		return false
	}
	s.entries = append(s.entries, entry{k, value})
	return true
}

// Begin says where a key is written. A list may have no values: then it is the
// empty list, whatever the defaults say.
func (b *Builder) Begin(in config.Section, name string, at config.Pos) {
	if s := b.at(in); !s.seen[name] {
		s.seen[name], b.places[config.Spot{In: in, Key: name}] = true, at
	}
}

// needsAbsolute refuses a path that means another place when lockstep is
// started elsewhere.
func needsAbsolute(k Key, value string) error {
	if k.Name == "targets" {
		if t, err := config.ParseTarget(value); err != nil || t.Remote() {
			return err
		}
	}
	if (k.Name == "source" || k.Name == "targets") && value[0] != '/' {
		return config.Problem{Reason: fmt.Sprintf("%q is not an absolute path, and means another place when lockstep is started elsewhere", value),
			Advice: "write the whole path, from / on"}
	}
	return nil
}

// Spoil says that a key stands in a section and could not be read at all, which
// was told already.
func (b *Builder) Spoil(in config.Section, name string, at config.Pos) {
	b.Begin(in, name, at)
	b.at(in).bad[name] = true
}

// Guess says what an unknown key was probably meant to be, so that it is not
// missed as well.
func (b *Builder) Guess(in config.Section, name string) { b.at(in).guessed[name] = true }

// Doubt says that nothing is to be missed in a section.
func (b *Builder) Doubt(in config.Section) { b.at(in).doubt = true }

// Fail takes note of a problem.
func (b *Builder) Fail(at config.Pos, thing, reason, advice string) {
	b.problems = append(b.problems, config.Problem{Pos: at, Thing: thing, Reason: reason, Advice: advice})
}

// say is how a person wrote a key.
func (b *Builder) say(name string) string { return config.Say(b.path, name) }

// Build returns the configuration. With Problems it returns what could be read,
// which is good for nothing but for Resolve to find more that is wrong. It does
// not touch the file system: Resolve does.
func (b *Builder) Build() (config.Set, error) {
	all := b.base()
	b.apply(&all, config.InService)
	b.apply(&all, config.InRun)
	set := config.Set{Service: all.Service, Run: all.Run, Path: b.path, Files: b.files, Places: b.places}
	if b.path != "" && b.syncs == 0 && len(b.problems) == 0 {
		b.Fail(config.Pos{File: b.path, Line: 1, Column: 1}, "sync", "there is none", "add a table [[sync]] with source and targets")
	}
	for i := range b.syncs {
		set.Syncs = append(set.Syncs, b.sync(config.Section(i)))
	}
	b.names(&set)
	if set.AcceptRoot {
		set.Accept = []string{set.Syncs[0].Name}
		if set.DryRun {
			b.conflict(config.InRun, "accept_root", "is consent, and "+b.say("dry_run")+" changes nothing", "give one of them")
		}
	}
	set.AcceptRoot = false
	for _, one := range set.Syncs {
		if key, reason := set.Unpassed(one); key != "" {
			b.conflict(config.InRun, key, reason, config.AdviceUnpassed)
		}
	}
	p := slices.Clone(b.problems)
	if b.path != "" {
		p.Sort(b.files)
		p = slices.Compact(p) // what is wrong in the defaults is wrong in many syncs
	}
	return set, p.OrNil()
}

// base is the defaults of the table.
func (b *Builder) base() config.Config {
	var c config.Config
	for _, k := range Table() {
		if k.Default == "" {
			continue
		}
		if err := k.field.Read(&c, k.Default); err != nil {
			// The table itself is wrong; a test reads every default.
			b.Fail(config.Pos{}, k.Name, "bad default: "+err.Error(), "report this as a bug")
		}
	}
	return c
}

// apply adds what is in a section, but for the keys in except.
func (b *Builder) apply(c *config.Config, in config.Section, except ...map[string]bool) {
	for _, e := range b.at(in).entries {
		if len(except) > 0 && except[0][e.key.Name] {
			continue
		}
		if err := e.key.field.Read(c, e.value); err != nil {
			b.Fail(b.where(in, e.key.Name), b.say(e.key.Name), err.Error(), e.key.Advice)
		}
	}
}

// sync puts one together.
func (b *Builder) sync(in config.Section) config.Sync {
	c := b.base()
	b.apply(&c, config.InDefaults, b.at(in).seen)
	b.apply(&c, in)
	s := c.Sync
	own := b.at(in).seen
	if !s.Has(config.SSHTarget) && !own["ssh.identity"] && !own["ssh.known_hosts"] && !own["ssh.port"] {
		s.SSH = config.SSH{Port: config.SSHPort} // defaults are for those who can use them
	}
	if !s.Has(config.Daemon) && !own["password_file"] {
		s.PasswordFile = ""
	}
	if !s.Has(config.Daemon) && !s.Has(config.SSHTarget) && !own["run_as"] {
		s.RunAs = ""
	}
	if s.Handled() && !own["targets"] && !b.at(in).guessed["targets"] {
		s.Targets = []config.Target{{Kind: config.None}}
	}
	s = s.WithoutRsync(b.base().Sync)
	for i := range s.Targets {
		if s.Targets[i].Kind == config.SSHTarget {
			s.Targets[i].Port = s.SSH.Port
		}
	}
	b.conflicts(in, s)
	return s
}

// names gives each sync a name of its own.
func (b *Builder) names(set *config.Set) {
	first := map[string]config.Section{}
	for i := range set.Syncs {
		s, in := &set.Syncs[i], config.Section(i)
		if s.Name == "" {
			s.Name = nameOf(s.Source)
		}
		if b.at(in).bad["name"] || s.Source == "" && !b.at(in).seen["name"] {
			continue
		}
		other, taken := first[s.Name]
		if !taken {
			first[s.Name] = in
			continue
		}
		b.conflict(in, "name", fmt.Sprintf("%q is the name of another sync too (%v)", s.Name, b.where(other, "name")),
			`give this one a name of its own: name = "…"`)
	}
}

// nameOf makes a name of the last component of a path.
func nameOf(source string) string {
	if abs, err := filepath.Abs(source); err == nil {
		source = abs
	}
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && config.Only(string(r), "._-") {
			return r
		}
		return '_'
	}, filepath.Base(source))
	name = strings.TrimLeft(name, "._-")
	if name == "" {
		return "sync"
	}
	return name[:min(len(name), config.MaxName)]
}

// where a key of a section is written: there, in the defaults, or not at all;
// then it is where the section begins.
func (b *Builder) where(in config.Section, name string) config.Pos { return b.places.Find(in, name) }
