package file

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"lockstep/config"
	"lockstep/config/keys"
	"lockstep/internal/nearest"
)

// walker puts what stands in a document where it belongs.
type walker struct {
	*text
	parser unstable.Parser
	dropIn bool

	in     config.Section // of the table that is open
	open   bool           // whether keys are read at all: the table is known
	prefix []string       // of the table below its section
	seen   map[config.Spot]config.Pos
	tables map[string]config.Pos // headers that may stand once
	syncs  int
	bent   bool // a header was not taken as it stands
}

// parse reads one document into a builder.
func parse(b *keys.Builder, path string, data []byte, dropIn bool) {
	w := &walker{text: mend(b, path, data), dropIn: dropIn, open: true, in: noTable,
		seen: map[config.Spot]config.Pos{}, tables: map[string]config.Pos{}}
	w.parser.Reset(w.data)
	for w.parser.NextExpression() {
		n := w.parser.Expression()
		w.skipped(endOf(n))
		switch n.Kind {
		case unstable.Table, unstable.ArrayTable:
			w.header(names(n), w.posOf(n.Child()), n.Kind == unstable.ArrayTable)
		case unstable.KeyValue:
			w.keyValue(w.prefix, n)
		}
	}
	w.skipped(len(w.data) + 1)
	if !w.bent { // else the library takes keys for those of another table
		w.library()
	}
}

// noTable is before the first header.
const noTable config.Section = -9

func names(n *unstable.Node) []string {
	var out []string
	for i := n.Key(); i.Next(); {
		out = append(out, string(i.Node().Data))
	}
	return out
}

// posOf is where a node is written, if it knows.
func (w *walker) posOf(n *unstable.Node) config.Pos {
	return w.pos(int(n.Raw.Offset))
}

// skipped takes note of the expressions up to an offset that could not be read:
// what they were to set is neither missing nor another's.
func (w *walker) skipped(upTo int) {
	for len(w.gone) > 0 && w.gone[0].offset < upTo {
		g := w.gone[0]
		w.gone = w.gone[1:]
		at := w.pos(g.offset)
		switch {
		case g.header != "":
			w.bent = true
			w.table(strings.Split(g.header, "."), at)
			w.b.Doubt(w.in)
		case g.key == "":
			w.open = w.open && !g.table
		case g.key != "" && w.open && w.in != noTable:
			name := strings.Join(append(slices.Clone(w.prefix), g.key), ".")
			for _, k := range keys.Table() { // a group of keys as well
				if k.Name == name || strings.HasPrefix(k.Name, name+".") {
					w.b.Spoil(w.in, k.Name, at)
				}
			}
		}
	}
}

// header opens a table.
func (w *walker) header(path []string, at config.Pos, array bool) {
	full := strings.Join(path, ".")
	switch first := path[0]; {
	case len(path) > 1 && array:
		w.close(at, full, "is no list of tables", "write ["+full+"]")
		return
	case len(path) == 1 && first == "sync" && !array:
		w.bent = true
		w.failAt(at, full, "there may be several", "write [[sync]]")
	case len(path) == 1 && (first == "service" || first == "defaults") && array:
		w.bent = true
		w.failAt(at, full, "there is one at most", "write ["+first+"]")
	}
	if old, twice := w.tables[full]; twice && full != "sync" {
		w.bent = true
		w.failAt(at, full, fmt.Sprintf("given twice, first in line %d", old.Line), "write its keys in one table")
	}
	w.tables[full] = at
	w.table(path, at)
}

// table opens what a header names.
func (w *walker) table(path []string, at config.Pos) {
	w.open, w.prefix = true, path[1:]
	switch first := path[0]; {
	case w.dropIn && (first == "service" || first == "defaults"):
		w.close(at, first, "may stand in the main file only, since it is true of all syncs and a drop-in adds some", "move it there")
	case first == "service":
		w.in = config.InService
	case first == "defaults":
		w.in = config.InDefaults
	case first == "sync" && len(path) == 1:
		w.in = w.b.NewSync(at)
		w.syncs++
		for full := range w.tables { // [sync.retry] of another sync
			if strings.HasPrefix(full, "sync.") {
				delete(w.tables, full)
			}
		}
	case first == "sync" && w.syncs == 0:
		w.close(at, strings.Join(path, "."), "is part of a sync, and there is none before it", "write [[sync]] first")
	case first == "sync":
		w.in = config.Section(w.b.Syncs() - 1)
	default:
		w.close(at, strings.Join(path, "."), "unknown table", "tables are [service], [defaults] and [[sync]]"+nearest.Ask(near(first, []string{"service", "defaults", "sync"})))
		return
	}
	if len(w.prefix) > 0 && w.open && len(group(strings.Join(w.prefix, "."))) == 0 {
		w.close(at, strings.Join(path, "."), "unknown table", "see lockstep.toml(5)"+nearest.Ask(near(strings.Join(w.prefix, "."), groups())))
	}
}

