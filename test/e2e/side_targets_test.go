//go:build e2e

package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/test/compare"
	"lockstep/test/sidebyside"
)

// In mode rsyncdirect lockstep has an rsync of its own, which is called otherwise: the
// targets are what is compared, each with its source. clsync's differs where its lists
// do, and lockstep's in what rules leave out.
func TestTargetsSideBySide(t *testing.T) {
	beside(t)
	var sides [2]*side
	for i, name := range []string{"clsync", "lockstep"} {
		s := newSide(t, name, "rsyncdirect", sideTree)
		rules := s.dir + "/rules"
		write(t, rules, sideRules)
		mkdir(t, s.dst()+"/Test")
		write(t, s.dst()+"/Test/own", "it is kept: what is left out is not deleted")
		write(t, s.dst()+"/stale", "it is not")
		s.words = []string{"-H", "/NULL/", "-M", "rsyncdirect", "-w0", "-t1", "-T1", "-l", "lab", "-W", s.src(), "-D", s.dst(), "-S", testenv.NeedTool(t, "rsync"), "-R", rules}
		sides[i] = s
	}
	both(t, sides[0], sides[1])
	await := &mirror{t: t}
	arrives := func(what string) {
		t.Helper()
		await.eventually(what, func() bool {
			for _, s := range sides {
				if _, err := os.Lstat(s.dst() + "/" + what); err != nil {
					return false
				}
			}
			return true
		})
	}
	arrives("w")
	for _, step := range []struct{ name, commands string }{{"files", sideFiles}, {"directories", sideDirs}} {
		// When the second one is there, the rsync that had all that came before the
		// first one has ended.
		for _, commands := range []string{step.commands + "\nmkdir done-" + step.name, "mkdir done-" + step.name + "-too"} {
			for _, s := range sides {
				s.do(commands)
			}
			_, done, _ := strings.Cut(commands, "mkdir done-")
			arrives("done-" + done)
		}
	}
	var ours map[string]string
	defer func() {
		if t.Failed() {
			t.Logf("lockstep's target, where it is not what its source is: %q", ours)
		}
	}()
	await.eventually("lockstep's target is what its source is, but for what rules leave out", func() bool {
		ours = deviations(t, sides[1])
		for path, what := range ours {
			kept := path == "Test" || path == "Test/own" && what == "should"
			if left := what == "missing" && sideLeftOut(path); !left && !kept {
				return false
			}
		}
		return true
	})
	theirs, met := deviations(t, sides[0]), map[sidebyside.Row]bool{}
	for path, what := range theirs {
		if what != ours[path] {
			row := deviates(path, what)
			if met[row] = true; row == "" {
				t.Errorf("clsync's target: %q: %s; lockstep's: %q", path, what, ours[path])
			}
		}
	}
	for path, what := range ours {
		if theirs[path] == "" {
			row := deviates(path, what)
			if met[row] = true; row == "" {
				t.Errorf("lockstep's target alone: %q: %s", path, what)
			}
		}
	}
	for _, row := range []sidebyside.Row{sidebyside.Escaping, sidebyside.Newline, sidebyside.Gone, sidebyside.RuleKinds, sidebyside.Unwalked} {
		if !met[row] {
			t.Errorf("the difference %q is not met", row)
		}
	}
}

// sideLeftOut says that rules leave out what is in a source.
func sideLeftOut(path string) bool {
	dirs := strings.Split(path, "/")
	for i := range dirs {
		if above := strings.Join(dirs[:i], "/"); above != "" && (sideLeft(above, true) || sideUnwalked(above)) {
			return true
		}
	}
	return sideLeft(path, false) || sideLeft(path, true)
}

// deviates is why clsync's target is not what its source is.
func deviates(path, what string) sidebyside.Row {
	switch base := filepath.Base(path); {
	case strings.Contains(base, "\n"):
		return sidebyside.Newline
	case strings.Contains(base, "\r"):
		return sidebyside.Return
	case strings.ContainsAny(base, `]\`):
		return sidebyside.Escaping
	case slices.Contains([]string{"old", "mv"}, strings.Split(path, "/")[0]) && what == "should":
		return sidebyside.Gone
	case strings.HasPrefix(path, "noWalk/"):
		return sidebyside.Unwalked
	case what == "times":
		return sidebyside.Times
	case path == "kept-link":
		return sidebyside.RuleKinds
	}
	return ""
}

// deviations are the paths of which a target is not what its source is, and in which
// way: "missing", "should" (not be there), "times", which differ, or "differs".
func deviations(t *testing.T, s *side) map[string]string {
	t.Helper()
	want, err := compare.Read(s.src(), compare.Options{NoRoot: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := compare.Read(s.dst(), compare.Options{NoRoot: true})
	if err != nil {
		return map[string]string{"": err.Error()} // it changes
	}
	out := map[string]string{}
	for _, path := range slices.Concat(slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got))) {
		one := func(tree compare.Tree) compare.Tree {
			if e, ok := tree[path]; ok {
				return compare.Tree{path: e}
			}
			return compare.Tree{}
		}
		diff := compare.Diff(one(want), one(got), 1)
		if len(diff) == 0 {
			continue
		}
		_, what, _ := strings.Cut(diff[0], ": ")
		out[path] = "differs"
		if g, ok := got[path]; ok {
			w := want[path]
			if g.Mtime = w.Mtime; len(compare.Diff(one(want), compare.Tree{path: g}, 1)) == 0 {
				out[path] = "times"
			}
		}
		for _, word := range []string{"missing", "should"} {
			if strings.HasPrefix(what, word+" ") {
				out[path] = word
			}
		}
	}
	return out
}
