//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// clsync is lockstep with clsync's words, for one source and target. What it leaves
// in the directories of the host goes at the end: they have no option.
func clsync(t *testing.T, words ...string) func(more ...string) *exec.Cmd {
	t.Helper()
	link := filepath.Join(t.TempDir(), "clsync")
	if err := os.Symlink(program(t, "lockstep"), link); err != nil {
		t.Fatal(err)
	}
	run := func(more ...string) *exec.Cmd { return exec.Command(link, append(words, more...)...) }
	text, err := run("--print-config").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`/run/lockstep/clsync-([0-9a-f]{16})"`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no directory of its own:\n%s", text)
	}
	t.Cleanup(func() {
		_ = os.Remove("/var/lib/lockstep/" + string(found[1]) + ".json")
		_ = os.Remove("/run/lockstep/clsync-" + string(found[1]))
		_ = os.Remove("/var/lib/lockstep") // where nobody else's state is
	})
	return run
}

// Who comes from clsync has its command line, rules and all: a first pass, and then
// what changes.
func TestClsync(t *testing.T) {
	m := newMirror(t)
	mkdir(t, m.src+"/d", m.src+"/tmp")
	write(t, m.src+"/d/f", "x")
	write(t, m.src+"/tmp/g", "y")
	rules := filepath.Join(t.TempDir(), "rules")
	write(t, rules, "-d^tmp$\n+*.*\n")
	run := clsync(t, "-M", "rsyncdirect", "-W", m.src, "-D", m.dst, "-R", rules, "-t", "0.1", "-w", "1")
	if out, err := run("--only-initialsync").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for path, want := range map[string]bool{"d/f": true, "tmp": false} {
		if _, err := os.Lstat(m.dst + "/" + path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	live := run()
	var log bytes.Buffer
	live.Stderr = &log
	if err := live.Start(); err != nil {
		t.Fatal(err)
	}
	defer live.Process.Kill() // which has ended, where all went well
	write(t, m.src+"/d/new", "z")
	m.eventually("the copy of a change", func() bool {
		b, err := os.ReadFile(m.dst + "/d/new")
		return err == nil && string(b) == "z"
	})
	if err := live.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := live.Wait(); err != nil || strings.Contains(log.String(), "violation") {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// What is not built is refused, with the option, the reason and the remedy.
func TestClsyncRefuses(t *testing.T) {
	for _, words := range [][]string{{"--destination-dir=u@host:/x", "--mode=simple"}, {"--skip-initialsync"}, {"--socket=/run/x", "--socket-mod=666"}, {"--no-such-option"}} {
		all := append([]string{"clsync", "-W", t.TempDir(), "-D", t.TempDir(), "-S", "/usr/bin/rsync", "-M", "rsyncdirect"}, words...)
		ctx, stop := context.WithTimeout(t.Context(), limit) // what is not refused runs
		cmd := exec.CommandContext(ctx, program(t, "lockstep"), all...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		out, err := cmd.CombinedOutput()
		stop()
		option, _, _ := strings.Cut(words[0], "=")
		if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), option) {
			t.Errorf("%q: %v\n%s", words, err, out)
		}
	}
}
