//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

// TestScripts runs testdata/*.txt. A script is shell, run in the source with
// SRC, DST and OUT (a directory outside, on the same file system) set, cut by
// lines that say "sync": there the target must become equal. What stands
// before the first sync is there before the mirror starts; what stands after
// the last one checks.
func TestScripts(t *testing.T) {
	beside(t)
	scripts(t, 1, func(t *testing.T) *mirror { return newMirror(t) })
}

// scripts runs every so many of them, each with a mirror of its own.
func scripts(t *testing.T, every int, prepare func(t *testing.T) *mirror) {
	t.Helper()
	for _, tool := range []string{"setfacl", "setfattr"} {
		testenv.NeedTool(t, tool)
	}
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for i, path := range paths {
		if i%every != 0 {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			beside(t)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			script(t, prepare(t), string(text))
		})
	}
}

func script(t *testing.T, m *mirror, text string) {
	out := t.TempDir()
	steps := strings.Split("\n"+text, "\nsync\n")
	for i, step := range steps {
		shell(t, m, out, step)
		switch i {
		case len(steps) - 1:
		case 0:
			m.start().ready()
		default:
			t.Logf("sync %d: equal after %v", i, m.equal())
		}
	}
	m.stop()
}

// shell runs a piece of a script in the source.
func shell(t *testing.T, m *mirror, outside, text string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-eu")
	cmd.Stdin = strings.NewReader(text)
	cmd.Dir = m.src
	cmd.Env = append(os.Environ(), "SRC="+m.src, "DST="+m.dst, "OUT="+outside, "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("script: %v\n%s\n%s", err, text, out)
	}
}
