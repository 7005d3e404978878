package mark

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMark(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, path); err != nil { // is replaced, not followed
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if there, err := f.There(); !there || err != nil {
		t.Errorf("a link to something: %v %v", there, err)
	}
	for _, text := range []string{"first", "second", "second", ""} {
		if err := f.Put(text); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, e := os.Lstat(path)
		if err != nil || e != nil || string(got) != text || info.Mode() != 0o644 {
			t.Errorf("%q: %q %v %v %v", text, got, info.Mode(), err, e)
		}
	}
	if got, err := os.ReadFile(outside); string(got) != "mine" || err != nil {
		t.Errorf("through the link: %q %v", got, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) > 0 {
		t.Errorf("left: %v %v", names, err)
	}
}

// A file that another process has put there stays; so does one that was never written.
func TestOthersStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, written := range []bool{true, false} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if written {
			if err := f.Put("x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path+".new", []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(path); string(got) != "theirs" || err != nil {
			t.Errorf("%q %v", got, err)
		}
	}
}

// A file in a directory that was made anew is not the one that was meant, nor is there
// none.
func TestDirectoryMadeAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := Open(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if there, err := f.There(); there || err != nil {
		t.Errorf("%v %v", there, err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if there, err := f.There(); there || err == nil {
		t.Error("no directory, and no error")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if there, err := f.There(); there || err == nil {
		t.Error("another directory, and no error")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// What cannot be written says where, and leaves nothing.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none", "f")); err == nil {
		t.Error("no directory")
	}
	if err := os.MkdirAll(filepath.Join(dir, "f", "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := Open(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Put("x"); err == nil {
		t.Error("a directory was replaced")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("%v %v", names, err)
	}
}
