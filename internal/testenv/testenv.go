// Package testenv says what a test needs of the machine it runs on.
//
// Trust: linked into tests only.
//
// Invariant: what is missing is said loudly, and is a failure where
// LOCKSTEP_CI=1 promises a complete machine: a skip is never a pass.
package testenv

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// NeedRoot skips t unless it runs as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lacks(t, "this test needs root")
	}
}

// NeedTool skips t unless a program of that name is on PATH, and returns its
// path.
func NeedTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lacks(t, "this test needs "+name+"; run: make deps")
	}
	return path
}

// Lacks skips t, or fails it where LOCKSTEP_CI=1 says that nothing is missing.
func Lacks(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("LOCKSTEP_CI") == "1" {
		t.Fatalf("LOCKSTEP_CI=1 forbids a skip: %s", why)
	}
	t.Skip("SKIPPED: " + why)
}

// Number is the number in the environment variable of that name, in decimal or as
// Go writes it; instead, where there is none.
func Number(t testing.TB, name string, instead uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return instead
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		t.Fatalf("environment variable %s: %v", name, err)
	}
	return n
}
