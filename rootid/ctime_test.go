package rootid

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// ctime of what is at a path, which is no link's target.
func ctime(t *testing.T, path string) unix.Timespec {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ctim
}

// What the first pass beside the first walk relies on, of the file systems of
// which it does: whatever is done to a name sets the time of the directory in
// which it is, and of what it names.
func TestKeepsCtime(t *testing.T) {
	tried := 0
	for _, parent := range []string{t.TempDir(), "/dev/shm"} {
		dir, err := os.MkdirTemp(parent, "ctime")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
		id, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !id.KeepsCtime() {
			t.Logf("%s is on %s, of which nothing is assumed", parent, FSName(id.Magic))
			continue
		}
		tried++
		t.Run(FSName(id.Magic), func(t *testing.T) { keepsCtime(t, dir) })
	}
	if tried == 0 {
		testenv.Lacks(t, "neither the directory of temporary files nor /dev/shm is on ext4 or tmpfs")
	}
}

func keepsCtime(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/dir/below", "a/dir2", "b/dir", "b/dir2"} {
		must(os.MkdirAll(at(name), 0o700))
	}
	for _, name := range []string{"a/file", "a/file2", "b/file", "b/file2"} {
		must(os.WriteFile(at(name), []byte("x"), 0o600))
	}
	exchange := func(x, y string) error {
		return unix.Renameat2(unix.AT_FDCWD, at(x), unix.AT_FDCWD, at(y), unix.RENAME_EXCHANGE)
	}
	for _, c := range []struct {
		what  string
		do    func() error
		late  []string
		early []string // to show that the clock's tick alone changes nothing
	}{
		{"write", func() error { return os.WriteFile(at("a/file"), []byte("y"), 0o600) }, []string{"a/file"}, []string{"a", "b/file"}},
		{"chmod", func() error { return os.Chmod(at("a/file"), 0o640) }, []string{"a/file"}, []string{"a"}},
		{"times", func() error { return os.Chtimes(at("a/file"), time.Unix(1, 0), time.Unix(1, 0)) }, []string{"a/file"}, []string{"a"}},
		{"attribute", func() error { return unix.Setxattr(at("a/file"), "user.a", []byte("b"), 0) }, []string{"a/file"}, []string{"a"}},
		{"create", func() error { return os.WriteFile(at("a/new"), nil, 0o600) }, []string{"a", "a/new"}, []string{"a/file"}},
		{"link", func() error { return os.Link(at("a/file"), at("b/link")) }, []string{"b", "a/file", "b/link"}, []string{"a"}},
		{"unlink", func() error { return os.Remove(at("b/link")) }, []string{"b", "a/file"}, []string{"a"}},
		{"rename a file", func() error { return os.Rename(at("a/new"), at("a/newer")) }, []string{"a", "a/newer"}, []string{"a/file"}},
		{"move a file", func() error { return os.Rename(at("a/newer"), at("b/newer")) }, []string{"a", "b", "b/newer"}, []string{"a/file"}},
		{"rename a directory", func() error { return os.Rename(at("a/dir"), at("a/dir3")) }, []string{"a", "a/dir3"}, []string{"a/file"}},
		{"move a directory", func() error { return os.Rename(at("a/dir3"), at("b/dir3")) }, []string{"a", "b", "b/dir3"}, []string{"a/file"}},
		{"exchange files", func() error { return exchange("a/file", "a/file2") }, []string{"a", "a/file", "a/file2"}, []string{"b"}},
		{"exchange directories", func() error { return exchange("b/dir", "b/dir2") }, []string{"b", "b/dir", "b/dir2"}, []string{"a"}},
		{"exchange file and directory", func() error { return exchange("a/file", "b/dir") }, []string{"a", "b", "a/file", "b/dir"}, []string{"a/file2"}},
		{"replace", func() error { return os.Rename(at("b/file"), at("b/file2")) }, []string{"b", "b/file2"}, []string{"a"}},
		{"rmdir", func() error { return os.Remove(at("a/dir2")) }, []string{"a"}, []string{"b"}},
	} {
		before, now := map[string]unix.Timespec{}, tick(t, dir+".mark")
		for _, name := range c.early {
			before[name] = ctime(t, at(name))
		}
		if err := c.do(); errors.Is(err, unix.ENOTSUP) {
			t.Logf("%s: not supported here", c.what)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for _, name := range c.late {
			if got := ctime(t, at(name)); got.Nano() < now.Nano() {
				t.Errorf("%s: %s has a time of %v before it", c.what, name, time.Duration(now.Nano()-got.Nano()))
			}
		}
		for _, name := range c.early {
			if ctime(t, at(name)) != before[name] {
				t.Errorf("%s: %s has a new time as well", c.what, name)
			}
		}
	}
}

// tick waits until the file system's clock has gone on, and returns what it says.
func tick(t *testing.T, mark string) unix.Timespec {
	t.Helper()
	var first unix.Timespec
	for {
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		now := ctime(t, mark)
		if err := os.Remove(mark); err != nil {
			t.Fatal(err)
		}
		switch {
		case first.Nano() == 0:
			first = now
		case now.Nano() > first.Nano():
			return now
		}
	}
}
