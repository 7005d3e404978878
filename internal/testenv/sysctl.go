package testenv

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// alone keeps other runs of the tests on the machine from changing kernel
// variables at the same time: each would restore what the other one has set.
func alone(t testing.TB) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile("/run/lockstep-e2e.lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// SetSysctl sets a kernel variable until restore is called. No other test can set
// one meanwhile.
func SetSysctl(t testing.TB, name, value string) (restore func()) {
	t.Helper()
	NeedRoot(t)
	unlock := alone(t)
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	before, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(value), 0o644)
	}
	if err != nil {
		unlock()
		Lacks(t, fmt.Sprintf("%s cannot be set here: %v", name, err))
	}
	return func() {
		defer unlock()
		if err := os.WriteFile(path, before, 0o644); err != nil {
			t.Errorf("%s was not restored to %s: %v", name, strings.TrimSpace(string(before)), err)
		}
	}
}
