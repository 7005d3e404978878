//go:build mutants

package mutants

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// limit is how long a planted bug may keep its tests running: without it, they take
// some seconds.
const limit = time.Minute

// copies is how many mutants are looked at beside each other, each in a copy of its
// own: some of their tests wait for an answer that never comes.
const copies = 3

// TestScore plants every mutant in a copy of the source and runs the tests that
// are to notice it, which are green without it.
func TestScore(t *testing.T) {
	free := make(chan string, copies)
	for i := range copies {
		dir := filepath.Join(t.TempDir(), fmt.Sprint("copy", i))
		if err := os.CopyFS(dir, sources(t)); err != nil {
			t.Fatal(err)
		}
		free <- dir
	}
	all, begin := table(t), time.Now()
	sets := map[string]Mutant{}
	for _, m := range all {
		sets[m.Package+" "+m.Tests] = m
	}
	green := each(slices.Collect(maps.Values(sets)), free, func(dir string, m Mutant) verdict {
		out, err := tests(t, dir, m)
		return verdict{err == nil, fmt.Sprintf("%s %s is red without a bug: %v\n%s", m.Package, m.Tests, err, out)}
	})
	for _, v := range green {
		if !v.good {
			t.Error(v.text)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	t.Logf("%d sets of tests are green without a bug, after %.0f s", len(green), time.Since(begin).Seconds())
	noticed := 0
	for _, v := range each(all, free, func(dir string, m Mutant) verdict { return one(t, dir, m) }) {
		if v.good {
			noticed++
			t.Log(v.text)
			continue
		}
		t.Error(v.text)
	}
	t.Logf("%d of %d mutants were noticed, after %.0f s", noticed, len(all), time.Since(begin).Seconds())
}

// verdict is what came of a mutant, or of tests without one.
type verdict struct {
	good bool
	text string
}

// each looks at mutants, as many beside each other as there are copies.
func each(all []Mutant, free chan string, look func(dir string, m Mutant) verdict) []verdict {
	out := make([]verdict, len(all))
	var wait sync.WaitGroup
	for i, m := range all {
		dir := <-free
		wait.Go(func() {
			out[i] = look(dir, m)
			free <- dir
		})
	}
	wait.Wait()
	return out
}

// one plants a mutant, and says whether its tests notice it.
func one(t *testing.T, dir string, m Mutant) verdict {
	path := filepath.Join(dir, m.File)
	source, err := os.ReadFile(path)
	if err != nil {
		return verdict{text: err.Error()}
	}
	broken, err := m.Apply(string(source))
	if err != nil {
		return verdict{text: fmt.Sprintf("%s: %v", m.What, err)}
	}
	if err := os.WriteFile(path, []byte(broken), 0o644); err != nil {
		return verdict{text: err.Error()}
	}
	defer func() {
		if err := os.WriteFile(path, source, 0o644); err != nil {
			t.Error(err)
		}
	}()
	begin := time.Now()
	out, err := tests(t, dir, m)
	switch {
	case err == nil:
		return verdict{text: fmt.Sprintf("%s: %s %s do not notice", m.What, m.Package, m.Tests)}
	case errors.Is(err, errBuild):
		return verdict{text: fmt.Sprintf("%s: it does not compile:\n%s", m.What, out)}
	case errors.Is(err, errNone):
		return verdict{text: out}
	}
	return verdict{true, fmt.Sprintf("noticed: %-60s %s, %.0f s in all", m.What, firstFailure(out), time.Since(begin).Seconds())}
}

var errBuild, errNone = errors.New("build"), errors.New("no tests")

// tests builds a package's tests and runs those that are named, in its directory.
func tests(t *testing.T, dir string, m Mutant) (string, error) {
	t.Helper()
	binary := filepath.Join(dir, "mutant.test")
	builds := [][]string{{"go", "test", "-vet=off", "-tags", "escape,hostile", "-c", "-o", binary, m.Package}}
	if m.Package == "./test/hostile" { // which runs what is installed
		builds = append(builds, []string{"make", "build"})
	}
	for _, words := range builds {
		build := exec.Command(words[0], words[1:]...)
		build.Dir = dir
		if out, err := build.CombinedOutput(); err != nil {
			return string(out), errBuild
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit) // what hears of no time-out is killed
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.v", "-test.count=1", "-test.failfast", "-test.timeout="+limit.String(), "-test.run=^("+m.Tests+")$")
	run.Dir, run.WaitDelay = filepath.Join(dir, m.Package), time.Second
	out, err := run.CombinedOutput()
	if err == nil && !strings.Contains(string(out), "--- PASS") {
		return fmt.Sprintf("%s: there are no tests %s", m.Package, m.Tests), errNone
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
