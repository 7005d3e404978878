package layers

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// names are what the source declares: "T.Method", "pkg.Name", and tests.
func names(t *testing.T) (declared map[string]bool, tests map[string]bool) {
	t.Helper()
	_, files := sources(t)
	declared, tests = map[string]bool{}, map[string]bool{}
	for _, f := range files {
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				switch {
				case d.Recv != nil:
					declared[receiver(d.Recv.List[0].Type)+"."+d.Name.Name] = true
				case f.test:
					tests[d.Name.Name] = true
				default:
					declared[f.ast.Name.Name+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						declared[f.ast.Name.Name+"."+s.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range s.Names {
							declared[f.ast.Name.Name+"."+n.Name] = true
						}
					}
				}
			}
		}
	}
	return declared, tests
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr:
		return receiver(e.X)
	}
	return ""
}

// Every method, function and file that ARCHITECTURE.md names exists.
func TestArchitectureNamesExist(t *testing.T) {
	text := read(t, "ARCHITECTURE.md")
	declared, _ := names(t)
	packages := map[string]bool{}
	for _, p := range list(t, nil, "./...") {
		packages[p.Name] = true
	}
	found := 0
	for _, m := range regexp.MustCompile(`\(\*?(\w+)\)\.(\w+)`).FindAllStringSubmatch(text, -1) {
		found++
		if !declared[m[1]+"."+m[2]] {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", m[0])
		}
	}
	for _, m := range regexp.MustCompile("`(\\w+)\\.([A-Za-z]\\w+)`").FindAllStringSubmatch(text, -1) {
		if !packages[m[1]] {
			continue // a file or a system call, not ours
		}
		found++
		if !declared[m[1]+"."+m[2]] {
			t.Errorf("ARCHITECTURE.md names %s.%s, which does not exist", m[1], m[2])
		}
	}
	for _, path := range regexp.MustCompile(`\b(?:cmd|worker|privileged|ipc|docs|supervise|sandbox|runner|monitor|internal|test)/[\w./-]+\.(?:go|md)\b`).FindAllString(text, -1) {
		found++
		if _, err := os.Stat(filepath.Join(top, path)); err != nil {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", path)
		}
	}
	if found < 10 {
		t.Errorf("only %d names found in ARCHITECTURE.md: has its form changed?", found)
	}
}

// Every guarantee has a test, and every test of a guarantee (TestG…) is in the
// table.
func TestGuaranteesAreProven(t *testing.T) {
	_, tests := names(t)
	row := regexp.MustCompile(`(?m)^\| *(G[0-9]+) *\|([^|]*)\|([^|]*)\|`)
	named := map[string]bool{}
	var ids []string
	for _, m := range row.FindAllStringSubmatch(read(t, "SECURITY.md"), -1) {
		if slices.Contains(ids, m[1]) {
			t.Errorf("two rows are called %s", m[1])
		}
		ids = append(ids, m[1])
		proofs := regexp.MustCompile(`\b(?:Test|Fuzz)\w+`).FindAllString(m[3], -1)
		if len(proofs) == 0 {
			t.Errorf("%s names no test", m[1])
		}
		for _, name := range proofs {
			named[name] = true
			if !tests[name] {
				t.Errorf("%s names %s, which does not exist", m[1], name)
			}
		}
	}
	if len(ids) == 0 {
		t.Error("SECURITY.md has no guarantee: rows look like | G1 | text | TestName |")
	}
	for name := range tests {
		if regexp.MustCompile(`^TestG[0-9]`).MatchString(name) && !named[name] {
			t.Errorf("%s proves a guarantee that SECURITY.md does not list", name)
		}
	}
}

// Every target that the README mentions is one of the Makefile's.
func TestReadmeTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, m := range regexp.MustCompile(`\bmake ([a-z-]+)\b`).FindAllStringSubmatch(strings.ReplaceAll(read(t, "README.md"), "make sure", ""), -1) {
		if !regexp.MustCompile(`(?m)^` + m[1] + `:.*## `).MatchString(makefile) {
			t.Errorf("README.md says make %s, which does not exist", m[1])
		}
	}
}

// Every check of a hostile tree has a test, each test that is named exists, and each of
// the suite's is named.
func TestHostileTreeIsShown(t *testing.T) {
	_, tests := names(t)
	text := read(t, "docs/security/hostile.md")
	row := regexp.MustCompile(`(?m)^\| (\d+) \|[^|]*\|([^|]*)\|([^|]*)\|$`)
	var checks []string
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		checks = append(checks, m[1])
		if strings.TrimSpace(m[3]) == "" {
			t.Errorf("check %s: nothing was seen", m[1])
		}
		for _, name := range regexp.MustCompile(`\bTest\w+`).FindAllString(m[2], -1) {
			if !tests[name] {
				t.Errorf("check %s names %s, which does not exist", m[1], name)
			}
		}
	}
	for i := 51; i <= 72; i++ {
		if !slices.Contains(checks, strconv.Itoa(i)) {
			t.Errorf("check %d has no row", i)
		}
	}
	_, files := sources(t)
	for _, f := range files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && under(f.path, "test/hostile") && regexp.MustCompile(`^Test[A-Z][a-z]`).MatchString(fn.Name.Name) && fn.Name.Name != "TestMain" && !strings.Contains(text, fn.Name.Name) {
				t.Errorf("docs/security/hostile.md does not name %s", fn.Name.Name)
			}
		}
	}
}
