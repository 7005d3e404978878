package kept

import (
	"os"
	"path/filepath"
	"testing"
)

// Files are a target's own and root's alone to read; what they hold stays at another
// start of a runner, and goes at another start of lockstep.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	write := func(target int, text string) {
		t.Helper()
		files, err := Open(dir, "web", target)
		if err != nil || len(files) != Lists {
			t.Fatalf("%d files: %v", len(files), err)
		}
		for i, f := range files {
			if i == 0 {
				if _, err := f.WriteString(text); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(1, "one")
	write(2, "two")
	write(1, "")
	for path, want := range map[string]string{"1/list-01": "one", "2/list-01": "two", "2/list-16": ""} {
		path = filepath.Join(Dir(dir, "web"), path)
		if data, err := os.ReadFile(path); err != nil || string(data) != want {
			t.Errorf("%s: %q %v", path, data, err)
		}
		for name, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700, filepath.Dir(filepath.Dir(path)): 0o700} {
			if info, err := os.Lstat(name); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v %v", name, info.Mode(), err)
			}
		}
	}
	other := filepath.Join(dir, "lock")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Clear(dir); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 || left[0] != other {
		t.Errorf("left: %q %v", left, err)
	}
}

// What leads out of the runtime directory is not followed, and nothing but a file is a
// list's.
func TestKeptStaysInside(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	if err := os.Symlink(out, filepath.Join(dir, lists)); err != nil {
		t.Fatal(err)
	}
	if files, err := Open(dir, "web", 1); err == nil {
		t.Errorf("a link was followed: %v", files)
	}
	if err := Clear(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(Dir(dir, "web"), "1", "list-03"), 0o700); err != nil {
		t.Fatal(err)
	}
	if files, err := Open(dir, "web", 1); err == nil {
		t.Errorf("a directory: %v", files)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}