// close tells why the keys of a table are not read.
func (w *walker) close(at config.Pos, thing, reason, advice string) {
	w.open, w.bent = false, true
	w.failAt(at, thing, reason, advice)
}

// keyValue reads a key, or the keys of an inline table.
func (w *walker) keyValue(prefix []string, n *unstable.Node) {
	path := append(slices.Clone(prefix), names(n)...)
	key := n.Key()
	key.Next()
	at, in := w.posOf(key.Node()), w.in
	if !w.open {
		return
	}
	if in == noTable {
		if path, in = w.topLevel(path, at); in == noTable {
			return
		}
	}
	value := n.Value()
	if value.Kind == unstable.InlineTable {
		w.inline(in, path, at, value)
		return
	}
	w.leaf(in, strings.Join(path, "."), at, value)
}

// topLevel is a key before the first header: service.user = "x".
func (w *walker) topLevel(path []string, at config.Pos) ([]string, config.Section) {
	if len(path) > 1 && path[0] == "service" && !w.dropIn {
		return path[1:], config.InService
	}
	if len(path) > 1 && path[0] == "defaults" && !w.dropIn {
		return path[1:], config.InDefaults
	}
	advice := "write it below [service], [defaults] or [[sync]]"
	if k, ok := keys.Lookup(strings.Join(path, ".")); ok && k.Scope == keys.ScopeService {
		advice = "write it below [service]"
	} else if ok && k.Scope == keys.ScopeSync {
		advice = "write it below [[sync]], or below [defaults] for all syncs"
	} else if path[0] == "service" || path[0] == "defaults" || path[0] == "sync" {
		advice = "write it as a table: [service], [defaults], [[sync]]"
	}
	w.failAt(at, strings.Join(path, "."), "stands in no table", advice)
	return nil, noTable
}

// inline reads an inline table where a group of keys is meant.
func (w *walker) inline(in config.Section, path []string, at config.Pos, value *unstable.Node) {
	name := strings.Join(path, ".")
	if len(group(name)) == 0 {
		if _, known := keys.Lookup(name); known {
			w.wrongKind(in, name, at, value.Kind)
			return
		}
		w.unknown(in, name, at)
		return
	}
	for i := value.Children(); i.Next(); {
		child := i.Node()
		key := child.Key()
		key.Next()
		full := append(slices.Clone(path), names(child)...)
		if v := child.Value(); v.Kind == unstable.InlineTable {
			w.inline(in, full, w.posOf(key.Node()), v)
		} else {
			w.leaf(in, strings.Join(full, "."), w.posOf(key.Node()), v)
		}
	}
}

// leaf reads the value of one key.
func (w *walker) leaf(in config.Section, name string, at config.Pos, value *unstable.Node) {
	k, ok := keys.Lookup(name)
	if !ok || !allowed(k, in) {
		w.unknown(in, name, at)
		return
	}
	spot := config.Spot{In: in, Key: name}
	if first, twice := w.seen[spot]; twice {
		w.failAt(at, name, fmt.Sprintf("given twice, first in line %d", first.Line), "give it once")
		return
	}
	w.seen[spot] = at
	if value.Kind != kind(k) {
		w.wrongKind(in, name, at, value.Kind)
		return
	}
	switch {
	case k.List:
		w.list(in, k, at, value)
	case k.Number:
		n, err := strconv.ParseInt(strings.ReplaceAll(string(value.Data), "_", ""), 0, 64)
		if err != nil {
			w.b.Spoil(in, name, at)
			w.failAt(at, name, fmt.Sprintf("%q is not a number", value.Data), k.Advice)
			return
		}
		w.put(in, name, strconv.FormatInt(n, 10), at)
	default:
		w.put(in, name, string(value.Data), at)
	}
}

