package sidebyside

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Side is one of the two programs in one mode.
type Side struct {
	Mode  string
	Watch string   // the source
	Dest  string   // the target
	More  []string // words that are given to the handler after its usual ones, as they arrive
}

// label is that of both.
const label = "lab"

// Entry is what is told of one path.
type Entry struct {
	Mask     uint32
	Old, New int // mode so
}

// Facts are what calls have in common with others that say the same.
type Facts struct {
	Status     map[string]bool
	Iterations []uint64
	Paths      map[string]Entry // by the name that is told
	Include    map[string]bool  // lines; of rsync's modes
	Exclude    map[string]bool
	Excludes   []Excluded // the exclude list of each call
	Parts      [][]string // the names of each call, in their order
}

// Excluded is the exclude list of a call, and the round that it belongs to.
type Excluded struct {
	Round uint64
	List  string
}

// divided says that calls of one round have exclude lists that differ.
func (f Facts) divided() bool {
	of := map[uint64]string{}
	for _, e := range f.Excludes {
		if list, ok := of[e.Round]; ok && list != e.List {
			return true
		}
		of[e.Round] = e.List
	}
	return false
}

// Facts are those of calls. An error is a word that has no business there.
func (s Side) Facts(calls []Call) (Facts, error) {
	f := Facts{Status: map[string]bool{}, Paths: map[string]Entry{}, Include: map[string]bool{}, Exclude: map[string]bool{}}
	for _, c := range calls {
		if err := s.add(&f, c); err != nil {
			return f, fmt.Errorf("%w in %q", err, c)
		}
	}
	return f, nil
}

func (s Side) add(f *Facts, c Call) error {
	if c.Dir != s.Watch {
		return fmt.Errorf("the working directory is %q", c.Dir)
	}
	slices.Sort(c.Env)
	if len(c.Env) != 2 {
		return fmt.Errorf("%d variables", len(c.Env))
	}
	iteration, ok := strings.CutPrefix(c.Env[0], "CLSYNC_ITERATION=")
	n, err := strconv.ParseUint(iteration, 10, 64)
	status, also := strings.CutPrefix(c.Env[1], "CLSYNC_STATUS=")
	if !ok || !also || err != nil {
		return fmt.Errorf("other variables: %v", err)
	}
	f.Status[status] = true
	if k := len(f.Iterations); k == 0 || f.Iterations[k-1] != n {
		f.Iterations = append(f.Iterations, n)
	}
	f.Parts = append(f.Parts, nil)
	return s.words(f, c.Words)
}

// words takes each word of a call.
func (s Side) words(f *Facts, w []Word) error {
	switch s.Mode {
	case "simple":
		if len(w) != 4 || w[0] != (Word{Plain, "sync"}) || w[1] != (Word{Plain, label}) || w[3].Kind != Plain {
			return fmt.Errorf("other words than of mode %s", s.Mode)
		}
		name, ok := strings.CutPrefix(w[3].Text, s.Watch)
		if name != "" && !strings.HasPrefix(name, "/") || !ok {
			return fmt.Errorf("%q is not in the source", w[3].Text)
		}
		return f.told(strings.TrimPrefix(name, "/"), w[2].Text, 0, 0)
	case "direct":
		last := len(w) - 1
		if last < 1 || w[last] != (Word{Plain, s.Dest + "/"}) {
			return fmt.Errorf("other words than of mode %s", s.Mode)
		}
		for _, one := range w[:last] {
			if err := f.told(one.Text, "0", 0, 0); err != nil || one.Kind != Plain {
				return fmt.Errorf("kind %q: %v", one.Kind, err)
			}
		}
		return nil
	case "shell":
		return s.lines(f, w)
	case "rsyncshell", "rsyncso":
		if s.Mode == "rsyncshell" {
			if len(w) < 2 || w[0] != (Word{Plain, "rsynclist"}) || w[1] != (Word{Plain, label}) {
				return fmt.Errorf("other words than of mode %s", s.Mode)
			}
			w = w[2:]
		}
		if len(w) != 2 || w[0].Kind != List || w[1].Kind != List {
			return fmt.Errorf("other lists than of mode %s", s.Mode)
		}
		return f.lists(w[0].Text, w[1].Text)
	case "so":
		return s.events(f, w)
	}
	return fmt.Errorf("there is no mode %q", s.Mode)
}

