package escape

import (
	"flag"
	"os"
	"strings"
	"testing"

	"lockstep/test/escape/redteam"
)

var update = flag.Bool("update", false, "write docs/security/escape-matrix.md anew")

const document = "../../docs/security/escape-matrix.md"

// TestMatrixIsKept: the document is what the tables say.
func TestMatrixIsKept(t *testing.T) {
	var b strings.Builder
	if err := Matrix(&b, Roles()); err != nil {
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

// TestTablesAreWhole: every act has one row for each role that it concerns, every
// row an act, a second layer or a reason, and there are enough.
func TestTablesAreWhole(t *testing.T) {
	acts := map[string]redteam.Act{}
	for _, a := range redteam.Acts() {
		if _, twice := acts[a.Name]; twice {
			t.Errorf("two acts are called %q", a.Name)
		}
		acts[a.Name] = a
	}
	for _, r := range Roles() {
		seen := map[string]bool{}
		for _, row := range r.Rows {
			if _, there := acts[row.Act]; !there || seen[row.Act] {
				t.Errorf("%s: there is no act %q, or two rows of it", r.Name, row.Act)
			}
			seen[row.Act] = true
			if row.want() == "ok" || row.want() == "executed" {
				t.Errorf("%s: %q succeeds", r.Name, row.Act)
			}
			if r.by(row) == "" || r.by(row) == "*alone*: " {
				t.Errorf("%s: nothing is said of %q: %s", r.Name, row.Act, row.Off)
			}
		}
		if len(seen) < r.Least {
			t.Errorf("%s: %d acts, fewer than %d", r.Name, len(seen), r.Least)
		}
	}
	for name := range acts {
		if !strings.Contains(rowsOf("worker"), "\x00"+name+"\x00") {
			t.Errorf("the worker does not try %q", name)
		}
	}
}

// rowsOf are the names of a role's acts.
func rowsOf(role string) string {
	var b strings.Builder
	for _, r := range Roles() {
		for _, row := range r.Rows {
			if r.Name == role {
				b.WriteString("\x00" + row.Act + "\x00")
			}
		}
	}
	return b.String()
}
