package rsync

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/ipc"
)

// run gives one command line its stdin and returns its exit code and output.
func run(t *testing.T, argv []string, stdin string) (int, string) {
	t.Helper()
	path, err := exec.LookPath("rsync")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Cmd{Path: path, Args: argv, Env: []string{}, Stdin: strings.NewReader(stdin),
		Stdout: &out, Stderr: &out, Dir: "/"}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

func mustRun(t *testing.T, argv []string, stdin string) {
	t.Helper()
	if code, out := run(t, argv, stdin); code != 0 || out != "" {
		t.Fatalf("%q with %.300q: exit code %d, output %.500q", argv, stdin, code, out)
	}
}

// tree maps a path to "d" or "f:"+content.
type tree map[string]string

func (tr tree) write(t *testing.T, root string) {
	t.Helper()
	for _, rel := range slices.Sorted(maps.Keys(tr)) { // a parent sorts before its children
		path := root + "/" + rel
		var err error
		if content, isFile := strings.CutPrefix(tr[rel], "f:"); isFile {
			err = os.WriteFile(path, []byte(content), 0o600)
		} else {
			err = os.Mkdir(path, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, root string) tree {
	t.Helper()
	tr := make(tree)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel := path[len(root)+1:]
		if d.IsDir() {
			tr[rel] = "d"
			return nil
		}
		content, err := os.ReadFile(path)
		tr[rel] = "f:" + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func diff(t *testing.T, what string, got, want tree) {
	t.Helper()
	for rel, v := range want {
		if got[rel] != v {
			t.Errorf("%s: %q is %q, want %q", what, rel, got[rel], v)
		}
	}
	for rel := range got {
		if _, ok := want[rel]; !ok {
			t.Errorf("%s: %q is too much", what, rel)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// without is the tree less rel and all below it.
func (tr tree) without(rel string) tree {
	out := maps.Clone(tr)
	maps.DeleteFunc(out, func(k, _ string) bool { return k == rel || strings.HasPrefix(k, rel+"/") })
	return out
}

var odd = []string{"-e sh", "--rsh=x", "#x", ";y", "- *", "+ x", ". x", ": x", "!", "H x", "x\ny", "\x1b[2J",
	"host:x", "a::b", "*", "**", "***", "[!a]", `back\slash`, `x\*`, `\`, "?", " lead", "trail ", "_u", "...",
	"\x9b\xff\xfe", strings.Repeat("n", 255), strings.Repeat("*", 255), strings.Repeat(`\`, 255), "[", "a[", "]", `[\]`}

func randomName(r *rand.Rand) string {
	switch r.IntN(4) {
	case 0:
		return odd[r.IntN(len(odd))]
	case 1: // near misses of each other's patterns
		const few = `*?[]\ab`
		b := make([]byte, 1+r.IntN(5))
		for i := range b {
			b[i] = few[r.IntN(len(few))]
		}
		return string(b)
	}
	length := 1 + r.IntN(12)
	if r.IntN(8) == 0 {
		length = 1 + r.IntN(255)
	}
	b := make([]byte, length)
	for i := range b {
		for b[i] == 0 || b[i] == '/' {
			b[i] = byte(r.Uint32())
		}
	}
	return string(b)
}

func randomTree(r *rand.Rand, n int) tree {
	tr := make(tree)
	dirs := []string{""}
	for len(tr) < n {
		name := randomName(r)
		rel := dirs[r.IntN(len(dirs))] + name
		if _, twice := tr[rel]; twice || name == "." || name == ".." || strings.Count(rel, "/") > 4 {
			continue
		}
		if r.IntN(3) == 0 {
			tr[rel] = "d"
			dirs = append(dirs, rel+"/")
		} else {
			tr[rel] = "f:" + fmt.Sprint(len(tr))
		}
	}
	return tr
}

// pick returns a random path of the tree.
func (tr tree) pick(r *rand.Rand) string {
	return slices.Sorted(maps.Keys(tr))[r.IntN(len(tr))]
}

func parents(rel string) []string {
	var out []string
	for i, c := range []byte(rel) {
		if c == '/' {
			out = append(out, rel[:i])
		}
	}
	return out
}

func seeds(t *testing.T) int {
	if testing.Short() {
		return 2
	}
	return 8
}

func TestHostileNames(t *testing.T) {
	testenv.NeedTool(t, "rsync")
	for i := range seeds(t) {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d seed %#x", i, seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			tr := randomTree(r, 150)
			src := t.TempDir()
			tr.write(t, src)
			options := func(t *testing.T) Options { return Options{Source: src, Target: t.TempDir()} }
			t.Run("list copies the listed", func(t *testing.T) { listCopies(t, r, options(t), tr) })
			t.Run("list deletes one", func(t *testing.T) { listDeletes(t, r, options(t), tr) })
			t.Run("rules", func(t *testing.T) { rulesNameOne(t, r, options(t), tr) })
			t.Run("prune", func(t *testing.T) { pruneIsLimited(t, r, options(t), tr) })
		})
	}
}

func listCopies(t *testing.T, r *rand.Rand, o Options, tr tree) {
	want := make(tree)
	var list strings.Builder
	for range 40 {
		rel := tr.pick(r)
		if _, twice := want[rel]; twice && tr[rel] != "d" {
			continue
		}
		want[rel] = tr[rel]
		for _, p := range parents(rel) {
			want[p] = "d"
		}
		list.WriteString("./" + rel + "\x00")
	}
	if err := ipc.CheckList([]byte(list.String())); err != nil {
		t.Fatal(err)
	}
	mustRun(t, Argv(ipc.JobList, o), list.String())
	diff(t, "after a list", read(t, o.Target), want)
}

func listDeletes(t *testing.T, r *rand.Rand, o Options, tr tree) {
	tr.write(t, o.Target)
	want := maps.Clone(tr)
	for range 4 {
		// Only on the target: next to an entry of the source, under a near name.
		near := want.pick(r)
		extra := filepath.Dir(near) + "/" + randomName(r)
		extra = strings.TrimPrefix(extra, "./")
		if _, exists := tr[extra]; exists || strings.HasSuffix(extra, "/.") || strings.HasSuffix(extra, "/..") || extra == "." || extra == ".." {
			continue
		}
		if err := os.MkdirAll(o.Target+"/"+extra+"/full", 0o700); err != nil {
			t.Fatal(err)
		}
		mustRun(t, Argv(ipc.JobList, o), "./"+extra+"\x00")
		diff(t, fmt.Sprintf("after the deletion of %q", extra), read(t, o.Target), want)
	}
}

func rulesNameOne(t *testing.T, r *rand.Rand, o Options, tr tree) {
	hidden, excluded := tr.pick(r), tr.pick(r)
	rules := Rule(Hide, hidden, Itself) + "\x00" + Rule(Exclude, excluded, Itself) + "\x00"
	if err := ipc.CheckRules([]byte(rules)); err != nil {
		t.Fatal(err)
	}
	mustRun(t, Argv(ipc.JobInitial, o), rules)
	diff(t, "copy", read(t, o.Target), tr.without(hidden).without(excluded))

	// The target is full now: what is hidden goes, what is excluded stays.
	mustRun(t, Argv(ipc.JobInitial, o), "")
	if hidden == excluded || strings.HasPrefix(excluded, hidden+"/") || strings.HasPrefix(hidden, excluded+"/") {
		return // the excluded one keeps the hidden one from being deleted
	}
	path := o.Target + "/" + excluded + ".only-here"
	if len(filepath.Base(path)) > 255 {
		return
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, Argv(ipc.JobInitial, o), rules+Rule(Exclude, excluded+".only-here", Itself)+"\x00")
	want := tr.without(hidden)
	if !strings.HasPrefix(excluded, hidden+"/") {
		want[excluded+".only-here"] = "f:"
	}
	diff(t, "deletion", read(t, o.Target), want)
}

func pruneIsLimited(t *testing.T, r *rand.Rand, o Options, tr tree) {
	tr.write(t, o.Target)
	dir := tr.pick(r)
	for tr[dir] != "d" {
		dir = tr.pick(r)
	}
	// An entry that the source lacks in every directory, and one that the
	// target lacks in none: only those below dir may go.
	want := maps.Clone(tr)
	for rel, v := range tr {
		if v != "d" {
			continue
		}
		extra := rel + "/ only here"
		if err := os.WriteFile(o.Target+"/"+extra, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if rel != dir && !strings.HasPrefix(rel, dir+"/") {
			want[extra] = "f:"
		}
	}
	var rules strings.Builder
	for _, p := range parents(dir) {
		rules.WriteString(Rule(Include, p, Directory) + "\x00")
	}
	rules.WriteString(Rule(Include, dir, ItselfBelow) + "\x00- *\x00")
	if err := ipc.CheckRules([]byte(rules.String())); err != nil {
		t.Fatal(err)
	}
	mustRun(t, Argv(ipc.JobPrune, o), rules.String())
	diff(t, fmt.Sprintf("prune of %q", dir), read(t, o.Target), want)
}
