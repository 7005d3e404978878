package fromclsync

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/clsync/compile"
	"lockstep/clsync/lrsync"
	"lockstep/clsync/options"
	"lockstep/config/file"
	"lockstep/rules/ordered"
)

var update = flag.Bool("update", false, "write docs/from-clsync.md and examples/clsync/*.toml anew")

// example is a script of examples/clsync.
type example struct {
	name  string
	about string   // its first remark
	calls []string // the command lines of lockstep, their words with a newline after each
}

// examples are those that run, with what each calls: told by programs of the same
// names that do nothing else.
func examples(t *testing.T) []example {
	t.Helper()
	scripts, err := filepath.Glob(at("examples", "clsync", "*.sh"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var all []example
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		e := example{name: strings.TrimSuffix(filepath.Base(script), ".sh"), about: about(string(text))}
		for _, call := range run(t, script) {
			if !slices.Contains(e.calls, call) {
				e.calls = append(e.calls, call)
			}
		}
		slices.Sort(e.calls) // some run beside each other
		all = append(all, e)
	}
	return all
}

// about is the first paragraph of a script's remarks.
func about(text string) string {
	var lines []string
	for _, line := range strings.Split(text, "\n")[1:] {
		line, ok := strings.CutPrefix(line, "# ")
		if !ok {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " ")
}

// run runs a script where there are no programs but ones that do nothing, of which
// lockstep tells its words.
func run(t *testing.T, script string) []string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"lockstep": "#!/bin/sh\n{ printf '%s\\n' \"$@\"; echo; } >\"$0.call.$$\"\n", "mkdir": "#!/bin/sh\n", "systemctl": "#!/bin/sh\n", "ssh": "#!/bin/sh\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	full, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(full)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + dir}
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	told, err := filepath.Glob(filepath.Join(dir, "lockstep.call.*"))
	if err != nil || len(told) == 0 {
		t.Fatalf("%s calls no lockstep: %v", script, err)
	}
	var calls []string
	for _, p := range told {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, strings.TrimSuffix(string(text), "\n"))
	}
	return calls
}

// means is what a command line of an example is made into, as `lockstep clsync` and
// `lockstep lrsync` do it. Files below /etc/clsync are those of the examples.
func means(call string) (compile.Result, error) {
	args, block := strings.Split(strings.TrimSuffix(call, "\n"), "\n"), ""
	command, args := args[0], args[1:]
	switch command {
	case "lrsync":
		c, err := lrsync.Read(args, func(string) string { return "" })
		if err != nil {
			return compile.Result{}, err
		}
		args, block = c.Words(), lrsync.Block
	case "clsync":
	default:
		return compile.Result{}, fmt.Errorf("lockstep %s is none of clsync's", command)
	}
	readFile := func(name string) ([]byte, error) {
		for _, dir := range []string{"/etc/clsync", start} {
			if rest, ok := strings.CutPrefix(path.Clean(name), dir+"/"); ok {
				return os.ReadFile(at("examples", "clsync", rest))
			}
		}
		return nil, os.ErrNotExist
	}
	o, err := options.Read(args, options.Env{Dir: start, Block: block, PID: pid, ReadFile: readFile})
	if err != nil {
		return compile.Result{}, err
	}
	return compile.Compile(o, readFile)
}

