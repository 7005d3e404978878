//go:build mutants

package mutants

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// limit is how long a planted bug may keep its tests running.
const limit = 5 * time.Minute

// TestScore plants every mutant in a copy of the source and runs the tests that
// are to notice it, which are green without it.
func TestScore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, sources(t)); err != nil {
		t.Fatal(err)
	}
	all, noticed, begin := table(t), 0, time.Now()
	green := map[string]bool{}
	for _, m := range all {
		key := m.Package + " " + m.Tests
		if green[key] {
			continue
		}
		green[key] = true
		if out, err := tests(t, dir, m); err != nil {
			t.Fatalf("%s is red without a bug: %v\n%s", key, err, out)
		}
	}
	t.Logf("%d sets of tests are green without a bug, after %.0f s", len(green), time.Since(begin).Seconds())
	for _, m := range all {
		if one(t, dir, m) {
			noticed++
		}
	}
	t.Logf("%d of %d mutants were noticed, after %.0f s", noticed, len(all), time.Since(begin).Seconds())
}

// one plants a mutant, and says whether its tests notice it.
func one(t *testing.T, dir string, m Mutant) bool {
	path := filepath.Join(dir, m.File)
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken, err := m.Apply(string(source))
	if err != nil {
		t.Fatalf("%s: %v", m.What, err)
	}
	if err := os.WriteFile(path, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(path, source, 0o644); err != nil {
			t.Fatal(err)
		}
	}()
	out, err := tests(t, dir, m)
	switch {
	case err == nil:
		t.Errorf("%s: %s %s do not notice", m.What, m.Package, m.Tests)
		return false
	case errors.Is(err, errBuild):
		t.Errorf("%s: it does not compile:\n%s", m.What, out)
		return false
	}
	t.Logf("noticed: %-60s %s", m.What, firstFailure(out))
	return true
}

var errBuild = errors.New("build")

// tests builds a package's tests and runs those that are named, in its directory.
func tests(t *testing.T, dir string, m Mutant) (string, error) {
	t.Helper()
	binary := filepath.Join(dir, "mutant.test")
	build := exec.Command("go", "test", "-vet=off", "-c", "-o", binary, m.Package)
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return string(out), errBuild
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.v", "-test.count=1", "-test.timeout=4m", "-test.run=^("+m.Tests+")$")
	run.Dir, run.WaitDelay = filepath.Join(dir, m.Package), time.Second
	out, err := run.CombinedOutput()
	if err == nil && !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%s: there are no tests %s", m.Package, m.Tests)
	}
	return string(out), err
}

// firstFailure is the first test that failed.
func firstFailure(out string) string {
	for line := range strings.Lines(out) {
		if name, failed := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); failed {
			return name
		}
	}
	return "the tests did not end well"
}

// sources is the module's source, without what was built.
func sources(t *testing.T) fs.FS {
	t.Helper()
	return source{os.DirFS("../..")}
}

// source hides what is no source.
type source struct{ fs.FS }

func (s source) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool {
		return name == "." && (e.Name() == "bin" || e.Name() == ".git")
	}), err
}
