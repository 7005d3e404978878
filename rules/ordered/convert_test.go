package ordered

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/internal/testenv"
	"lockstep/rules/ere"
)

// oldRule and what follows is clsync 0.4, as measured, written down apart from
// the parser and the converter.
type oldRule struct {
	permit bool
	letter byte
	expr   *ere.Expr
}

func oldParse(t *testing.T, file string) (all []oldRule) {
	t.Helper()
	for file != "" {
		end := strings.IndexByte(file, '\n')
		line := file[:len(file)-1] // without a newline at the end a character is lost
		if end >= 0 {
			line, file = file[:end], file[end+1:]
		} else {
			file = ""
		}
		if len(line) < 2 || line[0] == '#' {
			continue
		}
		letter := strings.ToLower(line[1:2])
		if !strings.Contains("fdwms*", letter) {
			continue
		}
		x, err := ere.Compile(line[2:])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, oldRule{line[0] == '+', letter[0], x})
	}
	return all
}

func oldFirst(all []oldRule, path, letters string) bool {
	for _, r := range all {
		if strings.IndexByte(letters, r.letter) >= 0 && r.expr.MatchString(path) {
			return r.permit
		}
	}
	return true
}

func oldDecide(all []oldRule, path string, dir bool) (permit [3]bool) {
	if !dir {
		p := oldFirst(all, path, "f*")
		return [3]bool{p, p, p}
	}
	walk := oldFirst(all, path, "d*w")
	return [3]bool{Walk: walk, Monitor: walk, Sync: oldFirst(all, path, "d*s")}
}

// A converted file means here what it meant to clsync.
func TestConvertKeepsMeaning(t *testing.T) {
	seed := testenv.Number(t, "LOCKSTEP_SEED", rand.Uint64())
	t.Logf("LOCKSTEP_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	rounds := 300
	if testing.Short() {
		rounds = 200
	}
	for range rounds {
		var lines []string
		for range r.IntN(20) {
			line := randomRule(r)
			lines = append(lines, pick(r, line, line, line[:1]+strings.ToUpper(line[1:2])+line[2:], line[:1], "# "+line, "", "+x"+line))
		}
		old := strings.Join(lines, "\n") + pick(r, "\n", "x", "$", "\n+da)")
		converted, err := Convert("old", []byte(old))
		if err != nil {
			continue // what lost its last character may be no expression any more
		}
		s, err := Parse("new", converted)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", old, converted, err)
		}
		model := oldParse(t, old)
		for range 50 {
			path, dir := randomPath(r), r.IntN(2) == 0
			kind := File
			if dir {
				kind = Dir
			}
			got := s.DecideAll(path, kind)
			for a, want := range oldDecide(model, path, dir) {
				if got[a].Permit != want {
					t.Fatalf("%q becomes %q; path %q, directory %v: %v is %v, was %v", old, converted, path, dir, Action(a), got[a].Permit, want)
				}
			}
		}
	}
}

func ExampleConvert() {
	out, err := Convert("clsync.rules", []byte("# mail\n+w^$\n-M^d1$\n+D^etc$\n-x^y\n-\n-f\\.bak$\n-*\n+f^a$"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(out))
	// Output:
	// # f fits all but directories, always; for clsync it did so at the start, and later only regular files
	// # The rules reject the root: with rsync clsync then copied everything, here such rules are refused.
	// # If it is to be synced, write above all rules: +d^$
	// # mail
	// # w of clsync decided watching too, which is W here: +w^$
	// +W^$
	// # clsync did not look at m when it set up its watches; take off the # for what it says: -M^d1$
	// +d^etc$
	// # clsync ignored this line, for it knew no such type: -x^y
	// # clsync skipped this line: -
	// -f\.bak$
	// -*
	// # clsync lost the last character of this line, for no newline ends it: +f^a$
	// +f^a
}

func TestConvertFaults(t *testing.T) {
	_, err := Convert("old", []byte("-f(a)\\1\n -f\n-d[\n+fa\r\n-fa\n"))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 4 {
		t.Fatal(err)
	}
	for i, f := range faults {
		if f.Line != i+1 || f.File != "old" {
			t.Error(f)
		}
	}
	if _, err := Convert("old", make([]byte, MaxFile+1)); err == nil {
		t.Error("no bound")
	}
	out, err := Convert("old", []byte(strings.Repeat("-fa\n", 257)))
	if err != nil || strings.Count(string(out), "\n# clsync had room for 256") != 1 {
		t.Error(err)
	}
}

// FuzzConvert: no file crashes it, and what comes out is a rule file.
func FuzzConvert(f *testing.F) {
	f.Add([]byte("+W^$\n-*"))
	f.Add([]byte("-m^a\n-\x13\n+"))
	f.Fuzz(func(t *testing.T, old []byte) {
		out, err := Convert("old", old)
		if err != nil {
			return
		}
		if _, err := Parse("new", out); err != nil && len(out) <= MaxFile {
			t.Fatalf("%q becomes %q: %v", old, out, err)
		}
	})
}
