package memfd

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// refuseChange checks that no descriptor can change the file.
func refuseChange(t *testing.T, f *os.File) {
	t.Helper()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("write: %v, want EPERM", err)
	}
	if err := f.Truncate(0); !errors.Is(err, unix.EPERM) {
		t.Errorf("shrink: %v, want EPERM", err)
	}
	if err := f.Truncate(1 << 20); !errors.Is(err, unix.EPERM) {
		t.Errorf("grow: %v, want EPERM", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); !errors.Is(err, unix.EPERM) {
		t.Errorf("more seals: %v, want EPERM", err)
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v: want close-on-exec", flags, err)
	}
}

func TestSealed(t *testing.T) {
	f, err := Sealed("test", []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(f)
	if err != nil || string(got) != "hello" {
		t.Fatalf("read %q, %v", got, err)
	}
	refuseChange(t, f)
}

func TestSealedEmpty(t *testing.T) {
	f, err := Sealed("empty", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("write: %v, want EPERM", err)
	}
}

func TestImageRuns(t *testing.T) {
	path, err := exec.LookPath("true")
	if err != nil {
		testenv.Lacks(t, "no true on PATH")
	}
	src, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := src.Seek(10, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	f, err := Image("true", src)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	refuseChange(t, f)
	if err := exec.Command("/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(f.Fd()))).Run(); err != nil {
		t.Fatalf("the image does not run: %v", err)
	}
}

func TestImageRefuses(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := Image("dir", dir); err == nil {
		t.Error("a directory became an image")
	}
	empty, err := os.Create(filepath.Join(t.TempDir(), "empty"))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if _, err := Image("empty", empty); err == nil {
		t.Error("an empty file became an image")
	}
}
