package fold

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func open(t testing.TB, dir string) *Tree {
	t.Helper()
	tree, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

// plant makes files (and directories, which end with a slash) below dir.
func plant(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// files are n names below a directory.
func files(dir string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%s%c", dir, 'a'+i))
	}
	return names
}

func list(entries ...string) []byte {
	slices.Sort(entries)
	return []byte(strings.Join(entries, "\x00") + "\x00")
}

func listed(names ...string) []byte {
	var out []string
	for _, n := range names {
		out = append(out, "./"+strings.TrimSuffix(n, "/"))
	}
	return list(out...)
}

func TestList(t *testing.T) {
	outside := t.TempDir()
	plant(t, outside, files("d/", 8)...)
	for _, c := range []struct {
		name  string
		there []string
		also  []string // listed, and not there
		less  []string // there, and not listed
		want  []string // nil: the list as it is
	}{
		{name: "all of a directory", there: files("d/", 8), want: []string{"./d/"}},
		{name: "with the directory itself", there: append(files("d/", 8), "d/"), want: []string{"./d", "./d/"}},
		{name: "too few to look", there: files("d/", least-1)},
		{name: "one is not listed", there: files("d/", 9), less: []string{"d/c"}},
		{name: "one has gone, and one is not listed", there: files("d/", 9), less: []string{"d/c"}, also: []string{"d/gone"}},
		{name: "one has gone", there: files("d/", 9), also: []string{"d/gone"}, want: []string{"./d/", "./d/gone"}},
		{name: "all have gone", there: []string{"d/"}, less: []string{"d/"}, also: files("d/", 9)},
		{name: "the directory has gone", also: files("d/", 9)},
		{name: "the root", there: files("", 9)},
		{name: "a directory in it", there: append(files("d/", 8), "d/sub/", "d/sub/x"), want: []string{"./d/", "./d/sub/x"}},
		{name: "each in another", there: append(append(files("d/", 8), "d/sub/"), files("d/sub/", 8)...), want: []string{"./d/", "./d/sub/"}},
		{name: "a directory in it is not listed", there: append(files("d/", 8), "d/sub/", "d/sub/x"), less: []string{"d/sub/"}},
		{name: "hostile names", there: []string{"d\n/-a", "d\n/b\n", "d\n/*", "d\n/[x]", "d\n/\\", "d\n/ ", "d\n/#", "d\n/\xff"}, want: []string{"./d\n/"}},
		{name: "a name like it beside it", there: append(files("d/", 8), "d.x", "d x", "d0"), want: []string{"./d x", "./d.x", "./d/", "./d0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			plant(t, dir, c.there...)
			all := slices.DeleteFunc(append(slices.Clone(c.there), c.also...), func(n string) bool { return slices.Contains(c.less, n) })
			before := listed(all...)
			want := before
			if c.want != nil {
				want = list(c.want...)
			}
			got := open(t, dir).List(slices.Clone(before))
			entries := strings.Split(strings.TrimSuffix(string(got), "\x00"), "\x00")
			if again := list(entries...); string(again) != string(want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("a link to a directory", func(t *testing.T) {
		dir := t.TempDir()
		for _, to := range []string{outside + "/d", "real"} {
			plant(t, dir, files("real/", 8)...)
			if err := os.Symlink(to, dir+"/d"); err != nil {
				t.Fatal(err)
			}
			before := listed(files("d/", 8)...)
			if got := open(t, dir).List(before); string(got) != string(before) {
				t.Errorf("through a link to %s: %q", to, got)
			}
			if err := os.Remove(dir + "/d"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// For any tree and any list: what the folded list names, as rsync reads it, is
// what the list named, and all that is in a directory of it was listed.
func TestNothingIsLeftOutAndNothingAdded(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		dir := t.TempDir()
		listedNames := map[string]bool{}
		var dirs = []string{""}
		for range 4 {
			d := dirs[r.IntN(len(dirs))] + string(rune('p'+r.IntN(4))) + "/"
			dirs = append(dirs, d)
			plant(t, dir, d)
			for i := range 12 {
				name := fmt.Sprintf("%s%c", d, 'a'+i)
				if r.IntN(30) > 0 {
					plant(t, dir, name)
				}
				if r.IntN(30) > 0 {
					listedNames["./"+name] = true
				}
			}
			if r.IntN(3) > 0 {
				listedNames["./"+strings.TrimSuffix(d, "/")] = true
			}
		}
		var before []string
		for n := range listedNames {
			before = append(before, n)
		}
		got := open(t, dir).List(list(before...))
		means := map[string]bool{}
		for e := range strings.SplitSeq(strings.TrimSuffix(string(got), "\x00"), "\x00") {
			d, isDir := strings.CutSuffix(e, "/")
			if !isDir {
				means[e] = true
				continue
			}
			names, err := os.ReadDir(filepath.Join(dir, d))
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range names {
				means[d+"/"+n.Name()] = true
			}
		}
		for n := range listedNames {
			if !means[n] {
				t.Fatalf("%s is left out of %q", n, got)
			}
		}
		if len(means) != len(listedNames) {
			t.Fatalf("%d are named, %d were listed: %q", len(means), len(listedNames), got)
		}
	}
}
