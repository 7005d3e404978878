package compare

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// plant makes the tree that each case then changes in one copy of.
func plant(t *testing.T, root string) {
	t.Helper()
	at := time.Unix(1700000000, 123456789)
	must(t, os.MkdirAll(root+"/d/e", 0o755))
	for _, name := range []string{"f", "d/g", "d/bad\xff\nname"} {
		must(t, os.WriteFile(filepath.Join(root, name), []byte("content"), 0o644))
	}
	must(t, os.Link(root+"/f", root+"/d/h"))
	must(t, os.WriteFile(root+"/d/e/alone", []byte("content"), 0o644))
	must(t, os.Symlink("to", root+"/l"))
	must(t, unix.Mkfifo(root+"/p", 0o600))
	for _, name := range []string{"f", "d/g", "d/bad\xff\nname", "d/e/alone", "p", "d/e", "d", "."} {
		must(t, os.Chtimes(filepath.Join(root, name), at, at))
	}
	ts := unix.NsecToTimespec(at.UnixNano())
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, root+"/l", []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	must(t, os.Chtimes(root, at, at))
}

func TestDiff(t *testing.T) {
	later := time.Unix(1700000000, 123456790)
	cases := map[string]struct {
		change func(t *testing.T, root string)
		want   string // a part of the only line that is not a parent's mtime
		root   bool   // needs root
	}{
		"none":      {func(*testing.T, string) {}, "", false},
		"content":   {func(t *testing.T, r string) { put(t, r+"/d/g", "kontent") }, `"d/g": content of the same size`, false},
		"size":      {func(t *testing.T, r string) { put(t, r+"/d/g", "longer content") }, `"d/g": size 14, want 7`, false},
		"mode":      {func(t *testing.T, r string) { must(t, os.Chmod(r+"/d/g", 0o4755)) }, `"d/g": mode`, false},
		"mtime":     {func(t *testing.T, r string) { must(t, os.Chtimes(r+"/d/g", later, later)) }, `mtime 1700000000.123456790, want 1700000000.123456789`, false},
		"owner":     {func(t *testing.T, r string) { must(t, os.Chown(r+"/d/g", 12345, 54321)) }, `uid 12345, want 0, gid 54321, want 0`, true},
		"kind":      {func(t *testing.T, r string) { must(t, os.Remove(r+"/d/g")); must(t, os.Mkdir(r+"/d/g", 0o755)) }, `"d/g": is a directory 0755, want a file 0644`, false},
		"missing":   {func(t *testing.T, r string) { must(t, os.Remove(r+"/p")) }, `"p": missing (want fifo 0600)`, false},
		"too many":  {func(t *testing.T, r string) { put(t, r+"/z", "") }, `"z": should not be there`, false},
		"link":      {func(t *testing.T, r string) { must(t, os.Remove(r+"/l")); must(t, os.Symlink("2", r+"/l")) }, `"l": `, false},
		"hard link": {func(t *testing.T, r string) { must(t, os.Remove(r+"/d/h")); put(t, r+"/d/h", "content") }, `hard links`, false},
		"odd name":  {func(t *testing.T, r string) { must(t, os.Remove(r+"/d/bad\xff\nname")) }, `"d/bad\xff\nname": missing`, false},
		"xattr":     {func(t *testing.T, r string) { must(t, unix.Setxattr(r+"/d/g", "user.a", []byte("1"), 0)) }, `xattrs "user.a"=31`, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.root {
				testenv.NeedRoot(t)
			}
			a, b := t.TempDir(), t.TempDir()
			plant(t, a)
			plant(t, b)
			c.change(t, b)
			got, err := Equal(a, b, Options{NoRoot: true})
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(got, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("got:\n%s\nwant a line with %q", all, c.want)
			}
		})
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	at := time.Unix(1700000000, 123456789)
	must(t, os.WriteFile(path, []byte(text), 0o644))
	must(t, os.Chtimes(path, at, at))
}

func TestSkipAndLimit(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	plant(t, a)
	got, err := Equal(a, b, Options{NoRoot: true, Skip: func(rel string, kind uint32) bool { return kind == unix.S_IFIFO || rel == "d" }})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 { // f and l
		t.Errorf("got %q", got)
	}
	w, err := Read(a, Options{})
	must(t, err)
	if d := Diff(w, Tree{}, 3); len(d) != 4 || !strings.HasPrefix(d[3], "… and ") {
		t.Errorf("got %q", d)
	}
}

// A path beyond PATH_MAX can only be reached step by step.
func TestDeep(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, root := range []string{a, b} {
		fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err)
		for range 25 {
			name := strings.Repeat("x", 250)
			must(t, unix.Mkdirat(fd, name, 0o755))
			next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			must(t, err)
			must(t, unix.Close(fd))
			fd = next
		}
		if root == a {
			must(t, unix.Mkdirat(fd, "only here", 0o755))
		}
		must(t, unix.Close(fd))
	}
	w, err := Read(a, Options{NoRoot: true})
	must(t, err)
	g, err := Read(b, Options{NoRoot: true})
	must(t, err)
	if got := Diff(w, g, 100); !strings.Contains(strings.Join(got, "\n"), `only here": missing`) {
		t.Errorf("got %q", got)
	}
}
