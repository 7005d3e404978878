package follow

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestPath(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(base, name) }
	for _, err := range []error{
		os.MkdirAll(in("a/b"), 0o755), os.WriteFile(in("a/b/file"), nil, 0o644), os.Mkdir(in("c"), 0o755),
		os.Symlink("a", in("rel")), os.Symlink(in("rel/b"), in("abs")), os.Symlink("../c/../abs/file", in("a/up")),
		os.Symlink("loop", in("loop")), os.Symlink("none", in("broken")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]struct {
		real  string
		links string // in order
	}{
		"a/b/file": {"a/b/file", ""}, "a//b/./file": {"a/b/file", ""}, "a/b/": {"a/b", ""}, "": {"", ""},
		"rel": {"a", "rel"}, "rel/b/file": {"a/b/file", "rel"}, "abs/file": {"a/b/file", "abs rel"},
		"rel/../c": {"c", "rel"}, "abs/..": {"a", "abs rel"}, // of where the link leads to
		"a/up": {"a/b/file", "a/up abs rel"},
	} {
		var links, dirs []string
		real, err := Path(base+"/"+path, func(dir string) error { dirs = append(dirs, dir); return nil },
			func(l Link) error { links = append(links, strings.TrimPrefix(l.Path, base+"/")); return nil })
		if err != nil || real != in(want.real) || strings.Join(links, " ") != want.links {
			t.Errorf("%q: %q by %q, %v", path, real, links, err)
		}
		if known, err := filepath.EvalSymlinks(in(path)); !strings.Contains(path, "..") && (err != nil || known != real) {
			t.Errorf("%q: filepath says %q, %v", path, known, err)
		}
		for dir := filepath.Dir(real); len(want.real) > 0 && dir != "/"; dir = filepath.Dir(dir) {
			if !slices.Contains(dirs, dir) {
				t.Errorf("%q: %s was not shown", path, dir)
			}
		}
	}
	for path, want := range map[string]error{"loop": syscall.ELOOP, "broken": os.ErrNotExist, "none/x": os.ErrNotExist, "a/b/file/x": syscall.ENOTDIR} {
		if _, err := Path(in(path), nil, nil); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", path, err, want)
		}
	}
	if _, err := Path("a", nil, nil); err == nil {
		t.Error("a path that is not absolute was followed")
	}
	no := errors.New("no")
	if _, err := Path(in("a/b"), func(dir string) error {
		if dir == in("a") {
			return no
		}
		return nil
	}, nil); !errors.Is(err, no) {
		t.Errorf("a directory was refused: %v", err)
	}
	if _, err := Path(in("rel"), nil, func(Link) error { return no }); !errors.Is(err, no) {
		t.Errorf("a link was refused: %v", err)
	}
}
