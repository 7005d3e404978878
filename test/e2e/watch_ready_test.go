//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/test/churn"
)

// readyDirs are in the tree that nobody walks.
const readyDirs = 20_000

// wideTree makes directories, two levels deep, and a file in every tenth.
func wideTree(t *testing.T, root string, n int) {
	t.Helper()
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("p%03d", i/100), fmt.Sprintf("d%02d", i%100))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			write(t, dir+"/f", "x")
		}
	}
}

// namesOf is what a reader knows who looked before.
func namesOf(t *testing.T, root string) *names {
	t.Helper()
	n := newNames()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if rel := strings.TrimPrefix(strings.TrimPrefix(path, root), "/"); err == nil && rel != "" {
			n.types[rel] = map[bool]string{true: "dir", false: "file"}[d.IsDir()]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// unwalked makes one change somewhere in the tree: of files, of directories whose
// content nobody has listed, over the border of the root, from one type to
// another.
func unwalked(root, outside string, r *rand.Rand) error {
	pick := func() string {
		return filepath.Join(root, fmt.Sprintf("p%03d", r.IntN(readyDirs/100)), fmt.Sprintf("d%02d", r.IntN(100)))
	}
	path := pick()
	switch p := r.IntN(100); {
	case p < 25:
		return os.WriteFile(path+"/f", churn.Text(r, 20), 0o644)
	case p < 35:
		return os.Rename(path+"/f", pick()+"/g")
	case p < 45:
		return os.MkdirAll(path+"/new/below", 0o755)
	case p < 55:
		return os.RemoveAll(path)
	case p < 70:
		return os.Rename(path, pick()+"/moved")
	case p < 80: // with all that is in it
		return os.Rename(filepath.Dir(path), filepath.Join(outside, filepath.Base(filepath.Dir(path))))
	case p < 90:
		name := fmt.Sprintf("p%03d", r.IntN(readyDirs/100))
		return os.Rename(filepath.Join(outside, name), filepath.Join(root, name))
	default: // a file for a directory
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return os.WriteFile(path, []byte("x"), 0o644)
	}
}

// With fanotify a watch is ready without having counted a directory; and who has
// looked at the tree before, and applies the lines from then on, has what is there.
func TestWatchReadyUnwalked(t *testing.T) {
	beside(t)
	for seed := range uint64(min(scaled().churnSeeds, 3)) {
		dir, outside := t.TempDir(), t.TempDir()
		wideTree(t, dir, readyDirs)
		n := namesOf(t, dir)
		before := len(n.types)
		began := time.Now()
		s := spyOn(t, dir, "--format", "json", "--monitor", "fanotify", "--stats")
		took := time.Since(began)
		err := churn.Parallel(3, func(w int) error {
			r := churn.Rand(seed, 400+uint64(w))
			for range 700 {
				err := unwalked(s.src, outside, r)
				var errno syscall.Errno
				if err != nil && !errors.As(err, &errno) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.still(limit)
		lines := s.sync(1)
		for _, line := range lines {
			n.line(t, line)
		}
		compared := n.compare(t, s.src)
		t.Logf("seed %d: ready after %v; %d names before; %d lines, %d names compared, %d subtrees to be looked at, %d lines that none can be about",
			seed, took.Round(time.Millisecond), before, len(lines), compared, len(n.doubts), len(n.strange))
		if compared < before/4 {
			t.Errorf("only %d of %d names could be compared", compared, before)
		}
		s.stop()
		if !slices.ContainsFunc(s.lines, func(line string) bool {
			return strings.Contains(line, `"op":"stats"`) && strings.Contains(line, `"dirs":0,`)
		}) {
			t.Error("the tree was walked: directories were counted")
		}
	}
}
