package layers

import (
	"slices"
	"strings"
	"testing"
)

// The layers. What is in none of them is a shared leaf or a main.
func trusted() []string {
	return []string{"privileged", "supervise", "sandbox", "cgroup", "seccomp", "config", "rootid", "console", "trial", "uidpool", "trail"}
}
func untrusted() []string { return []string{"worker", "monitor", "gate"} }

// shared are leaves that both sides may use. (sandbox/lock lies below a
// trusted folder, but is every program's own first act.)
func shared() []string {
	return []string{"ipc", "rsync", "rules", "handler", "sandbox/lock", "internal"}
}

// pure packages take values and a time: no system, no clock.
func pure() []string {
	return []string{"worker/tree", "worker/track", "rules", "worker/queue", "worker/plan", "worker/links", "worker/omit", "worker/doubt",
		"worker/listing", "worker/fifo", "worker/stray", "worker/poll", "worker/account", "worker/arrivals", "worker/fresh", "worker/behind",
		"worker/busy", "worker/terms", "worker/below", "handler", "supervise/reload", "trail/verify"}
}

func is(path string, dirs []string) bool {
	return under(path, dirs...) && !under(path, "sandbox/lock")
}

func TestTrustedAndUntrustedNeverMeet(t *testing.T) {
	for _, p := range list(t, nil, "./...") {
		name, _ := own(p.ImportPath)
		for _, dep := range p.Deps {
			d, ours := own(dep)
			switch {
			case !ours:
			case is(name, trusted()) && is(d, untrusted()):
				t.Errorf("%s is trusted and depends on %s, which is not", name, d)
			case is(name, untrusted()) && is(d, trusted()):
				t.Errorf("%s is not trusted and depends on %s, which is", name, d)
			case under(name, shared()...) && (is(d, trusted()) || is(d, untrusted())):
				if !under(name, "internal/testenv") {
					t.Errorf("%s is shared and depends on %s, which belongs to one side", name, d)
				}
			case under(name, "runner") && (is(d, trusted()) || is(d, untrusted())):
				t.Errorf("runner depends on %s", d)
			}
		}
	}
}

// unsplit is the one program in which both sides meet: what their separation
// costs is measured against it. It is there behind a build tag only.
const unsplit = "bench/unsplit"

func TestOnlyTheReferenceLinksBothSides(t *testing.T) {
	for _, p := range list(t, nil, "./...") {
		if name, _ := own(p.ImportPath); name == unsplit {
			t.Errorf("%s is built without its tag", name)
		}
	}
	found := false
	for _, p := range list(t, []string{"GOFLAGS=-tags=unsplit"}, "./...") {
		name, _ := own(p.ImportPath)
		var both [2]bool
		for _, dep := range p.Deps {
			d, ours := own(dep)
			both[0] = both[0] || ours && is(d, trusted())
			both[1] = both[1] || ours && is(d, untrusted())
			if ours && under(d, "bench") && !under(name, "bench") {
				t.Errorf("%s depends on %s", name, d)
			}
		}
		found = found || name == unsplit
		if both == [2]bool{true, true} && name != unsplit {
			t.Errorf("%s links both sides", name)
		}
	}
	if !found {
		t.Errorf("%s is not there", unsplit)
	}
}

// Code of the tests and of the benchmark stays there.
func TestProductLinksNoTestCode(t *testing.T) {
	for _, p := range list(t, nil, "./cmd/...") {
		for _, dep := range p.Deps {
			if d, ours := own(dep); ours && under(d, "test", "bench", "internal/testenv") || dep == "testing" {
				t.Errorf("%s links %s", p.ImportPath, dep)
			}
		}
	}
}

