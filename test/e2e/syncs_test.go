//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// fleet is one running lockstep with several syncs.
type fleet struct {
	*mirror           // the process; without a source or target of its own
	parts   []*mirror // the syncs
	file    string    // configuration
	service []string  // more lines of its [service]
}

// newFleet prepares a source and a target for each name, below one directory.
func newFleet(t *testing.T, names ...string) *fleet {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	base := t.TempDir()
	f := &fleet{file: base + "/lockstep.toml"}
	f.mirror = &mirror{t: t, run: base + "/run", state: base + "/state", process: &process{seen: newWitness()}}
	for _, name := range names {
		part := *f.mirror
		part.name, part.src, part.dst = name, base+"/"+name+"/src", base+"/"+name+"/dst"
		part.opts.Skip = unmirrored
		for _, d := range []string{part.src, part.dst} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		f.parts = append(f.parts, &part)
	}
	return f
}

// part finds a sync by its name.
func (f *fleet) part(name string) *mirror {
	f.t.Helper()
	for _, p := range f.parts {
		if p.name == name {
			return p
		}
	}
	f.t.Fatalf("there is no sync %s", name)
	return nil
}

// toml is the configuration file. The flags of a part are lines of its
// [[sync]].
func (f *fleet) toml() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("[service]")
	line("runtime_dir = %q", f.run)
	line("state_dir = %q", f.state)
	line("log_format = %q", "json")
	for _, s := range f.service {
		line("%s", s)
	}
	for _, p := range f.parts {
		targets := p.targets
		if targets == nil {
			targets = []string{p.dst}
		}
		var quoted []string
		for _, target := range targets {
			quoted = append(quoted, fmt.Sprintf("%q", target))
		}
		line("\n[[sync]]")
		line("name = %q", p.name)
		line("source = %q", p.src)
		line("targets = [%s]", strings.Join(quoted, ", "))
		for _, s := range p.flags {
			line("%s", s)
		}
	}
	return b.String()
}

// start writes the configuration and runs it in the background.
func (f *fleet) start(extra ...string) *fleet {
	f.t.Helper()
	write(f.t, f.file, f.toml())
	f.launch(append([]string{"run", "-c", f.file}, extra...)...)
	return f
}

// ready waits until every sync is watched and equal.
func (f *fleet) ready() *fleet {
	f.t.Helper()
	for _, p := range f.parts {
		f.await(0, "readiness of "+p.name, 2*limit, p.isReady)
	}
	f.equal()
	f.seen.look(f.cmd.Process.Pid)
	return f
}

// equal waits until every sync is equal and says so.
func (f *fleet) equal() {
	f.t.Helper()
	for _, p := range f.parts {
		p.sameWithin(2 * limit)
	}
	f.inStep()
	for _, p := range f.parts {
		if diff, err := p.differ(); err != nil || len(diff) > 0 {
			f.t.Fatalf("%s was equal, and is not when all is said to be done: %v\n%s", p.name, err, lines(diff))
		}
	}
}

// inStep asks for the state of all until each is in step, as mirror.inStep does
// for one.
func (f *fleet) inStep() {
	f.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		at := f.mark()
		f.signal(sigState)
		behind := ""
		for _, p := range f.parts {
			r := f.await(at, "state of "+p.name, limit, func(r record) bool { return p.mine(r) && strings.HasPrefix(r.str("msg"), "state: ") })
			if r.str("msg") != "state: in step" {
				behind = r.String()
				break
			}
			for _, key := range []string{"stale", "missing"} {
				if n, ok := r[key]; !ok || n != 0.0 {
					f.t.Errorf("verification: %v %s: %s", n, key, r)
				}
			}
		}
		if behind == "" {
			return
		}
		if time.Since(start) > 2*limit {
			f.t.Fatalf("not in step after %v: %s", 2*limit, behind)
		}
	}
}

// about accepts records of one sync that hold one of the words.
func (m *mirror) about(words ...string) func(record) bool {
	said := says(words...)
	return func(r record) bool { return m.mine(r) && said(r) }
}

// hundred makes n directories with a file in each.
func hundred(t *testing.T, root string, n int) {
	t.Helper()
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("d%03d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/file", fmt.Sprint("content ", i))
	}
}
