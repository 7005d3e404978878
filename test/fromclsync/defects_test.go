package fromclsync

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// defect is a thing that clsync 0.4.5 does wrong, as found by running it or by
// reading it, and what becomes of it here.
type defect struct {
	number int
	was    string // what clsync does
	is     string // what lockstep does

	shown func(*testing.T)
	// by are tests that are elsewhere: "directory TestName", or with a third word
	// the file below that directory which the test runs.
	by []string
	// lacks are words of a command line that lockstep refuses, for what they ask
	// for is not built yet.
	lacks []string
}

// status is a word for the table.
func (d defect) status() string {
	switch {
	case len(d.lacks) > 0:
		return "not built yet"
	case d.shown != nil && len(d.by) > 0:
		return "tested here and elsewhere"
	case d.shown != nil:
		return "tested here"
	}
	return "tested elsewhere"
}

// proofs name what shows it.
func (d defect) proofs() []string {
	var out []string
	if d.shown != nil {
		out = append(out, fmt.Sprintf("test/fromclsync TestDefects/%02d", d.number))
	}
	out = append(out, d.by...)
	for _, words := range d.lacks {
		out = append(out, "refused: "+words)
	}
	return out
}

// Each defect that is known of clsync 0.4.5 is absent here, as a test shows, or is
// of a part that is not built yet, and refused. With -v the table is printed.
func TestDefects(t *testing.T) {
	tests := map[string]map[string]bool{}
	for i, d := range defects() {
		if d.number != i+1 {
			t.Errorf("defect %d is the %dth", d.number, i+1)
		}
		if d.was == "" || d.is == "" || len(d.proofs()) == 0 {
			t.Errorf("defect %d: nothing is said of it, or nothing shows it", d.number)
		}
		t.Run(fmt.Sprintf("%02d", d.number), func(t *testing.T) {
			t.Logf("%s\n   clsync:   %s\n   lockstep: %s\n   %s", d.status(), d.was, d.is, strings.Join(d.proofs(), "\n   "))
			for _, pointer := range d.by {
				exists(t, tests, pointer)
			}
			for _, words := range d.lacks {
				option, _, _ := strings.Cut(words, "=")
				refused(t, nil, option+": ", least("-S", "/usr/bin/rsync", words)...)
			}
			if d.shown != nil {
				d.shown(t)
			}
		})
	}
	if n := len(defects()); n != 34 {
		t.Errorf("%d defects are known, not 34", n)
	}
}

// exists wants the test that a pointer names to be there.
func exists(t *testing.T, known map[string]map[string]bool, pointer string) {
	t.Helper()
	words := strings.Fields(pointer)
	if len(words) != 2 && len(words) != 3 {
		t.Fatalf("%q is no pointer", pointer)
	}
	if known[words[0]] == nil {
		known[words[0]] = testsIn(t, at(words[0]))
	}
	if !known[words[0]][words[1]] {
		t.Errorf("there is no test %s in %s", words[1], words[0])
	}
	if len(words) == 3 {
		if _, err := os.Stat(at(words[0], words[2])); err != nil {
			t.Errorf("%s runs no such file: %v", words[1], err)
		}
	}
}

// testsIn are the tests in a directory, whatever their build tags.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s has no tests: %v", dir, err)
	}
	names := map[string]bool{}
	for _, path := range paths {
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") && len(fn.Type.Params.List) == 1 && fn.Body != nil && len(fn.Body.List) > 0 {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}

// A pointer to a test that is not there is found.
func TestPointersAreChecked(t *testing.T) {
	names := testsIn(t, ".")
	if !names["TestDefects"] || names["TestNothing"] || names["testsIn"] {
		t.Errorf("%v", names)
	}
}
