package load

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lockstep/test/compare"
)

// count counts directories (without the root) and files.
func count(t *testing.T, root string) (dirs, files int) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == root:
		case d.IsDir():
			dirs++
		default:
			files++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs, files
}

func TestShape(t *testing.T) {
	for _, dirs := range []int{500, 3000, 10_000, 100_000} {
		if got := ShapeOf(dirs).Dirs(); got != dirs {
			t.Errorf("a tree of %d directories has %d", dirs, got)
		}
	}
	root := t.TempDir()
	s := ShapeOf(500)
	if err := s.Make(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	if dirs, files := count(t, root); dirs != 500 || files != 500 {
		t.Errorf("%d directories, %d files", dirs, files)
	}
	if _, err := os.Stat(filepath.Join(root, s.Last(), "file")); err != nil {
		t.Error(err)
	}
}

// What a daemon's run leaves in the trees is gone, and they are equal, times
// included.
func TestTidy(t *testing.T) {
	base := t.TempDir()
	s := ShapeOf(500)
	for _, side := range []string{"/src", "/dst"} {
		dir := filepath.Join(base, side, s.Last())
		if err := makeDir(dir, 1); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1, 0)
		if err := os.Chtimes(filepath.Join(dir, "file"), at, at); err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{filepath.Dir(dir), base + side} {
			if err := os.Chtimes(d, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(base, "src", s.Last(), "probe1"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Tidy(base+"/src", base+"/dst", s.Last()); err != nil {
		t.Fatal(err)
	}
	if differ, err := compare.Equal(base+"/src", base+"/dst", compare.Options{}); err != nil || len(differ) > 0 {
		t.Errorf("%v, %v", differ, err)
	}
	if _, files := count(t, base+"/src"); files != 1 {
		t.Errorf("%d files", files)
	}
}

// The same seed gives the same burst.
func TestBurst(t *testing.T) {
	base := t.TempDir()
	b := Burst{Dirs: 10, Files: 95, Seed: 7}
	for _, side := range []string{"/a", "/b"} {
		if err := b.Run(base + side); err != nil {
			t.Fatal(err)
		}
	}
	dirs, files := count(t, base+"/a")
	if files != 95 || dirs != 20 { // each has one above it
		t.Errorf("%d files, %d directories", files, dirs)
	}
	a, err := compare.Read(base+"/a", compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := compare.Read(base+"/b", compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[int64]bool{}
	for rel, e := range a {
		if e.Sum != c[rel].Sum || e.Size != c[rel].Size {
			t.Errorf("%s is another file", rel)
		}
		sizes[e.Size] = true
	}
	if len(sizes) < 20 {
		t.Errorf("only %d sizes", len(sizes))
	}
}

func TestStream(t *testing.T) {
	root := t.TempDir()
	s := Stream{Dirs: 10, Files: 200, Rate: 2000, For: 400 * time.Millisecond, Seed: 3}
	if err := s.Prepare(root); err != nil {
		t.Fatal(err)
	}
	dirs, files := count(t, root)
	if files != 200 {
		t.Errorf("%d files", files)
	}
	before, err := compare.Read(root, compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Run(t.Context(), root)
	if err != nil || c.Changes != 800 || c.Took < s.For {
		t.Errorf("%+v, %v", c, err)
	}
	after, err := compare.Read(root, compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := compare.Diff(before, after, 1000); len(d) < 100 {
		t.Errorf("only %d entries differ", len(d))
	}
	if d, f := count(t, root); d != dirs || f < 100 || f > 300 {
		t.Errorf("%d directories and %d files after it", d, f)
	}
}