func (w *walker) put(in config.Section, name, value string, at config.Pos) {
	if !w.b.Put(in, name, value, at) {
		w.told[at.Line] = true
	}
}

// list reads one value after the other.
func (w *walker) list(in config.Section, k keys.Key, at config.Pos, value *unstable.Node) {
	w.b.Begin(in, k.Name, at)
	count := 0
	for i := value.Children(); i.Next(); {
		count++
		item := i.Node()
		if item.Kind != unstable.String {
			w.b.Spoil(in, k.Name, at)
			w.failAt(at, k.Name, "holds "+kindName(item.Kind)+", and must be a list of texts in quotes", fmt.Sprintf(`write %s = ["…"]`, k.Name))
			continue
		}
		w.put(in, k.Name, string(item.Data), w.posOf(item))
	}
	if count == 0 && k.Name == "targets" {
		w.b.Spoil(in, k.Name, at)
		w.failAt(at, k.Name, "is empty", "name a place to keep in step")
	}
}

// allowed says whether a key may stand in a section.
func allowed(k keys.Key, in config.Section) bool {
	switch {
	case k.Scope == keys.ScopeRun:
		return false
	case in == config.InService:
		return k.Scope == keys.ScopeService
	case in == config.InDefaults:
		return k.Scope == keys.ScopeSync && k.Name != "source" && k.Name != "targets" && k.Name != "name"
	}
	return k.Scope == keys.ScopeSync
}

// unknown tells of a key that has no meaning where it stands.
func (w *walker) unknown(in config.Section, name string, at config.Pos) {
	k, ok := keys.Lookup(name)
	switch {
	case ok && k.Scope == keys.ScopeRun && name == "accept_root":
		w.failAt(at, name, "is a person's consent to one run, and belongs in no file", "use lockstep run --accept-root NAME")
	case ok && k.Scope == keys.ScopeRun:
		w.failAt(at, name, "is true of one run, and belongs in no file", "use lockstep run --"+k.Flag())
	case ok && k.Scope == keys.ScopeService:
		w.failAt(at, name, "is true of all syncs", "move it below [service]")
	case ok && in == config.InDefaults:
		w.failAt(at, name, "is each sync's own", "move it below a [[sync]]")
	case ok:
		w.failAt(at, name, "is a sync's", "move it below a [[sync]], or below [defaults] for all syncs")
	case len(group(name)) > 0:
		for _, k := range group(name) {
			w.b.Spoil(in, k, at)
		}
		w.failAt(at, name, "has several values, each with a name", "write "+example(name))
	default:
		var candidates []string
		for _, k := range keys.Table() {
			if allowed(k, in) {
				candidates = append(candidates, k.Name)
			}
		}
		meant := near(name, append(candidates, groups()...))
		w.failAt(at, name, "unknown key", "see lockstep.toml(5)"+nearest.Ask(meant))
		w.b.Guess(in, meant)
	}
}

// wrongKind tells that a value is of another type.
func (w *walker) wrongKind(in config.Section, name string, at config.Pos, got unstable.Kind) {
	w.b.Spoil(in, name, at)
	k, _ := keys.Lookup(name)
	want := kindName(kind(k))
	if k.List {
		want = "a list of texts in quotes"
	}
	advice := k.Advice
	switch {
	case k.List:
		advice = fmt.Sprintf(`write %s = ["…"]`, name)
	case k.Switch():
		advice = "write true or false"
	case advice == "":
		advice = fmt.Sprintf(`write %s = "…"`, name)
	case kind(k) == unstable.String:
		advice += ", in quotes"
	}
	w.failAt(at, name, fmt.Sprintf("is %s, and must be %s", kindName(got), want), advice)
}

// kind is how the value of a key is written.
func kind(k keys.Key) unstable.Kind {
	switch {
	case k.List:
		return unstable.Array
	case k.Switch():
		return unstable.Bool
	case k.Number:
		return unstable.Integer
	}
	return unstable.String
}

func kindName(k unstable.Kind) string {
	switch k {
	case unstable.String:
		return "a text in quotes"
	case unstable.Bool:
		return "true or false"
	case unstable.Integer:
		return "a number without quotes"
	case unstable.Float:
		return "a number with a fraction"
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a table"
	}
	return "a date or time"
}