// Each example runs, is taken by lockstep as it stands, and means what is written
// beside it.
func TestExamples(t *testing.T) {
	known := map[string]bool{}
	for _, e := range examples(t) {
		t.Run(e.name, func(t *testing.T) {
			if e.about == "" || !strings.HasSuffix(e.about, ".") {
				t.Errorf("what does it do? %q", e.about)
			}
			for i, call := range e.calls {
				r, err := means(call)
				if err != nil {
					t.Fatalf("%s%v", call, err)
				}
				if len(r.Warnings) > 0 {
					t.Errorf("an example needs no warning: %v", r.Warnings)
				}
				set, err := file.Text("x", r.Text)
				if err == nil {
					_, err = set.ForRun(r.Run, nil)
				}
				if err != nil {
					t.Errorf("%v\n%s", err, r.Text)
				}
				name := e.name + ".toml"
				if len(e.calls) > 1 {
					name = fmt.Sprintf("%s-%d.toml", e.name, i+1)
				}
				known[name] = true
				golden(t, at("examples", "clsync", name), r.Text)
			}
		})
	}
	left, err := filepath.Glob(at("examples", "clsync", "*.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range left {
		if !known[filepath.Base(p)] {
			t.Errorf("%s belongs to no example", p)
		}
	}
}

// The rules of the examples say what their remarks say.
func TestExampleRules(t *testing.T) {
	for name, paths := range map[string]string{
		"sample":          "/+ a+ dontSync+ dontSync/- DontSync/- x/dontSync/+",
		"authorized_keys": "/+ alice/+ alice/.ssh/+ alice/.ssh/authorized_keys+ alice/.ssh/id- alice/.bashrc- alice/x/- alice/x/authorized_keys- authorized_keys- alice/xssh/-",
		"containers":      "rootfs/var/log/x- rootfs/var/log/+ rootfs/var/dmesg- rootfs/rootfs-readonly/- rootfs/rootfs-readonly+ rootfs/var/logs+",
	} {
		text, err := os.ReadFile(at("examples", "clsync", "rules", name))
		if err != nil {
			t.Fatal(err)
		}
		s, err := ordered.Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range strings.Fields(paths) {
			want := strings.HasSuffix(p, "+")
			p, kind := strings.TrimRight(p, "+-"), ordered.File
			if strings.HasSuffix(p, "/") {
				kind = ordered.Dir
			}
			if got, _ := s.Decide(strings.TrimSuffix(p, "/"), kind, ordered.Sync); got != want {
				t.Errorf("%s: %q is synced: %v", name, p, got)
			}
		}
	}
}

// golden wants a file to say what was made, or writes it.
func golden(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what was made (%v); go test ./test/fromclsync -update writes it\n%s", path, err, want)
	}
}

// later is an example of clsync's that lockstep does not run as it stands.
type later struct {
	about string
	words []string // corrected: no more than what clsync needs to start
	says  string   // of the refusal
	until string   // what does the job
}

func notYet() []later {
	return []later{
		{"chown(1) for what belongs to root in the tree of a web server", []string{"-M", "direct", "-S", "chown", "-W", "/srv/www", "-w3", "-t3", "-T3", "--modification-signature", "uid,gid", "--", "--from=root", "www-data:www-data", "%INCLUDE-LIST%"},
			"--sync-handler: chown is not looked for in PATH", "refused for good: a link in a tree that others write to has any file of root's given away, as clsync does (`TestChownOfTheSource` in test/e2e), so that the source is read-only for each handler (ADR 0035). [`owner`](../examples/handlers/owner.toml) keeps a mirror in which what is root's is www-data's; `chmod g+s` and a default ACL have new files come out right"},
		{"cp(1) for each authorized_keys", []string{"-M", "direct", "-S", "cp", "-W", "/mnt/master/home", "-D", "/home", "--", "-Pfp", "--parents", "%INCLUDE-LIST%", "%destination-dir%"},
			"--sync-handler: cp is not looked for in PATH", "examples/clsync/authorized_keys.sh"},
		{"echo(1) in the place of rsync, to see its words", least("-S", "echo"), "--sync-handler: echo is not called rsync", "examples/clsync/show.sh"},
	}
}

// What is said not to run yet is refused, by the option that it is said of.
func TestNotYet(t *testing.T) {
	for _, l := range notYet() {
		if r, err := compiled(nil, l.words...); err == nil || !strings.Contains(err.Error(), l.says) {
			t.Errorf("%s: is taken, or refused otherwise: it belongs to the examples, and out of this table: %v\n%s", l.about, err, r.Text)
		}
		if script, ok := strings.CutPrefix(l.until, "examples/"); ok {
			if _, err := os.Stat(at("examples", script)); err != nil {
				t.Error(err)
			}
		}
	}
}
