// Sbom says what programs are made of: a bill of materials in CycloneDX 1.6, from
// what the Go linker wrote into them, and of the one with static C libraries also
// from what those say of themselves.
//
// Trust: a tool; no part of the product. It reads programs that were just built.
//
// Invariant: the same programs give the same bytes, whenever and wherever.
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// bom is the document, as far as it is used.
type bom struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

func main() {
	out := flag.String("o", "", "the file to write")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(out string, programs []string) error {
	if out == "" || len(programs) == 0 {
		return errors.New("usage: sbom -o FILE PROGRAM…")
	}
	b, err := describe(programs)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

// describe makes the document of some programs.
func describe(programs []string) (bom, error) {
	b := bom{Format: "CycloneDX", Spec: "1.6", Version: 1}
	whole := component{Type: "application", Ref: "lockstep", Name: "lockstep"}
	parts := map[string]component{}
	uses := dependency{Ref: whole.Ref}
	for _, path := range programs {
		program, deps, err := inspect(path)
		if err != nil {
			return bom{}, fmt.Errorf("%s: %w", path, err)
		}
		own := dependency{Ref: program.Ref}
		for _, d := range deps {
			parts[d.Ref] = d
			own.DependsOn = append(own.DependsOn, d.Ref)
		}
		parts[program.Ref] = program
		uses.DependsOn = append(uses.DependsOn, program.Ref)
		slices.Sort(own.DependsOn)
		b.Dependencies = append(b.Dependencies, own)
	}
	slices.Sort(uses.DependsOn)
	b.Dependencies = append(b.Dependencies, uses)
	for _, p := range parts {
		b.Components = append(b.Components, p)
	}
	slices.SortFunc(b.Components, func(a, b component) int { return strings.Compare(a.Ref, b.Ref) })
	slices.SortFunc(b.Dependencies, func(a, b dependency) int { return strings.Compare(a.Ref, b.Ref) })
	b.Metadata.Component = whole
	text, err := json.Marshal(b)
	b.Serial = serial(sha256.Sum256(text))
	return b, err
}

// serial is a UUID of version 8: what it is made of is ours to say.
func serial(sum [32]byte) string {
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// inspect is a program, and all that is linked into it.
func inspect(path string) (program component, deps []component, err error) {
	f, err := os.Open(path)
	if err != nil {
		return program, nil, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return program, nil, err
	}
	info, err := buildinfo.Read(f)
	if err != nil {
		return program, nil, err
	}
	name := filepath.Base(path)
	program = component{Type: "application", Ref: name, Name: name, Hashes: []hash{{"SHA-256", hex.EncodeToString(sum.Sum(nil))}}}
	static := false
	for _, s := range info.Settings {
		program.Properties = append(program.Properties, property{"go:build:" + s.Key, s.Value})
		static = static || s.Key == "-tags" && strings.Contains(s.Value, "netgo") // that build is linked statically with C
	}
	deps = append(deps, module(&debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}))
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		deps = append(deps, module(m))
	}
	if static {
		libraries, err := cLibraries()
		if err != nil {
			return program, nil, err
		}
		deps = append(deps, libraries...)
	}
	return program, deps, nil
}

// module is a module of Go's.
func module(m *debug.Module) component {
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl}
	if m.Sum != "" {
		c.Properties = []property{{"go:sum", m.Sum}} // a hash of a list of hashes: none that CycloneDX knows
	}
	return c
}

// cLibraries are those that `make build` links statically into lockstep.
func cLibraries() ([]component, error) {
	var all []component
	for _, c := range []struct {
		name string
		ask  []string
	}{
		{"libseccomp", []string{"pkg-config", "--modversion", "libseccomp"}},
		{"glibc", []string{"getconf", "GNU_LIBC_VERSION"}},
	} {
		out, err := exec.Command(c.ask[0], c.ask[1:]...).Output()
		if err != nil {
			return nil, fmt.Errorf("%s does not tell its version: %w", c.name, err)
		}
		version := strings.TrimPrefix(strings.TrimSpace(string(out)), "glibc ")
		purl := "pkg:generic/" + c.name + "@" + version
		all = append(all, component{Type: "library", Ref: purl, Name: c.name, Version: version, PURL: purl})
	}
	return all, nil
}
