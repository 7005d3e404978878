package escape

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lockstep/test/escape/redteam"
)

var update = flag.Bool("update", false, "write docs/security/escape-matrix.md anew")

const document = "../../docs/security/escape-matrix.md"

// TestMatrixIsKept: the document is what the tables say.
func TestMatrixIsKept(t *testing.T) {
	var b strings.Builder
	if err := Matrix(&b, read(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(document, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/security/escape-matrix.md is not what the tables say; run: go test ./test/escape -update")
	}
}

// TestTablesAreWhole: every row has an act, two layers or a reason, and there are
// enough; the worker, and who else holds nothing, tries every act that asks nothing of
// its jail.
func TestTablesAreWhole(t *testing.T) {
	acts := map[string]redteam.Act{}
	for _, a := range redteam.All() {
		if _, twice := acts[a.Name]; twice {
			t.Errorf("two acts are called %q", a.Name)
		}
		acts[a.Name] = a
	}
	for _, r := range read(t) {
		seen := map[string]bool{}
		for _, row := range r.Rows {
			if _, there := acts[row.Act]; !there || seen[row.Act] {
				t.Errorf("%s: there is no act %q, or two rows of it", r.Name, row.Act)
			}
			seen[row.Act] = true
			if why := r.unsaid(row); why != "" {
				t.Errorf("%s: %s: %s", r.Name, row.Act, why)
			}
		}
		if len(seen) < r.Least {
			t.Errorf("%s: %d acts, fewer than %d", r.Name, len(seen), r.Least)
		}
		for _, a := range redteam.Acts() {
			if (r.Name == "worker" || r.Name == "gate") && !seen[a.Name] {
				t.Errorf("%s does not try %q", r.Name, a.Name)
			}
		}
	}
}

func read(t *testing.T) []Role {
	t.Helper()
	all, err := Roles()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestUnsaid: a row that shows an escape is found.
func TestUnsaid(t *testing.T) {
	r := Role{Answers: map[string]string{"EPERM": "no capability"}}
	for _, c := range []struct {
		row  string
		good bool
	}{
		{"a | SIGSYS | EPERM | - |", true},
		{"a | SIGSYS | ok | - |", false},
		{"a | SIGSYS | ok | - | alone: for a reason", true},
		{"a | SIGSYS | ok | - | alone: ", false},
		{"a | SIGSYS | EIO | - |", false},
		{"a | ok | EPERM | - |", false},
		{"a | EPERM | EPERM | - |", false},
		{"a | EPERM | EPERM | EACCES |", true},
		{"a | EPERM | EPERM | ok |", false},
		{"a | EPERM | ok | EACCES |", false},
		{"a | SIGSYS | EPERM | EACCES |", false},
	} {
		rows, err := parse(c.row)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%s: %v", c.row, err)
		}
		if why := r.unsaid(rows[0]); (why == "") != c.good {
			t.Errorf("%s: %q", c.row, why)
		}
	}
}

// TestChecksNameTests: every test that the list of checks names is one.
func TestChecksNameTests(t *testing.T) {
	var source strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		source.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Checks() {
		if len(c.Tests) == 0 && c.Missing == "" {
			t.Errorf("%s: neither done nor missing", c.Numbers)
		}
		for _, name := range append(c.Tests, regexp.MustCompile(`\bTest\w+`).FindAllString(c.Missing, -1)...) {
			if !strings.Contains(source.String(), "\nfunc "+name+"(") {
				t.Errorf("%s: there is no %s", c.Numbers, name)
			}
		}
	}
}