// lines are those of mode shell.
func (s Side) lines(f *Facts, w []Word) error {
	want := []Word{{Plain, "synclist"}, {Plain, label}, {}}
	for _, more := range s.More {
		want = append(want, Word{Plain, more})
	}
	if len(w) != len(want) || w[2].Kind != List {
		return fmt.Errorf("other words than of mode %s", s.Mode)
	}
	want[2] = w[2]
	if !slices.Equal(w, want) {
		return fmt.Errorf("not the words %q", want)
	}
	for line := range strings.Lines(w[2].Text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(parts) != 4 || parts[0] != "sync" || parts[1] != label || !strings.HasSuffix(line, "\n") {
			return fmt.Errorf("%q is no line of mode %s", line, s.Mode)
		}
		if err := f.told(parts[3], parts[2], 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// events are those of mode so.
func (s Side) events(f *Facts, w []Word) error {
	if len(w) == 0 || len(w)%2 != 0 {
		return fmt.Errorf("no events")
	}
	for i := 0; i < len(w); i += 2 {
		var flags uint32
		var mask string
		var was, is int
		if n, err := fmt.Sscan(w[i].Text, &mask, &flags, &was, &is); n != 4 || err != nil || w[i].Kind != Event || w[i+1].Kind != Path {
			return fmt.Errorf("%q is no event: %v", w[i].Text, err)
		}
		if flags != 0 {
			return fmt.Errorf("%q has flags", w[i].Text)
		}
		if err := f.told(w[i+1].Text, mask, was, is); err != nil {
			return err
		}
	}
	return nil
}

func (f *Facts) told(name, mask string, was, is int) error {
	m, err := strconv.ParseUint(mask, 10, 32)
	if err != nil || strconv.FormatUint(m, 10) != mask {
		return fmt.Errorf("%q are no marks: %v", mask, err)
	}
	e := f.Paths[name]
	f.Paths[name] = Entry{Mask: e.Mask | uint32(m), Old: was, New: is}
	last := len(f.Parts) - 1
	f.Parts[last] = append(f.Parts[last], name)
	return nil
}

func (f *Facts) lists(include, exclude string) error {
	for _, l := range []struct {
		content string
		into    map[string]bool
	}{{include, f.Include}, {exclude, f.Exclude}} {
		for line := range strings.Lines(l.content) {
			text, ok := strings.CutSuffix(line, "\n")
			if !ok {
				return fmt.Errorf("%q is no whole line", line)
			}
			l.into[text] = true
		}
	}
	f.Excludes = append(f.Excludes, Excluded{f.Iterations[len(f.Iterations)-1], exclude})
	return nil
}

// Differ tells in what two sides differ that should say the same; of numbers of
// rounds, and of which call has what, it says nothing.
func Differ(want, got Facts) []string {
	var out []string
	if !maps.Equal(want.Status, got.Status) {
		out = append(out, fmt.Sprintf("CLSYNC_STATUS is %v, want %v", keys(got.Status), keys(want.Status)))
	}
	for _, name := range slices.Sorted(maps.Keys(want.Paths)) {
		if e, ok := got.Paths[name]; !ok {
			out = append(out, fmt.Sprintf("%q is not told, want %+v", name, want.Paths[name]))
		} else if e != want.Paths[name] {
			out = append(out, fmt.Sprintf("%q is told as %+v, want %+v", name, e, want.Paths[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got.Paths)) {
		if _, ok := want.Paths[name]; !ok {
			out = append(out, fmt.Sprintf("%q is told, as %+v", name, got.Paths[name]))
		}
	}
	out = append(out, lines("include", want.Include, got.Include)...)
	return append(out, lines("exclude", want.Exclude, got.Exclude)...)
}

func lines(list string, want, got map[string]bool) []string {
	var out []string
	for _, l := range keys(want) {
		if !got[l] {
			out = append(out, fmt.Sprintf("the %s list lacks %q", list, l))
		}
	}
	for _, l := range keys(got) {
		if !want[l] {
			out = append(out, fmt.Sprintf("the %s list has %q", list, l))
		}
	}
	return out
}

func keys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
