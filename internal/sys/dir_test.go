package sys

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func c(s string) []byte { return append([]byte(s), 0) }

func dir(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	})
	return fd
}

func TestOpenat2AndStatx(t *testing.T) {
	at := t.TempDir()
	if err := os.MkdirAll(filepath.Join(at, "a/b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(at, "l")); err != nil {
		t.Fatal(err)
	}
	root := dir(t, at)
	const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS
	for path, want := range map[string]unix.Errno{
		"a/b": 0, "a/none": unix.ENOENT, "l/b": unix.ELOOP, "l": unix.ELOOP, "..": unix.EXDEV, "/etc": unix.EXDEV, "": unix.ENOENT,
	} {
		fd, e := Openat2(root, c(path), unix.O_PATH, resolve)
		if e != want || (fd >= 0) != (want == 0) {
			t.Errorf("%q: %d, %v, want %v", path, fd, e, want)
		}
		if fd < 0 {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%q would be inherited: %v", path, err)
		}
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	var st unix.Statx_t
	if e := Statx(root, c("l"), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE, &st); e != 0 || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("%v %#o", e, st.Mode)
	}
	if e := Statx(root, c(""), unix.AT_EMPTY_PATH, unix.STATX_TYPE, &st); e != 0 || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		t.Errorf("%v %#o", e, st.Mode)
	}
}

func TestPathsMustBeTerminated(t *testing.T) {
	var st unix.Statx_t
	for _, path := range [][]byte{nil, []byte("a")} {
		if _, e := Openat2(unix.AT_FDCWD, path, unix.O_PATH, 0); e != unix.EINVAL {
			t.Errorf("openat2 %q: %v", path, e)
		}
		if e := Statx(unix.AT_FDCWD, path, 0, unix.STATX_TYPE, &st); e != unix.EINVAL {
			t.Errorf("statx %q: %v", path, e)
		}
		if _, e := InotifyAddWatch(-1, path, 0); e != unix.EINVAL {
			t.Errorf("inotify_add_watch %q: %v", path, e)
		}
	}
}

// TestDirents lists names of every length, in reads of a small buffer.
func TestDirents(t *testing.T) {
	at := t.TempDir()
	want := map[string]bool{}
	for n := 1; n <= 255; n++ {
		name := strings.Repeat("x", n)
		if err := os.WriteFile(filepath.Join(at, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want[name] = true
	}
	fd := dir(t, at)
	buf := make([]byte, 1024)
	for {
		n, e := Getdents(fd, buf)
		if e != 0 {
			t.Fatal(e)
		}
		if n == 0 {
			break
		}
		for name, kind := range Dirents(buf[:n]) {
			if name == nil || kind != unix.DT_REG && kind != unix.DT_UNKNOWN {
				t.Fatalf("%q of type %d", name, kind)
			}
			s := string(name[:len(name)-1])
			if !want[s] {
				t.Fatalf("%q twice or from nowhere", s)
			}
			delete(want, s)
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

func FuzzDirents(f *testing.F) {
	good := make([]byte, 24)
	good[16] = 24
	good[19] = 'a'
	f.Add(good)
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		total, failed := 0, false
		for name := range Dirents(b) {
			if failed {
				t.Fatalf("%q behind a record that is not whole", name)
			}
			if failed = name == nil; failed {
				continue
			}
			if strings.IndexByte(string(name), 0) != len(name)-1 || string(name) == ".\x00" || string(name) == "..\x00" {
				t.Fatalf("%q is no name", name)
			}
			total += atName + len(name)
		}
		if total > len(b) {
			t.Fatalf("%d bytes of %d", total, len(b))
		}
	})
}

// TestWatchByDescriptor: fchdir and "." on a thread with a working directory of
// its own watch what is open, and the rest of the process stays where it is.
func TestWatchByDescriptor(t *testing.T) {
	at := t.TempDir()
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	fd := dir(t, at)
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inotify)
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its goroutine
		result <- func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			if e := Fchdir(fd); e != 0 {
				return e
			}
			wd, e := InotifyAddWatch(inotify, c("."), unix.IN_CREATE|unix.IN_ONLYDIR)
			if e != 0 || wd < 1 {
				return fmt.Errorf("watch %d: %w", wd, e)
			}
			return nil
		}()
	}()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if after, err := os.Getwd(); err != nil || after != before {
		t.Errorf("the process went to %s, %v", after, err)
	}
	if err := os.WriteFile(filepath.Join(at, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	n, err := unix.Read(inotify, buf)
	if err != nil || !strings.Contains(string(buf[:n]), "new") {
		t.Errorf("%q %v", buf[:max(n, 0)], err)
	}
	if e := Fchdir(-1); e != unix.EBADF {
		t.Errorf("%v", e)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	root := dir(t, t.TempDir())
	path := c(".")
	var st unix.Statx_t
	if n := testing.AllocsPerRun(100, func() {
		if e := Statx(root, path, 0, unix.STATX_TYPE, &st); e != 0 {
			t.Fatal(e)
		}
		fd, e := Openat2(root, path, unix.O_PATH, 0)
		if e != 0 {
			t.Fatal(e)
		}
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
