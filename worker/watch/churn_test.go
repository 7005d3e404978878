package watch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc/output"
	"lockstep/ipc/settings"
	"lockstep/test/subtree"
)

// change is a line, read back.
type change struct{ Op, Type, Path, From, Cause string }

func parse(t *testing.T, line string) (c change) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return c
}

// names is a copy of the names below a root that knows the lines alone.
type names struct {
	types  map[string]string
	doubts map[string]bool // a line has said: look there; the copy has not
	odd    []string        // lines that none can be about
	stray  []string        // ends of what nobody has heard of
	merged bool            // changes of a path are: one line says modify of what was replaced
	strict bool            // nothing comes from outside
}

func newNames() *names { return &names{types: map[string]string{}, doubts: map[string]bool{}} }

// holds says whether the copy has anything below a path.
func (n *names) holds(dir string) bool {
	for at := range n.types {
		if strings.HasPrefix(at, dir+"/") {
			return true
		}
	}
	return false
}

// apply takes one line.
func (n *names) apply(e change) {
	kind, there := n.types[e.Path]
	odd := false
	switch e.Op {
	case "create":
		// What comes with a rename may replace what was there: a file, or an empty
		// directory; and of what a listing has shown it may be what came.
		odd = there && (n.strict && e.Type == "dir" || kind != "" && e.Type != "" && (kind == "dir") != (e.Type == "dir") || n.holds(e.Path))
		subtree.Cut(n.types, e.Path) // what comes from outside may take another one's place
		n.types[e.Path] = e.Type
	case "delete":
		if !there && !subtree.Any(n.doubts, e.Path) {
			n.stray = append(n.stray, fmt.Sprintf("%+v", e))
		}
		subtree.Cut(n.types, e.Path)
		subtree.Cut(n.doubts, e.Path)
	case "move":
		_, from := n.types[e.From]
		odd = !from
		subtree.Cut(n.types, e.Path)
		subtree.Cut(n.doubts, e.Path)
		subtree.Move(n.types, e.From, e.Path)
		subtree.Move(n.doubts, e.From, e.Path)
	case "modify", "attrib":
		odd = !there && e.Path != "" || there && e.Type != "" && kind != "" && e.Type != kind && !n.merged
		if n.merged && there && e.Type != "" {
			n.types[e.Path] = e.Type // it was replaced
		}
	case "rescan":
		subtree.Cut(n.types, e.Path)
		n.doubts[e.Path] = true
	default:
		odd = true
	}
	if odd && !subtree.Any(n.doubts, e.Path) && !subtree.Any(n.doubts, e.From) {
		n.odd = append(n.odd, fmt.Sprintf("%+v", e))
	}
}

// compare wants the copy to be what is there, but for what is to be looked at.
func (n *names) compare(t *testing.T, is map[string]string) (compared int) {
	t.Helper()
	for rel, kind := range is {
		if subtree.Any(n.doubts, rel) {
			continue
		}
		compared++
		if told, there := n.types[rel]; !there || told != "" && told != kind {
			t.Errorf("%s is a %s; the lines say %q (there: %t)", rel, kind, told, there)
		}
	}
	for rel := range n.types {
		if is[rel] == "" && !subtree.Any(n.doubts, rel) {
			t.Errorf("%s is not there, and the lines say that it is", rel)
		}
	}
	return compared
}

// act makes one change of a kind that lines can tell. (Of names that are exchanged
// they can not: see TestExchange.)
func (r *rig) act(outside string) {
	pick := func(most int) string {
		parts := make([]string, 1+r.rand.IntN(most))
		for i := range parts {
			parts[i] = string(rune('a' + r.rand.IntN(3)))
		}
		return strings.Join(parts, "/")
	}
	path, other, file := r.path(pick(3)), r.path(pick(3)), fmt.Sprintf("f%d", r.rand.IntN(4))
	out := filepath.Join(outside, string(rune('A'+r.rand.IntN(3))))
	var err error
	p := r.rand.IntN(100)
	switch {
	case p < 30:
		err = os.MkdirAll(path, 0o755)
	case p < 50:
		err = os.WriteFile(filepath.Join(path, file), []byte("x"), 0o644)
	case p < 68:
		err = os.Rename(path, other)
	case p < 77:
		err = os.Rename(path, out)
	case p < 81 && !r.strict:
		err = os.Rename(out, other)
	case p < 84 && !r.strict:
		err = r.replace(out+"-file", filepath.Join(path, file))
	case p < 87:
		err = os.RemoveAll(path)
	case p < 90:
		err = os.Remove(filepath.Join(path, file))
	case p < 93:
		err = os.Rename(filepath.Join(path, file), filepath.Join(other, file))
	case p < 96:
		err = os.Chmod(path, 0o700|os.FileMode(r.rand.IntN(64)))
	default:
		err = os.Symlink("nowhere", filepath.Join(path, file))
	}
	var errno unix.Errno
	if err != nil && !errors.As(err, &errno) {
		r.t.Fatal(err)
	}
	if err == nil { // for who reads the lines of a failure
		r.out = append(r.out, fmt.Sprintf("# %d %q %q %s\n", p, path, other, file))
	}
}

