package layers

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFile    = 500  // lines, all counted
	maxFunc    = 60   // lines, all counted
	maxPackage = 1000 // lines with code, without tests
)

func TestSizes(t *testing.T) {
	set, files := sources(t)
	perPackage := map[string]int{}
	for _, f := range files {
		lines := set.File(f.ast.Pos()).LineCount()
		if lines > maxFile {
			t.Errorf("%s has %d lines, at most %d", f.path, lines, maxFile)
		}
		if f.test {
			continue
		}
		perPackage[filepath.Dir(f.path)] += codeLines(set, f.ast)
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || isTable(fn) {
				continue
			}
			if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > maxFunc {
				t.Errorf("%s: %s has %d lines, at most %d", f.path, fn.Name.Name, n, maxFunc)
			}
		}
	}
	for dir, n := range perPackage {
		if n > maxPackage {
			t.Errorf("package %s has %d lines of code, at most %d", dir, n, maxPackage)
		}
	}
}

// isTable says whether a function is nothing but data: one return of a literal.
func isTable(fn *ast.FuncDecl) bool {
	if fn.Body == nil || len(fn.Body.List) != 1 {
		return false
	}
	ret, ok := fn.Body.List[0].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 {
		return false
	}
	_, ok = ret.Results[0].(*ast.CompositeLit)
	return ok
}

// codeLines counts the lines that hold a part of the syntax tree other than a
// comment: a closing brace counts, a blank line and a comment do not.
func codeLines(set *token.FileSet, f *ast.File) int {
	used := map[int]bool{}
	mark := func(p token.Pos) {
		if p.IsValid() {
			used[set.Position(p).Line] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n.(type) {
		case nil:
			return false
		case *ast.Comment, *ast.CommentGroup:
			return false
		}
		mark(n.Pos())
		mark(n.End() - 1)
		return true
	})
	return len(used)
}

func TestPackageComments(t *testing.T) {
	_, files := sources(t)
	doc := map[string]string{}
	for _, f := range files {
		dir := filepath.Dir(f.path)
		if _, seen := doc[dir]; !seen {
			doc[dir] = ""
		}
		if f.ast.Doc != nil {
			doc[dir] += f.ast.Doc.Text()
		}
	}
	for dir, text := range doc {
		if !strings.Contains(text, "Trust: ") {
			t.Errorf("package %s: its comment has no line with \"Trust: \"", dir)
		}
	}
}

// What hides state or control flow has no place here.
func TestHabits(t *testing.T) {
	set, files := sources(t)
	for _, f := range files {
		where := func(n ast.Node) string { return set.Position(n.Pos()).String() }
		if name := f.ast.Name.Name; slices.Contains([]string{"util", "utils", "common", "helpers", "types", "misc"}, name) {
			t.Errorf("%s: package %s says nothing", f.path, name)
		}
		if !f.test {
			habits(t, f, where)
		}
	}
}

func habits(t *testing.T, f file, where func(ast.Node) string) {
	for _, i := range f.ast.Imports {
		if i.Path.Value == `"unsafe"` && !strings.HasPrefix(f.path, "internal/sys/") && !strings.HasSuffix(f.path, "_unsafe.go") {
			t.Errorf("%s imports unsafe outside internal/sys", f.path)
		}
	}
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			t.Errorf("%s: func init", where(fn))
		}
	}
	if !under(f.path, "privileged", "ipc", "sandbox", "cmd") {
		return
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "recover" {
				t.Errorf("%s: recover hides a fault of the trusted side", where(n))
			}
		}
		return true
	})
}

// noClock finds uses of the clock in pure packages.
func noClock(t *testing.T) {
	set, files := sources(t)
	for _, f := range files {
		if f.test || !under(filepath.Dir(f.path), pure()...) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			id, ok := s.X.(*ast.Ident)
			if ok && id.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}, s.Sel.Name) {
				t.Errorf("%s: time.%s in a pure package", set.Position(n.Pos()), s.Sel.Name)
			}
			return true
		})
	}
}
