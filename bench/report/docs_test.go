package report

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the documents show of the last whole run anew")

const docs = "../../docs/performance"

// The documents show the run whose numbers are checked in, and no other.
func TestDocuments(t *testing.T) {
	data, err := os.ReadFile(docs + "/results.json")
	if err != nil {
		t.Fatal(err)
	}
	r := new(Results)
	if err := json.Unmarshal(data, r); err != nil {
		t.Fatal(err)
	}
	whole := r.Markdown()
	if r.Settings.Scale != "full" || r.Settings.N < 3 || r.Settings.Only != "" {
		t.Errorf("the run that is checked in is none of a whole one: %+v", r.Settings)
	}
	text, err := os.ReadFile(docs + "/table.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != whole {
		t.Error("docs/performance/table.md is not that of results.json: make bench writes both")
	}
	splice(t, docs+".md", inner(whole))
	splice(t, "../../README.md", r.brief())
}

// brief is the table of the first page.
func (r *Results) brief() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "From one run of `make bench`, %d repetitions, each daemon with its smallest delays: %s, %d cores, %d MiB; %s, Linux %s, %s; %s. %s The whole table, with pictures, is in `docs/performance.md`.\n\n",
		r.Settings.N, m.CPU, m.Cores, m.MemoryMiB, m.System, m.Kernel, m.FileSystem, r.Versions["rsync"], legend)
	r.ratioTable(&b, ratios(), r.columns())
	return b.String()
}

// inner is the whole table as a part of a document one directory above.
func inner(whole string) string {
	_, text, _ := strings.Cut(whole, "\n\n")
	return strings.NewReplacer("\n## ", "\n### ", ".svg)", ".svg)", "](", "](performance/").Replace(text)
}

// splice compares what stands between two marks with what is to, or writes it.
func splice(t *testing.T, path, want string) {
	t.Helper()
	const begin, end = "<!-- made: bench -->\n", "<!-- end -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	got, after, ended := strings.Cut(rest, end)
	switch {
	case !found || !ended:
		t.Fatalf("%s: no place that is marked %q", path, begin)
	case got == want:
	case *update:
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not show the run that is checked in; after make bench: go test ./bench/report -update", path)
	}
}