// replace moves a file from outside to a name that is mostly taken; half of them do
// not stay.
func (r *rig) replace(out, file string) error {
	if r.rand.IntN(4) > 0 {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			return err
		}
		r.pass(100 * time.Millisecond)
	}
	err := os.WriteFile(out, nil, 0o644)
	if err == nil {
		err = os.Rename(out, file)
	}
	if err == nil && r.rand.IntN(2) == 0 {
		err = os.Remove(file)
	}
	return err
}

// churn lets a seed decide what happens, and when it is heard of.
func (r *rig) churn(acts int, outside string, slow time.Duration) {
	for acts > 0 {
		switch p := r.rand.IntN(10); {
		case p < 3:
			r.act(outside)
			acts--
		case p < 6:
			r.hear()
		case p < 9:
			r.help()
		default:
			r.pass(time.Duration(r.rand.Int64N(int64(slow))))
		}
	}
}

// Who applies the lines to a copy of the names has the names, whatever happens
// between any two steps of the engine and the helper, but for what a line says is
// to be looked at; and no line is about what the copy does not have. Where nothing
// comes from outside, no name is told twice, and no end of what nobody has heard of.
func TestLinesAreTrue(t *testing.T) {
	for name, c := range map[string]struct {
		cfg    settings.Watch
		strict bool
	}{
		"inotify": {cfg: settings.Watch{Monitor: settings.MonitorInotify}},
		"settle":  {cfg: settings.Watch{Monitor: settings.MonitorInotify, Settle: 20 * time.Millisecond}},
		"poll":    {cfg: settings.Watch{Monitor: settings.MonitorPoll, PollEvery: time.Second, Inodes: true}},
		"strict":  {cfg: settings.Watch{Monitor: settings.MonitorInotify}, strict: true},
	} {
		t.Run(name, func(t *testing.T) {
			compared, strays, odd := 0, 0, 0
			for seed := range uint64(seeds) {
				r := newRig(t, seed, c.cfg)
				r.strict = c.strict
				outside := filepath.Join(filepath.Dir(r.dir), fmt.Sprintf("outside-%d", seed))
				if err := os.Mkdir(outside, 0o755); err != nil {
					t.Fatal(err)
				}
				r.start()
				r.root.trace = true
				r.churn(acts, outside, 200*time.Millisecond)
				r.settle(30 * time.Second)
				r.close()
				n := newNames()
				n.strict, n.merged = r.strict, c.cfg.Settle > 0 || c.cfg.Monitor == settings.MonitorPoll
				for _, line := range r.lines(output.Event) {
					n.apply(parse(t, line))
				}
				compared += n.compare(t, r.tree())
				strays += len(n.stray)
				odd += len(n.odd)
				if t.Failed() || len(n.odd) > 0 || len(n.stray) > 0 && r.strict {
					t.Logf("seed %d: odd %q stray %q; all lines:\n%s", seed, n.odd, n.stray, strings.Join(r.out, ""))
					t.FailNow()
				}
			}
			t.Logf("%d names compared, %d ends of what nobody had heard of, %d odd", compared, strays, odd)
		})
	}
}

// How many runs, and of how many changes each.
const seeds, acts = 60, 40

// An exchange looks like two renames, of which nobody may have heard one half: both
// places, or the one that is known, are to be looked at.
func TestExchange(t *testing.T) {
	for name, c := range map[string]struct{ before, want string }{
		"known":   {"", "a b/c"},
		"unknown": {"b/c", "a"},
	} {
		r := newRig(t, 1, settings.Watch{Monitor: settings.MonitorInotify})
		r.mkdir("a", "b")
		if c.before == "" {
			r.mkdir("b/c/d")
		}
		r.start()
		if c.before != "" { // its directory comes anew, and is not watched yet
			r.remove("b")
			r.mkdir("b/c/d")
		}
		if err := unix.Renameat2(unix.AT_FDCWD, r.path("b/c"), unix.AT_FDCWD, r.path("a"), unix.RENAME_EXCHANGE); err != nil {
			t.Fatal(err)
		}
		r.settle(5 * time.Second)
		n := newNames()
		n.types["a"], n.types["b"], n.types["b/c"], n.types["b/c/d"] = "dir", "dir", "dir", "dir"
		for _, line := range r.lines(output.Event) {
			n.apply(parse(t, line))
		}
		n.compare(t, r.tree())
		r.close()
		for _, rel := range strings.Fields(c.want) {
			if !subtree.Any(n.doubts, rel) {
				t.Errorf("%s: no line says that %s is to be looked at: %q", name, rel, r.lines(output.Event))
			}
		}
	}
}
