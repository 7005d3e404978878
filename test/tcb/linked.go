package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// linkedLines counts the lines of the functions that the linker keeps in the
// helper: what runs there. Declarations are not among them. (Built without
// inlining, so that every function that is used has its symbol.)
func linkedLines(dirs ...string) (int, error) {
	symbols, err := helperSymbols()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, dir := range dirs {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return 0, err
		}
		pkg := "lockstep/" + dir
		if strings.HasPrefix(dir, "cmd/") {
			pkg = "main"
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			n, err := linkedIn(path, pkg, symbols)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	return total, nil
}

func helperSymbols() (map[string]bool, error) {
	dir, err := os.MkdirTemp("", "tcb-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "helper")
	build := exec.Command("go", "build", "-buildvcs=false", "-gcflags=lockstep/...=-l", "-o", bin, "./cmd/lockstep-helper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, err
	}
	out, err := exec.Command("go", "tool", "nm", bin).Output()
	if err != nil {
		return nil, err
	}
	// A generic function's name has its types, a closure's its number.
	types, closure := regexp.MustCompile(`\[.*\]`), regexp.MustCompile(`\.func\d.*$`)
	symbols := map[string]bool{}
	for line := range bytes.Lines(out) {
		_, name, ok := strings.Cut(strings.Replace(strings.TrimSpace(string(line)), " t ", " T ", 1), " T ")
		if !ok {
			continue
		}
		name = closure.ReplaceAllString(types.ReplaceAllString(name, ""), "")
		symbols[strings.TrimSuffix(name, "-fm")] = true
	}
	if len(symbols) == 0 {
		return nil, fmt.Errorf("the helper has no symbols")
	}
	return symbols, nil
}

// linkedIn counts the code lines of a file's functions that are linked.
func linkedIn(path, pkg string, symbols map[string]bool) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, text, 0)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && symbols[symbol(pkg, fn)] {
			total += codeLines(text[set.Position(fn.Pos()).Offset:set.Position(fn.End()).Offset])
		}
	}
	return total, nil
}

// symbol is a function's name as the linker writes it.
func symbol(pkg string, fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return pkg + "." + fn.Name.Name
	}
	switch t := fn.Recv.List[0].Type.(type) {
	case *ast.StarExpr:
		if id, ok := t.X.(*ast.Ident); ok {
			return pkg + ".(*" + id.Name + ")." + fn.Name.Name
		}
	case *ast.Ident:
		return pkg + "." + t.Name + "." + fn.Name.Name
	}
	return pkg + "." + fn.Name.Name
}
