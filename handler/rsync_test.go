package handler_test

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/handler"
	"lockstep/internal/testenv"
)

// hostile are names that mean something to somebody, and their neighbours.
func hostile() []string {
	return []string{
		"a", "b", "ab", "a b", " ", " lead", "trail ", "-", "-a", "--delete", "+ a", "- a", "#a", ";a", "!", "!a", ":", "~",
		"*", "**", "***", "a*", "a**b", "?", "a?b", "axb", "a\nb", "a\rb", "a\tb", "a\x01b", "a\x0bb", "a\x0cb", "\n", "\r", "\n\r", "\r\n",
		"[", "]", "[a]", "[]", "[^a]", "[!a]", "[[:alpha:]]", "br]", "b\\s", "bs", "\\", "\\\\", "\\*", "\\[", "a\\", "\\\n", "[\n]", "*\r",
		"\xff", "\xff\xfe", "ä", "%", "%%", "%label%", "...", "..a", ".a", "x\n- y", "l", "z",
	}
}

// tree is a random one: paths, and which are directories.
func tree(rnd *rand.Rand) map[string]bool {
	pool, out, dirs := hostile(), map[string]bool{}, []string{""}
	for range 10 + rnd.IntN(50) {
		rel := dirs[rnd.IntN(len(dirs))] + pool[rnd.IntN(len(pool))]
		if _, there := out[rel]; there {
			continue
		}
		out[rel] = rnd.IntN(3) == 0
		if out[rel] {
			dirs = append(dirs, rel+"/")
		}
	}
	return out
}

