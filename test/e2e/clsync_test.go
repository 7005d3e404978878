//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// clsync is lockstep with clsync's words, for one source and target. What it leaves
// in the directories of the host goes at the end: they have no option.
func clsync(t *testing.T, words ...string) func(more ...string) *exec.Cmd {
	t.Helper()
	return called(t, "clsync", words...)
}

// called is the same by another name of the program.
func called(t *testing.T, name string, words ...string) func(more ...string) *exec.Cmd {
	t.Helper()
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(program(t, "lockstep"), link); err != nil {
		t.Fatal(err)
	}
	own := len(words)
	if i := slices.Index(words, "--"); i >= 0 {
		own = i // what follows is for the handler
	}
	run := func(more ...string) *exec.Cmd {
		return exec.Command(link, slices.Concat(words[:own], more, words[own:])...)
	}
	text, err := run("--print-config").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`/run/lockstep/clsync-([0-9a-f]{16})"`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no directory of its own:\n%s", text)
	}
	source := regexp.MustCompile(`(?m)^source = "(.*)"$`).FindSubmatch(text)
	if source == nil {
		t.Fatalf("no source:\n%s", text)
	}
	t.Cleanup(func() {
		states, _ := filepath.Glob("/var/lib/lockstep/*.json") // of a handler without a target, by another name
		for _, path := range states {
			if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, append(slices.Clip(source[1]), '"')) {
				_ = os.Remove(path)
			}
		}
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
	// No file is big with -B0: with clsync each was, and waited for an hour. -b forks no
	// process away, whose number the file would have.
	pid := filepath.Join(t.TempDir(), "pid")
	run := clsync(t, "-M", "rsyncdirect", "-W", m.src, "-D", m.dst, "-R", rules, "-t", "0.1", "-w", "1", "-B0", "-T", "3600", "-b", "-l", "x%PID%", "-z", pid)
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
	own := strconv.Itoa(live.Process.Pid)
	if b, err := os.ReadFile(pid); err != nil || string(b) != own {
		t.Errorf("the pid file says %q, not %s: %v", b, own, err)
	}
	if err := live.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := live.Wait(); err != nil || strings.Contains(log.String(), "violation") || !strings.Contains(log.String(), "sync=x"+own) {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// What is not built is refused, with the option, the reason and the remedy.
func TestClsyncRefuses(t *testing.T) {
	for _, words := range [][]string{{"--destination-dir=u@host:/x", "--mode=simple"}, {"--chroot=/srv"}, {"--socket=/run/x", "--socket-mod=666"}, {"--no-such-option"}} {
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
