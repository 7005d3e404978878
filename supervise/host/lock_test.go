package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

func TestLockRuntime(t *testing.T) {
	testenv.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "run", "mirror-x")
	lock, err := LockRuntime(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockRuntime(dir); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Errorf("a second lock: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
	// What a killed supervisor left is no obstacle.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lock"), []byte("999999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := LockRuntime(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}

func TestLockTarget(t *testing.T) {
	testenv.NeedRoot(t)
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := LockTarget(path, "/b")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("target /b: is in use by another lockstep (pid %d); stop that one, or name another target", os.Getpid())
	if _, err := LockTarget(path, "/b"); err == nil || err.Error() != want {
		t.Errorf("a second lock: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if lock, err = LockTarget(path, "/b"); err != nil {
		t.Fatal(err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

func TestLockRuntimeRefuses(t *testing.T) {
	testenv.NeedRoot(t)
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"open": func(p string) error {
			if err := os.Mkdir(p, 0o700); err != nil {
				return err
			}
			return os.Chmod(p, 0o777)
		},
		"link": func(p string) error { return os.Symlink(dir, p) },
		"file": func(p string) error { return os.WriteFile(p, nil, 0o600) },
	} {
		path := filepath.Join(dir, name)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if lock, err := LockRuntime(path); err == nil {
			t.Errorf("%s: %v", name, lock)
		}
	}
}