// The comparer, the generators and the benchmark share no code with what they
// test.
func TestProofIsIndependent(t *testing.T) {
	for _, p := range list(t, []string{"GOFLAGS=-tags=e2e,hostile"}, "./test/compare", "./test/churn", "./test/sidebyside", "./test/e2e", "./test/hostile", "./internal/testenv/observe", "./bench/...") {
		for _, dep := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
			if d, ours := own(dep); ours && !under(d, "test", "bench", "internal/testenv") {
				t.Errorf("%s uses %s of the product", p.ImportPath, d)
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	forbidden := []string{"os", "net", "syscall", "unsafe", "golang.org/x/sys/unix", "log", "log/slog", "math/rand", "math/rand/v2"}
	for _, p := range list(t, nil, "./...") {
		name, _ := own(p.ImportPath)
		if !under(name, pure()...) {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(forbidden, i) || strings.HasPrefix(i, "os/") || strings.HasPrefix(i, "net/") {
				t.Errorf("%s is pure and imports %s", name, i)
			}
		}
	}
	noClock(t)
}

// TestSupervisorReadsNoClient: what decodes the lines of clients is linked into the
// gate, and into a client; not into anything that supervises.
func TestSupervisorReadsNoClient(t *testing.T) {
	seen := 0
	for _, p := range list(t, nil, "./supervise/...", "./config/...", "./console/...") {
		seen++
		for _, dep := range p.Deps {
			if d, ours := own(dep); ours && under(d, "ipc/line", "gate", "ask") {
				name, _ := own(p.ImportPath)
				t.Errorf("%s links %s", name, d)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were found", seen)
	}
}

// TestProgramsLinkOnly checks what each long-lived confined program links.
func TestProgramsLinkOnly(t *testing.T) {
	sys := []string{"golang.org/x/sys/unix"}
	cases := map[string]struct {
		own   []string // folders of ours
		never []string // folders below them that are not
		other []string // packages of others; nil: not checked
	}{
		"lockstep-helper": {[]string{"privileged", "ipc", "internal", "sandbox/lock"},
			[]string{"ipc/settings", "ipc/status", "ipc/polled", "ipc/witness"}, sys},
		"lockstep-runner": {[]string{"runner", "rsync", "handler", "plugin", "ipc", "internal", "sandbox/lock"},
			[]string{"ipc/status", "plugin/host", "plugin/object", "plugin/serve"}, sys},
		"lockstep-gate":     {[]string{"gate", "ipc/control", "ipc/line", "ipc/wire", "internal", "sandbox/lock"}, nil, sys},
		"lockstep-resolver": {[]string{"resolver", "monitor", "internal", "sandbox/lock"}, nil, sys},
		"lockstep-worker": {[]string{"worker", "monitor", "rules", "rsync", "handler", "ipc", "internal", "sandbox/lock"}, []string{"ipc/polled"},
			append(sys, "github.com/bmatcuk/doublestar/v4")},
	}
	for program, c := range cases {
		for _, p := range list(t, []string{"CGO_ENABLED=0", "GOARCH=amd64"}, "-deps", "./cmd/"+program) {
			name, ours := own(p.ImportPath)
			switch {
			case p.Standard, name == "cmd/"+program:
			case ours:
				if !under(name, c.own...) || under(name, c.never...) {
					t.Errorf("%s links %s", program, p.ImportPath)
				}
			case !slices.Contains(c.other, p.ImportPath):
				t.Errorf("%s links %s", program, p.ImportPath)
			}
			if len(p.CgoFiles) > 0 {
				t.Errorf("%s needs cgo for %s", program, p.ImportPath)
			}
		}
	}
}

// What calls the functions of a module links nothing that the module could make use
// of: it speaks to its runner, and loads.
func TestPluginLinksOnly(t *testing.T) {
	found := 0
	for _, p := range list(t, []string{"CGO_ENABLED=1"}, "-deps", "./cmd/lockstep-plugin") {
		name, ours := own(p.ImportPath)
		switch {
		case p.Standard:
		case ours && under(name, "cmd/lockstep-plugin", "plugin/host", "plugin/serve", "plugin/frame", "plugin/object", "ipc/wire", "internal"):
			found++
		case p.ImportPath != "golang.org/x/sys/unix":
			t.Errorf("lockstep-plugin links %s", p.ImportPath)
		}
		if p.ImportPath == "net" || p.ImportPath == "os/exec" {
			t.Errorf("lockstep-plugin links %s", p.ImportPath)
		}
	}
	if found == 0 {
		t.Error("nothing of it was found")
	}
}

// The codec is written by hand, and the trusted and confined side parse
// nothing by reflection.
func TestHelperHasNoParsers(t *testing.T) {
	forbidden := []string{"encoding/json", "encoding/gob", "encoding/xml", "net/http", "text/template", "html/template", "plugin", "os/exec", "net", "regexp"}
	for _, p := range list(t, []string{"CGO_ENABLED=0"}, "-deps", "./cmd/lockstep-helper") {
		if slices.Contains(forbidden, p.ImportPath) {
			t.Errorf("lockstep-helper links %s", p.ImportPath)
		}
	}
}
