// Package testenv says what a test needs of the machine it runs on.
//
// Trust: linked into tests only.
//
// Invariant: what is missing is said loudly, and is a failure where
// LOCKSTEP_CI=1 promises a complete machine: a skip is never a pass.
package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
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

// Small says that the run is one of many, as of each change: LOCKSTEP_SCALE=small. A
// test that takes long does less then.
func Small() bool { return os.Getenv("LOCKSTEP_SCALE") == "small" }

// Seeds runs test for many seeds: those of SIM_SEEDS=FROM:COUNT, the one of
// SIM_SEEDS=SEED, which is alone, or so many from 0 on, an eighth of them with
// -short. It returns their number; the first one that fails is the last.
func Seeds(t *testing.T, usual uint64, test func(t *testing.T, seed uint64, alone bool)) (count uint64) {
	t.Helper()
	from, count := uint64(0), usual
	if testing.Short() {
		count /= 8
	}
	if value := os.Getenv("SIM_SEEDS"); value != "" {
		first, rest, many := strings.Cut(value, ":")
		if !many {
			rest = "1"
		}
		var errs [2]error
		from, errs[0] = strconv.ParseUint(first, 10, 64)
		count, errs[1] = strconv.ParseUint(rest, 10, 64)
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatalf("environment variable SIM_SEEDS: %v", err)
		}
	}
	t.Logf("%d seeds from %d", count, from)
	for seed := from; seed < from+count; seed++ {
		if !t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { test(t, seed, count == 1) }) {
			t.Fatalf("seed %d fails; SIM_SEEDS=%d shows how", seed, seed)
		}
	}
	return count
}
