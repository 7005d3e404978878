package keep

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func ring(t *testing.T, flag int, names ...string) (*Ring, func(name string) string) {
	t.Helper()
	dir := t.TempDir()
	var files []*os.File
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("of an earlier runner"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		files = append(files, f)
	}
	return New(files), func(name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

// The newest lists are there, each whole and alone in its file.
func TestRing(t *testing.T) {
	r, read := ring(t, os.O_WRONLY, "a", "b", "c")
	for i := range 5 {
		want := string("abcab"[i])
		if name, err := r.Put(fmt.Appendf(nil, "list %d\n", i)); filepath.Base(name) != want || err != nil {
			t.Errorf("%d is in %q: %v", i, name, err)
		}
	}
	for name, want := range map[string]string{"a": "list 3\n", "b": "list 4\n", "c": "list 2\n"} {
		if got := read(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := r.Put(bytes.Repeat([]byte("x"), Most+1)); err != nil {
		t.Fatal(err)
	}
	if got := read("c"); len(got) != Most {
		t.Errorf("%d bytes of a long list", len(got))
	}
	if name, err := New(nil).Put([]byte("x")); name != "" || err != nil {
		t.Errorf("without files: %q %v", name, err)
	}
}

// That a list cannot be kept is told once, and again when one was kept between.
func TestRingFails(t *testing.T) {
	r, _ := ring(t, os.O_RDONLY, "a")
	good, _ := ring(t, os.O_WRONLY, "b")
	r.files = append(r.files, r.files[0], good.files[0])
	for i, want := range []bool{true, false, false, true} {
		if _, err := r.Put([]byte("x")); (err != nil) != want {
			t.Errorf("list %d: %v", i, err)
		}
	}
}
