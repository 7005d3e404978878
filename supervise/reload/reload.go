// Package reload compares the configuration of a service that runs with one that is
// to take its place: what stays as it is, what changes, begins and ends, and what
// cannot change without a restart.
//
// Trust: linked into the supervisor; pure. Both configurations were checked.
//
// Invariants: a sync of which nothing has changed is not touched; whatever has no
// place in the two lists below (a key that is new to the table) needs a restart; a
// sync begins when all that it could have in common with one that ends was given
// back.
package reload

import (
	"path"
	"reflect"
	"slices"
	"strings"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/internal/escape"
)

// Source is where a configuration comes from.
type Source struct {
	// Read reads it anew, with blocks that signals have loaded, the last one on top,
	// and tells what is done otherwise than it says. nil: there is nothing to read.
	Read func(blocks []string) (config.Set, config.Problems, error)
	// Signals are the blocks that signals load, by the signals' numbers.
	Signals map[int]string
}

// Load is the blocks that are loaded, with one more on top.
func Load(loaded []string, block string) []string {
	return append(slices.DeleteFunc(slices.Clone(loaded), func(b string) bool { return b == block }), block)
}

// Leave is what a session is sent (as a signal) when it shall end while the service
// goes on; its text says why.
type Leave string

func (l Leave) String() string { return string(l) }

// Signal makes it an os.Signal.
func (Leave) Signal() {}

// Why a session leaves.
const (
	Changed Leave = "its configuration has changed"
	Removed Leave = "it is no longer in the configuration"
)

// Plan is the names of syncs, by what becomes of them.
type Plan struct {
	Same    []string // go on untouched
	Changed []string // end, and begin with what is new
	Begin   []string
	End     []string
}

// Idle says that nothing is to be done.
func (p Plan) Idle() bool { return len(p.Changed)+len(p.Begin)+len(p.End) == 0 }

// Compare says what becomes of the syncs of old when next takes its place, both
// resolved. What cannot change while the service runs comes as Problems, and then
// nothing does.
func Compare(old, next config.Set) (Plan, config.Problems) {
	if problems := Fixed(old, next); len(problems) > 0 {
		return Plan{}, problems
	}
	all := !same(old, next, inSyncs())
	var p Plan
	for _, s := range next.Syncs {
		last, ok := find(old, s.Name)
		switch {
		case !ok:
			p.Begin = append(p.Begin, s.Name)
		case all || !Equal(last, s):
			p.Changed = append(p.Changed, s.Name)
		default:
			p.Same = append(p.Same, s.Name)
		}
	}
	for _, s := range old.Syncs {
		if _, ok := find(next, s.Name); !ok {
			p.End = append(p.End, s.Name)
		}
	}
	return p, nil
}

// inSyncs are the keys of the service that each sync alone makes use of: with them
// all syncs change.
func inSyncs() []string { return []string{"stop_timeout", "monitor_rules"} }

// fixed are all other keys of the service, and those of one run.
func fixed() []string {
	var out []string
	for _, k := range keys.Table() {
		if k.Scope != keys.ScopeSync && k.Name != "accept_root" && !slices.Contains(inSyncs(), k.Name) {
			out = append(out, k.Name)
		}
	}
	return out
}

// Fixed tells what differs between two configurations and cannot change while the
// service runs.
func Fixed(old, next config.Set) config.Problems {
	var problems config.Problems
	for _, name := range fixed() {
		if same(old, next, []string{name}) {
			continue
		}
		in := config.InService
		if k, ok := keys.Lookup(name); ok && k.Scope == keys.ScopeRun {
			in = config.InRun
		}
		at := next.Places.Find(in, name)
		if at == (config.Pos{}) && next.Path != "" { // it stood there, and does no longer
			at = config.Pos{File: next.Path, Line: 1, Column: 1}
		}
		problems = append(problems, config.Problem{
			Pos: at, Thing: config.Say(next.Path, name),
			Reason: "cannot change while lockstep runs: it is " + show(old, name) + ", and would be " + show(next, name),
			Advice: "put it back, or restart lockstep",
		})
	}
	return problems
}

// values are what a set says of a key of its service or its run.
func values(s config.Set, name string) []string {
	k, ok := keys.Lookup(name)
	if !ok {
		return nil
	}
	return k.Values(config.Config{Service: s.Service, Run: s.Run})
}

func same(old, next config.Set, names []string) bool {
	for _, name := range names {
		if !slices.Equal(values(old, name), values(next, name)) {
			return false
		}
	}
	return true
}

// show is the value of a key in a message.
func show(s config.Set, name string) string {
	text := strings.Join(values(s, name), ", ")
	if text == "" {
		return "not given"
	}
	return escape.Name(text)
}

func find(s config.Set, name string) (config.Sync, bool) {
	i := slices.IndexFunc(s.Syncs, func(one config.Sync) bool { return one.Name == name })
	if i < 0 {
		return config.Sync{}, false
	}
	return s.Syncs[i], true
}

// Equal says that two syncs are told the same. That a target was missing when it was
// looked for is nothing that they are told.
func Equal(a, b config.Sync) bool { return reflect.DeepEqual(plain(a), plain(b)) }

func plain(s config.Sync) config.Sync {
	s.Targets = slices.Clone(s.Targets)
	for i := range s.Targets {
		s.Targets[i].Missing = false
	}
	return s
}

// After says that a sync may begin only when another one, which ends, has given back
// all that it took: they have a name or a file in common, or one of them writes where
// the other one reads or writes. overlap says that two directories of this host are
// one, or that one is inside the other.
func After(next, last config.Sync, overlap func(a, b string) bool) bool {
	if next.Name == last.Name || next.StatusFile != "" && next.StatusFile == last.StatusFile {
		return true
	}
	for _, t := range next.Targets {
		if t.Kind == config.Local && overlap(t.Path, last.Source) {
			return true
		}
	}
	for _, o := range last.Targets {
		if o.Kind == config.Local && overlap(next.Source, o.Path) {
			return true
		}
		if slices.ContainsFunc(next.Targets, func(t config.Target) bool { return both(t, o, overlap) }) {
			return true
		}
	}
	mine, theirs := places(next), places(last)
	return slices.ContainsFunc(next.Writes, func(w string) bool { return meets(w, theirs, overlap) }) ||
		slices.ContainsFunc(last.Writes, func(w string) bool { return meets(w, mine, overlap) })
}

// places are all directories of this host that a sync reads or writes to.
func places(s config.Sync) []string {
	all := append([]string{s.Source}, s.Writes...)
	for _, t := range s.Targets {
		if t.Kind == config.Local {
			all = append(all, t.Path)
		}
	}
	return all
}

func meets(path string, places []string, overlap func(a, b string) bool) bool {
	return slices.ContainsFunc(places, func(p string) bool { return overlap(path, p) })
}

// both says that two targets may be one, or one inside the other. What has another
// user, another port or a path of a login directory may well be.
func both(a, b config.Target, overlap func(a, b string) bool) bool {
	switch {
	case a.Kind == config.Local && b.Kind == config.Local:
		return overlap(a.Path, b.Path)
	case a.Kind == config.Local || b.Kind == config.Local || a.Host != b.Host:
		return false
	case a.Kind != b.Kind:
		return true
	}
	x, y := path.Clean(a.Path), path.Clean(b.Path)
	return !path.IsAbs(x) && a.Kind == config.SSHTarget || !path.IsAbs(y) && b.Kind == config.SSHTarget ||
		x == y || strings.HasPrefix(x, strings.TrimSuffix(y, "/")+"/") || strings.HasPrefix(y, strings.TrimSuffix(x, "/")+"/")
}
