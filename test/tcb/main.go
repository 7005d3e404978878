// Tcb prints what has to be trusted, against its budgets: lines and imports of
// the helper, requests, system calls. It ends with 1 above a budget.
//
// Trust: a tool of the build; linked into nothing.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"lockstep/seccomp"
)

// Budgets: "lines" are those that hold code; docs/adr/0008-size-of-the-helper.md
// says what is counted. The bound of all lines may only go down.
const (
	maxLinked   = 1000
	maxLines    = 1440
	maxBelow    = 420
	maxRequests = 8
	maxCalls    = 20
)

// own are the packages that are the helper's: its code, its messages, their
// codec. What else lies below ipc is not linked, or helperImports tells it.
func own() []string {
	return []string{"privileged", "ipc", "ipc/wire", "cmd/lockstep-helper"}
}

func main() {
	r := report{}
	lines, err := helperLines()
	r.row("helper: lines of the packages above", lines, maxLines, err)
	linked, err := linkedLines(own()...)
	r.row("helper: of them in functions of its binary", linked, maxLinked, err)
	below, err := linkedLines("internal/sys", "sandbox/lock", "internal/buildinfo")
	r.row("helper: wrappers and stage two in its binary", below, maxBelow, err)
	foreign, err := helperImports()
	r.row("helper: packages beyond std, x/sys and its own", len(foreign), 0, err)
	for _, f := range foreign {
		fmt.Println("    " + f)
	}
	requests, err := requestCount()
	r.row("requests of the worker", requests, maxRequests, err)
	for _, arch := range []string{seccomp.AMD64, seccomp.ARM64} {
		r.row("worker: system calls on "+arch, seccomp.Table(seccomp.Worker, arch).Count(), maxCalls, nil)
		r.row("worker without root: system calls on "+arch, seccomp.Table(seccomp.UserWorker, arch).Count(), maxCalls, nil)
	}
	if r.failed {
		fmt.Fprintln(os.Stderr, "tcb: above a budget")
		os.Exit(1)
	}
}

type report struct{ failed bool }

func (r *report) row(what string, n, budget int, err error) {
	verdict := "ok"
	switch {
	case err != nil:
		verdict, r.failed = "cannot be told: "+err.Error(), true
	case n > budget:
		verdict, r.failed = "ABOVE", true
	}
	fmt.Printf("%-48s %5d of %5d  %s\n", what, n, budget, verdict)
}

// helperLines counts lines with at least one token that is no comment.
func helperLines() (int, error) {
	total := 0
	for _, dir := range own() {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return 0, err
		}
		sum, seen := 0, 0
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return 0, err
			}
			sum += codeLines(text)
			seen++
		}
		if seen == 0 {
			return 0, fmt.Errorf("%s has no source; run this in the checkout", dir)
		}
		fmt.Printf("    %-44s %5d\n", dir, sum)
		total += sum
	}
	return total, nil
}

func codeLines(text []byte) int {
	set := token.NewFileSet()
	f := set.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(f, text, nil, 0)
	used := map[int]bool{}
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return len(used)
		}
		if tok == token.SEMICOLON && lit == "\n" {
			continue // made by the scanner
		}
		first := f.Line(pos)
		for i := range 1 + strings.Count(lit, "\n") { // raw strings
			used[first+i] = true
		}
	}
}

// helperImports lists what the helper links and should not.
func helperImports() ([]string, error) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/lockstep-helper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var foreign []string
	for line := range strings.FieldsSeq(string(bytes.TrimSpace(out))) {
		pkg, _ := strings.CutPrefix(line, "lockstep/")
		switch {
		case slices.Contains(own(), pkg), pkg == "sandbox/lock",
			strings.HasPrefix(pkg, "internal/"), strings.HasPrefix(line, "golang.org/x/sys/"):
		default:
			foreign = append(foreign, line)
		}
	}
	return foreign, nil
}

// requestCount counts the elements of privileged's table of requests.
func requestCount() (int, error) {
	set := token.NewFileSet()
	paths, err := filepath.Glob("privileged/*.go")
	if err != nil {
		return 0, err
	}
	n, found := 0, false
	for _, path := range paths {
		f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return 0, err
		}
		for _, d := range f.Decls {
			if !declares(d, "requests") {
				continue
			}
			ast.Inspect(d, func(node ast.Node) bool {
				if lit, ok := node.(*ast.CompositeLit); ok && !found {
					n, found = len(lit.Elts), true
				}
				return !found
			})
		}
	}
	if !found {
		return 0, fmt.Errorf("privileged declares no table called requests")
	}
	return n, nil
}

// declares says whether d is the function or variable called name.
func declares(d ast.Decl, name string) bool {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Recv == nil && d.Name.Name == name
	case *ast.GenDecl:
		for _, s := range d.Specs {
			v, ok := s.(*ast.ValueSpec)
			if ok && len(v.Names) == 1 && v.Names[0].Name == name {
				return true
			}
		}
	}
	return false
}