func plant(t *testing.T, root string, tree map[string]bool) {
	t.Helper()
	for _, rel := range slices.Sorted(maps.Keys(tree)) {
		path := filepath.Join(root, rel)
		var err error
		if tree[rel] {
			err = os.MkdirAll(path, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.WriteFile(path, []byte(rel), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// found is what is below root.
func found(t *testing.T, root string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, err := filepath.Rel(root, path)
		out[rel] = d.IsDir()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// in says that rel is one of paths, or below one.
func in(rel string, paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return p == "" || rel == p || strings.HasPrefix(rel, p+"/") })
}

func some(rnd *rand.Rand, tree map[string]bool, n int) []string {
	all := slices.Sorted(maps.Keys(tree))
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

// handOver has rsync do what the maker says, as a runner would.
func handOver(t *testing.T, o handler.Options, b handler.Batch) {
	t.Helper()
	o.Mode, o.Label, o.PID = handler.RsyncDirect, "lab", 1
	m, err := handler.New(o)
	if err != nil {
		t.Fatal(err)
	}
	result, err := m.Make(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Left) > 0 {
		t.Fatalf("left: %+v", result.Left)
	}
	run(t, result)
}

func run(t *testing.T, result handler.Result) {
	t.Helper()
	for _, r := range result.Runs {
		paths := map[handler.ListName]string{}
		for _, l := range r.Lists {
			paths[l.Name] = filepath.Join(t.TempDir(), "list")
			if err := os.WriteFile(paths[l.Name], l.Content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		argv := handler.Fill(r.Argv, func(n handler.ListName) string { return paths[n] })
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", argv, err, out)
		}
	}
}

func same(t *testing.T, want, got map[string]bool) {
	t.Helper()
	for rel := range want {
		if _, there := got[rel]; !there {
			t.Errorf("%q is permitted and was not copied, or is not to be deleted and was", rel)
		}
	}
	for rel := range got {
		if _, there := want[rel]; !there {
			t.Errorf("%q was copied, or not deleted", rel)
		}
	}
}

// With our lists real rsync copies what is permitted, and nothing else, whatever
// the names are.
func TestRsyncCopiesWhatIsPermitted(t *testing.T) {
	rsync := testenv.NeedTool(t, "rsync")
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("LOCKSTEP_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range testenv.Number(t, "LOCKSTEP_TREES", 6) {
		source := tree(rnd)
		rejected := some(rnd, source, rnd.IntN(8))
		permitted := map[string]bool{}
		for rel, dir := range source {
			if !in(rel, rejected) {
				permitted[rel] = dir
			}
		}
		src := filepath.Join(t.TempDir(), "src")
		plant(t, src, source)
		dst := func() string { return t.TempDir() }
		o := handler.Options{Path: rsync, Watch: src, Limit: rnd.IntN(30)}
		t.Run("whole", func(t *testing.T) {
			o.Destination = dst()
			plant(t, o.Destination, map[string]bool{"junk\n": true, "junk\n/[x]": false, "junk*": false})
			handOver(t, o, handler.Batch{Entries: []handler.Entry{{Recursive: true}}, Rejected: rejected})
			same(t, permitted, found(t, o.Destination))
		})
		t.Run("each", func(t *testing.T) {
			o.Destination, o.PreferInclude = dst(), true
			var entries []handler.Entry
			for rel := range permitted {
				entries = append(entries, handler.Entry{Path: rel})
			}
			handOver(t, o, handler.Batch{Entries: entries})
			same(t, permitted, found(t, o.Destination))
			o.PreferInclude = false
		})
		t.Run("events", func(t *testing.T) {
			o.Destination = dst()
			events(t, rnd, o, source, rejected, permitted)
		})
		if t.Failed() {
			t.Fatalf("the tree: %q; rejected: %q; limit %d", slices.Sorted(maps.Keys(source)), rejected, o.Limit)
		}
	}
}

// events has some paths changed, some deleted, and some directories that are new.
func events(t *testing.T, rnd *rand.Rand, o handler.Options, source map[string]bool, rejected []string, permitted map[string]bool) {
	t.Helper()
	b, want := handler.Batch{Rejected: rejected}, map[string]bool{}
	copied := func(rel string) {
		want[rel] = permitted[rel]
		for i, c := range []byte(rel) {
			if c == '/' {
				want[rel[:i]] = true
			}
		}
	}
	for _, rel := range some(rnd, permitted, 1+rnd.IntN(12)) {
		e := handler.Entry{Path: rel, Recursive: permitted[rel] && rnd.IntN(2) == 0}
		b.Entries = append(b.Entries, e)
		copied(rel)
		for below := range permitted {
			if e.Recursive && strings.HasPrefix(below, rel+"/") {
				copied(below)
			}
		}
	}
	old := map[string]bool{}
	for _, name := range hostile() {
		if _, there := source[name]; there || in(name, rejected) {
			continue
		}
		old[name] = false
		if rnd.IntN(2) == 0 {
			b.Entries = append(b.Entries, handler.Entry{Path: name, Mask: 512, Old: handler.File, New: handler.Absent})
		} else {
			want[name] = false // nobody said that it went
		}
	}
	for _, dir := range []string{"gone*", "gone\n"} { // directories that moved out
		old[dir+"/[x]/y"] = false
		b.Entries = append(b.Entries, handler.Entry{Path: dir, Mask: 1073741888, Old: handler.Dir, New: handler.Absent, Recursive: true})
	}
	plant(t, o.Destination, old)
	handOver(t, o, b)
	same(t, want, found(t, o.Destination))
}

// A line that we take for short enough is one for rsync too.
func TestLongestLine(t *testing.T) {
	rsync := testenv.NeedTool(t, "rsync")
	src := filepath.Join(t.TempDir(), "src")
	dir := strings.Repeat(strings.Repeat("*", 200)+"/", 9) // 3609 bytes as a pattern
	left := 0
	for length := 4092; length <= 4099; length++ {
		rest := length - len("/") - (len(dir) + 9*200)
		rel := dir + strings.Repeat("*", 240) + "a" + strings.Repeat("b", rest-481)
		if err := os.MkdirAll(filepath.Join(src, filepath.Dir(rel)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, rel), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			b      handler.Batch
			copied bool
		}{
			{handler.Batch{Entries: paths(rel)}, true},
			{handler.Batch{Entries: []handler.Entry{{Recursive: true}}, Rejected: []string{rel}}, false},
		} {
			o := handler.Options{Mode: handler.RsyncDirect, Path: rsync, Watch: src, Destination: t.TempDir()}
			m, err := handler.New(o)
			if err != nil {
				t.Fatal(err)
			}
			result := make1(t, m, c.b)
			copied := c.copied
			if len(result.Left) > 0 {
				left++
				copied = false
			}
			run(t, result)
			if _, there := found(t, o.Destination)[rel]; there != copied {
				t.Errorf("a line of %d bytes: copied %v, want %v; left %d", length, there, copied, len(result.Left))
			}
		}
	}
	if left == 0 {
		t.Error("no line was too long")
	}
}
