package churn

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/test/compare"
)

func count(t *testing.T, root string) int {
	t.Helper()
	tree, err := compare.Read(root, compare.Options{NoRoot: true})
	if err != nil {
		t.Fatal(err)
	}
	return len(tree)
}

func TestBurst(t *testing.T) {
	root := t.TempDir()
	if err := Burst(root, 1, 20, 400); err != nil {
		t.Fatal(err)
	}
	if n := count(t, root); n != 420 {
		t.Errorf("%d entries, want 420", n)
	}
}

func TestStream(t *testing.T) {
	root := t.TempDir()
	if err := StreamFiles(root, 1); err != nil {
		t.Fatal(err)
	}
	c, err := Stream(context.Background(), root, 1, 1000, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if c.Changes < 300 || c.SameSize < c.Changes/2 {
		t.Errorf("%+v", c)
	}
}

func TestDirs(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := Dirs(root, outside, 1, 2000); err != nil {
		t.Fatal(err)
	}
	if count(t, root) == 0 {
		t.Error("nothing is left: the test would prove nothing")
	}
}

func TestHostile(t *testing.T) {
	root := t.TempDir()
	made, err := Hostile(root, 1, 500)
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 500 {
		t.Errorf("%d names", len(made))
	}
	all := strings.Join(made, "")
	for _, b := range []string{"\n", "\x1b", "*", "\\", "\xff", ";", "#", "-"} {
		if !strings.Contains(all, b) {
			t.Errorf("no name has %q", b)
		}
	}
	longest := 0
	for _, rel := range made {
		longest = max(longest, len(filepath.Base(rel)))
		if _, err := os.Lstat(filepath.Join(root, rel)); err != nil {
			t.Error(err)
		}
	}
	if longest != 255 {
		t.Errorf("longest name %d bytes, want 255", longest)
	}
}

func TestSameSeedSameNames(t *testing.T) {
	a, err := Hostile(t.TempDir(), 7, 100)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Hostile(t.TempDir(), 7, 100)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(a, "\x00") != strings.Join(b, "\x00") {
		t.Error("one seed gave two trees")
	}
}

// Every kind of worker of a Stress gets something done, and no directory is lost
// or doubled.
func TestStress(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	c, err := Stress{Root: root, Outside: outside, Seed: 1, For: 500 * time.Millisecond, Rate: 4000}.Run()
	if err != nil {
		t.Fatal(err)
	}
	if c.Moved == 0 || c.Same == 0 || c.Out == 0 || c.Changed == 0 {
		t.Errorf("%+v", c)
	}
	seen := map[string]int{}
	for _, top := range []string{root, outside} {
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if name := d.Name(); err == nil && len(name) == 4 && strings.ContainsAny(name[:1], "nm") {
				seen[name[1:]]++
			}
			return err
		})
	}
	if len(seen) != stressDirs {
		t.Errorf("%d directories, want %d: %v", len(seen), stressDirs, seen)
	}
}

// Names are what is asked for: so many, no two the same, each one that a file can have.
func TestNames(t *testing.T) {
	for _, n := range []int{300, 4000} {
		all := Names(7, n)
		had, bytes := map[string]bool{}, map[byte]bool{}
		for _, name := range all {
			if had[name] || name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
				t.Errorf("%+q", name)
			}
			had[name] = true
			for i := range len(name) {
				bytes[name[i]] = true
			}
		}
		if len(all) != n || n > 2000 && len(bytes) != 254 {
			t.Errorf("%d names of %d bytes, want %d of 254", len(all), len(bytes), n)
		}
	}
	if got := len(orders("*?[]\\")); got != 5+20+60+120+120 {
		t.Errorf("%d orders", got)
	}
}
