package handler

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// List is a file that is to be there during a run.
type List struct {
	Name    ListName
	Content []byte
}

// Run is one call.
type Run struct {
	Argv    []Word // without words: a function is called
	Lists   []List
	Env     []string
	Entries []Entry  // what it is for, sorted by path; in mode simple one event
	Names   []string // mode so: how the function is told of each entry's path
}

// Result is the calls for a batch, in order, and what they do not have.
type Result struct {
	Runs []Run
	Left []Left
}

// making is the making of one batch's runs.
type making struct {
	*Maker
	left     []Left
	env      []string
	excludes []byte
	run      func(Run) error
	err      error // the first of run
}

// Make makes the calls for a batch.
func (m *Maker) Make(b Batch) (Result, error) {
	var r Result
	left, err := m.Each(b, func(one Run) error {
		r.Runs = append(r.Runs, one)
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	r.Left = left
	return r, nil
}

// Each makes the calls for a batch one after the other, so that the lists of one
// alone are there at a time, until run has an error. It returns what none has.
func (m *Maker) Each(b Batch, run func(Run) error) ([]Left, error) {
	if err := m.check(b); err != nil {
		return nil, err
	}
	k := &making{run: run, Maker: m, env: []string{
		"CLSYNC_STATUS=" + b.Status, "CLSYNC_ITERATION=" + strconv.FormatUint(b.Iteration, 10)}}
	if m.opt.Mode == Simple {
		for _, e := range b.Entries {
			k.one(m.list, "sync", e)
		}
		return k.left, k.err
	}
	entries := merge(b.Entries)
	switch {
	case m.opt.Mode == SO:
		k.function(entries)
	case m.opt.Mode.function(), m.opt.Mode.rsync() && has(m.list, slotInclude, slotExclude):
		if m.opt.excludes() {
			k.excludes, k.left = excludes(b.Rejected, b.Below)
			k.excludes = append(m.rules(), k.excludes...)
		}
		k.rsync(entries)
	default:
		k.plain(entries)
	}
	return k.left, k.err
}

// rules are the lines of the exclude list that are always there.
func (m *Maker) rules() []byte {
	content := []byte{}
	for _, rule := range m.opt.Excludes {
		content = append(append(content, rule...), '\n')
	}
	return content
}

// check refuses a batch that could not be handed over safely.
func (m *Maker) check(b Batch) error {
	for _, rel := range slices.Concat(b.Rejected, b.Below) {
		if strings.ContainsRune(rel, 0) {
			return errors.New("a rejected path has a NUL")
		}
	}
	rejects := len(b.Rejected)+len(b.Below) > 0
	for _, e := range b.Entries {
		switch {
		case strings.ContainsRune(e.Path, 0):
			return errors.New("a path has a NUL")
		case m.opt.Mode.rsync() && (e.Recursive || e.Content) && rejects && !m.Protects():
			return fmt.Errorf("%q is to be copied with all below but for what is rejected, and no exclude list is handed over (rsync-prefer-include, or arguments without %%EXCLUDE-LIST-PATH%%): list it path by path", e.Path)
		}
	}
	return nil
}

func (k *making) add(r Run) {
	if k.err != nil {
		return
	}
	r.Env = k.env
	k.err = k.run(r)
}

// function makes the calls of mode so, in the order of plain.
func (k *making) function(entries []Entry) {
	var rest Run
	size := 0
	flush := func() {
		if len(rest.Entries) > 0 {
			k.add(rest)
		}
		rest, size = Run{}, 0
	}
	for _, e := range entries {
		if k.err != nil {
			return
		}
		whole, name := e.Recursive || e.Content, e.Path
		if whole {
			name = k.absolute(e.Path)
		}
		switch {
		case k.opt.MaxName > 0 && len(name) > k.opt.MaxName:
			k.left = append(k.left, Left{Path: e.Path, Why: TooLong})
			continue
		case whole:
			k.add(Run{Entries: []Entry{e}, Names: []string{name}})
			continue
		case k.opt.MaxPaths > 0 && len(rest.Entries) >= k.opt.MaxPaths, k.opt.MaxList > 0 && size+len(name) > k.opt.MaxList:
			flush()
		}
		rest.Entries, rest.Names, size = append(rest.Entries, e), append(rest.Names, name), size+len(name)
	}
	flush()
}

// absolute is a path with the watched directory before it.
func (m *Maker) absolute(rel string) string {
	dir := strings.TrimSuffix(m.opt.Watch, "/")
	if rel == "" && dir != "" {
		return dir
	}
	return dir + "/" + rel
}

// one is a call for one path alone.
func (k *making) one(template []word, kind string, e Entry) {
	if k.err != nil {
		return
	}
	name := k.absolute(e.Path)
	if k.opt.MaxBytes > 0 && k.cost(template)+copies(template)*weigh(name) > k.opt.MaxBytes {
		k.left = append(k.left, Left{Path: e.Path, Why: TooLong})
		return
	}
	each := &e
	if kind != "sync" {
		each = nil
	}
	k.add(Run{Argv: k.call(template, kind, []string{name}, each), Entries: []Entry{e}})
}

// merge puts entries of one path together: what happened is all that happened,
// from what was there first to what is there last.
func merge(entries []Entry) []Entry {
	out := slices.Clone(entries)
	slices.SortStableFunc(out, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	n := 0
	for _, e := range out {
		if n == 0 || out[n-1].Path != e.Path {
			out[n] = e
			n++
			continue
		}
		last := &out[n-1]
		last.Mask |= e.Mask
		last.New = e.New
		last.Recursive = last.Recursive || e.Recursive
		last.Content = last.Content || e.Content
	}
	return out[:n]
}

// plain makes the calls without rsync's lists: first those for whole directories,
// which rsync's modes do not have, then the rest.
func (k *making) plain(entries []Entry) {
	rest := make([]Entry, 0, len(entries))
	for _, e := range entries {
		if (e.Recursive || e.Content) && !k.opt.Mode.rsync() {
			k.one(k.recursive, "initialsync", e)
			continue
		}
		rest = append(rest, e)
	}
	if has(k.list, slotNames, slotInclude, slotExclude) {
		k.together(rest)
		return
	}
	for _, e := range rest {
		k.one(k.list, "sync", e)
	}
}

// together makes calls that each have as many entries as go into one.
func (k *making) together(entries []Entry) {
	kind := "synclist"
	if k.opt.Mode.rsync() {
		kind = "rsynclist"
	}
	copies := copies(k.list)
	wordsEach := max(k.opt.MaxWords-1-(len(k.list)-copies), copies) // one name goes always
	bytesEach := k.opt.MaxBytes - k.cost(k.list)
	listed := has(k.list, slotInclude)
	var names []string
	var part []Entry
	var lines []byte
	size := 0
	flush := func() {
		if len(part) == 0 {
			return
		}
		r := Run{Argv: k.call(k.list, kind, names, nil), Entries: part}
		if listed {
			r.Lists = append(r.Lists, List{Include, lines})
		}
		k.add(r)
		names, part, lines, size = nil, nil, nil, 0
	}
	for _, e := range entries {
		if k.err != nil {
			return
		}
		line := ""
		if listed {
			line = k.line(e)
		}
		name := k.relative(e.Path)
		cost := weigh(name) * copies
		switch {
		case listed && strings.Contains(e.Path, "\n"):
			k.left = append(k.left, Left{Path: e.Path, Why: Newline})
			continue
		case copies > 0 && k.opt.MaxBytes > 0 && cost > bytesEach:
			k.left = append(k.left, Left{Path: e.Path, Why: TooLong})
			continue
		case copies > 0 && k.opt.MaxWords > 0 && (len(names)+1)*copies > wordsEach,
			copies > 0 && k.opt.MaxBytes > 0 && size+cost > bytesEach,
			k.opt.MaxList > 0 && len(lines)+len(line) > k.opt.MaxList:
			flush()
		}
		lines = append(lines, line...)
		names, part, size = append(names, name), append(part, e), size+cost
	}
	flush()
}

// relative is a name as a word. One that begins with a dash would be an option.
func (m *Maker) relative(rel string) string {
	switch {
	case rel == "" && m.opt.Mode == Direct:
		return "."
	case strings.HasPrefix(rel, "-"):
		return "./" + rel
	}
	return rel
}

// rsync makes calls with lists of rsync's. Each has all that is rejected: what
// one list permits with all below may hold it.
func (k *making) rsync(entries []Entry) {
	lines := map[string]bool{}
	var part []Entry
	count, size := 0, 0 // count as clsync does: with what is there already
	flush := func() {
		if len(part) == 0 {
			return
		}
		r := Run{Entries: part, Lists: []List{{Include, join(lines)}}}
		if k.opt.excludes() {
			r.Lists = append(r.Lists, List{Exclude, k.excludes})
		}
		if !k.opt.Mode.function() {
			r.Argv = k.call(k.list, "rsynclist", nil, nil)
		}
		k.add(r)
		lines, part, count, size = map[string]bool{}, nil, 0, 0
	}
	for _, e := range entries {
		if k.err != nil {
			return
		}
		own := patterns(e)
		if own == nil {
			k.left = append(k.left, Left{Path: e.Path, Why: TooLong})
			continue
		}
		more := 0
		for _, l := range own {
			if !lines[l] {
				more += len(l) + 1
			}
		}
		if k.opt.Limit > 0 && count >= k.opt.Limit || k.opt.MaxList > 0 && size+more > k.opt.MaxList {
			flush()
		}
		for _, l := range own {
			if !lines[l] {
				lines[l] = true
				size += len(l) + 1
			}
		}
		part, count = append(part, e), count+len(own)
	}
	flush()
}
