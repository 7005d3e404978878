package supply

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

const top = "../.."

// programs are all that make build makes.
func programs(t *testing.T) []string {
	t.Helper()
	mains, err := os.ReadDir(filepath.Join(top, "cmd"))
	if err != nil || len(mains) == 0 {
		t.Fatalf("no mains: %v", err)
	}
	var names []string
	for _, m := range mains {
		names = append(names, m.Name())
	}
	return names
}

// built is the directory of the programs, which must be of this source.
func built(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("LOCKSTEP_BIN")
	if dir == "" {
		dir = filepath.Join(top, "bin")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	is, err := exec.Command(filepath.Join(dir, "lockstep"), "build-id").Output()
	if err != nil {
		testenv.Lacks(t, "this test needs the programs; run: make build")
	}
	if want := run(t, filepath.Join(top, "scripts/build-id")); strings.TrimSpace(string(is)) != strings.TrimSpace(want) {
		testenv.Lacks(t, "the programs in "+dir+" are of another source; run: make build")
	}
	return dir
}

func run(t *testing.T, words ...string) string {
	t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return string(out)
}

// versionOf is what `go version -m` says is in a program: versions by module, with
// that of Go itself as std.
func versionOf(t *testing.T, path string) map[string]string {
	t.Helper()
	modules := map[string]string{}
	for line := range strings.Lines(run(t, "go", "version", "-m", path)) {
		if _, version, ok := strings.Cut(line, ": go"); ok && !strings.HasPrefix(line, "\t") {
			modules["std"] = strings.TrimSpace(version)
		}
		if words := strings.Fields(line); len(words) >= 3 && (words[0] == "dep" || words[0] == "=>") {
			modules[words[1]] = words[2]
		}
	}
	if modules["std"] == "" {
		t.Fatalf("%s: go version -m does not say its Go", path)
	}
	return modules
}

// The bill of materials is what the programs say of themselves, no more and no
// less, and is the same again.
func TestSBOM(t *testing.T) {
	dir := built(t)
	var texts [2][]byte
	for i := range texts {
		out := filepath.Join(t.TempDir(), "bom.json")
		words := []string{"go", "run", "../sbom", "-o", out}
		for _, name := range programs(t) {
			words = append(words, filepath.Join(dir, name))
		}
		run(t, words...)
		var err error
		if texts[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("two runs differ")
	}
	var bom struct {
		BOMFormat, SpecVersion, SerialNumber string
		Components                           []struct {
			Ref                 string `json:"bom-ref"`
			Name, Version, PURL string
			Hashes              []struct{ Alg, Content string }
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(texts[0], &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || !regexp.MustCompile(`^urn:uuid:[0-9a-f-]{36}$`).MatchString(bom.SerialNumber) {
		t.Errorf("%s %s %s", bom.BOMFormat, bom.SpecVersion, bom.SerialNumber)
	}
	byRef, unused := map[string][2]string{}, map[string]bool{}
	for _, c := range bom.Components {
		byRef[c.Ref] = [2]string{c.Name, c.Version}
		unused[c.Ref] = true
		if slices.Contains(programs(t), c.Name) {
			sum, _, _ := strings.Cut(run(t, "sha256sum", filepath.Join(dir, c.Name)), " ")
			if len(c.Hashes) != 1 || c.Hashes[0].Alg != "SHA-256" || c.Hashes[0].Content != sum {
				t.Errorf("%s: %v, is %s", c.Name, c.Hashes, sum)
			}
		} else if !strings.HasSuffix(c.PURL, "/"+c.Name+"@"+c.Version) {
			t.Errorf("%s %s is called %s", c.Name, c.Version, c.PURL)
		}
	}
	for _, d := range bom.Dependencies {
		delete(unused, d.Ref)
		if d.Ref == "lockstep" && slices.Contains(d.DependsOn, "lockstep") { // all of them
			continue
		}
		said := map[string]string{}
		for _, ref := range d.DependsOn {
			delete(unused, ref)
			if _, known := byRef[ref]; !known {
				t.Errorf("%s depends on %s, which is not there", d.Ref, ref)
			}
			said[byRef[ref][0]] = byRef[ref][1]
		}
		if d.Ref == "lockstep" { // with static C libraries, which Go does not know
			if said["libseccomp"] == "" || said["glibc"] == "" {
				t.Errorf("lockstep has no C libraries: %v", said)
			}
			delete(said, "libseccomp")
			delete(said, "glibc")
		}
		if is := versionOf(t, filepath.Join(dir, d.Ref)); !maps.Equal(is, said) {
			t.Errorf("%s: go version -m says %v, the bill of materials %v", d.Ref, is, said)
		}
	}
	for ref := range unused {
		t.Errorf("nothing depends on %s", ref)
	}
}

// row is one of docs/dependencies.md.
type row struct{ why, licence, in, note string }

// documented are the modules of docs/dependencies.md.
func documented(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "docs/dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|([^|]*)\\|([^|]*)\\|([^|]*)\\|([^|]*)\\|$").FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("docs/dependencies.md has two rows for %s", m[1])
		}
		rows[m[1]] = row{strings.TrimSpace(m[2]), strings.TrimSpace(m[3]), strings.TrimSpace(m[4]), strings.TrimSpace(m[5])}
	}
	return rows
}

// Each module that go.mod names is documented, and none that it does not.
func TestDependenciesAreDocumented(t *testing.T) {
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal([]byte(run(t, "go", "mod", "edit", "-json", filepath.Join(top, "go.mod"))), &mod); err != nil {
		t.Fatal(err)
	}
	rows := documented(t)
	for _, r := range mod.Require {
		if _, ok := rows[r.Path]; !ok {
			t.Errorf("docs/dependencies.md has no row for %s", r.Path)
			continue
		}
		for _, cell := range []string{rows[r.Path].why, rows[r.Path].licence, rows[r.Path].in, rows[r.Path].note} {
			if cell == "" {
				t.Errorf("docs/dependencies.md: %s: a cell is empty", r.Path)
			}
		}
		delete(rows, r.Path)
	}
	for path := range rows {
		if path != "std" && !strings.HasPrefix(path, "C: ") {
			t.Errorf("docs/dependencies.md has a row for %s, which go.mod does not name", path)
		}
	}
}

// What is said to be linked into a program is, and nothing else.
func TestLinkedAsDocumented(t *testing.T) {
	dir := built(t)
	is := map[string][]string{}
	for _, name := range programs(t) {
		for module := range versionOf(t, filepath.Join(dir, name)) {
			is[module] = append(is[module], name)
		}
	}
	for module, r := range documented(t) {
		if strings.HasPrefix(module, "C: ") {
			continue
		}
		said := strings.Fields(strings.ReplaceAll(r.in, ",", " "))
		switch r.in {
		case "all":
			said = programs(t)
		case "none":
			said = nil
		}
		slices.Sort(said)
		if !slices.Equal(said, is[module]) {
			t.Errorf("docs/dependencies.md says that %s is in %v; go version -m, in %v", module, said, is[module])
		}
		delete(is, module)
	}
	for module, in := range is {
		t.Errorf("%v link %s, which docs/dependencies.md does not have", in, module)
	}
}

// The licence that is documented is the one of the text that came with the module.
func TestLicences(t *testing.T) {
	marks := map[string]string{
		"MIT": "Permission is hereby granted, free of charge", "Apache-2.0": "Apache License", "BSD-2-Clause": "Redistributions of source code must retain",
		"BSD-3-Clause": "Neither the name of", "BSD-3-Clause or GPL-2.0": "BSD-3-Clause",
	}
	for module, r := range documented(t) {
		if module == "std" || strings.HasPrefix(module, "C: ") {
			continue
		}
		mark, known := marks[r.licence]
		if !known {
			t.Errorf("%s: licence %q is none that was thought about", module, r.licence)
			continue
		}
		dir := strings.TrimSpace(run(t, "go", "list", "-m", "-f", "{{.Dir}}", module))
		if dir == "" {
			continue // nothing of it is needed to build or test, so that it was not fetched
		}
		files, err := filepath.Glob(filepath.Join(dir, "[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: no licence in %s: %v", module, dir, err)
			continue
		}
		text, err := os.ReadFile(files[0])
		if err != nil || !strings.Contains(string(text), mark) {
			t.Errorf("%s: %s is not %s: %v", module, files[0], r.licence, err)
		}
	}
}
