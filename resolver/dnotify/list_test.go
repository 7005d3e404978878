package dnotify

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzEntries: whatever the bytes, a name is a component.
func FuzzEntries(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"a", "\xff\n", "...", "file"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			f.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	n, err := unix.Getdents(fd, buf)
	if err != nil {
		f.Fatal(err)
	}
	count := 0
	if err := entries(buf[:n], func([]byte, uint64) { count++ }); err != nil || count != 4 {
		f.Fatalf("%d entries of a real listing, %v", count, err)
	}
	f.Add(buf[:n])
	f.Add(buf[:n-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		_ = entries(b, func(name []byte, _ uint64) {
			total += len(name) + atName
			if s := string(name); s == "" || s == "." || s == ".." || bytes.ContainsAny(name, "/\x00") {
				t.Fatalf("%q is no name", name)
			}
		})
		if total > len(b) {
			t.Fatalf("%d bytes of %d", total, len(b))
		}
	})
}

// TestManySubdirectories: more than one read of the directory.
func TestManySubdirectories(t *testing.T) {
	top := t.TempDir()
	for i := range 3000 {
		must(t, os.Mkdir(filepath.Join(top, "a-directory-with-a-longer-name-"+string(rune('a'+i%26))+string(rune(0x4e00+i))), 0o755))
	}
	r := newRig(t, top)
	r.want("")
	r.stop()
	if r.m.tree.count != 3001 {
		t.Errorf("%d directories", r.m.tree.count)
	}
}
