//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// untargeted is a mirror whose handler is told of a source, and has no target.
func untargeted(t *testing.T, mode, text string) *mirror {
	t.Helper()
	m := newMirror(t)
	m.targets, m.flags = []string{}, handler(t, mode, text)
	return m
}

// A handler without a target is told of what is there and of what changes.
func TestHandlerWithoutTarget(t *testing.T) {
	beside(t)
	const shows = "#!/bin/sh\ncat \"$3\"\n"
	for mode, c := range map[string]struct{ text, whole, came, gone string }{
		"shell":      {shows, "sync src 256 d/f", " d/new", "sync src 512 d/f"},
		"rsyncshell": {shows, "/***", "/d/new", "/d/f"},
		"simple":     {"#!/bin/sh\necho \"$*\"\n", "sync src 256 SRC/d/f", " SRC/d/new", "sync src 512 SRC/d/f"},
	} {
		t.Run(mode, func(t *testing.T) {
			beside(t)
			m := untargeted(t, mode, c.text)
			tells := func(line string) func(record) bool { return says(strings.ReplaceAll(line, "SRC", m.src)) }
			mkdir(t, m.src+"/d")
			write(t, m.src+"/d/f", "x")
			m.start("--delay", "50ms")
			m.await(0, "the first pass", limit, tells(c.whole))
			m.await(0, "readiness", limit, m.isReady)
			write(t, m.src+"/d/new", "y")
			m.await(0, "what came", limit, tells(c.came))
			if err := os.Remove(m.src + "/d/f"); err != nil {
				t.Fatal(err)
			}
			m.await(0, "what went", limit, tells(c.gone))
			m.stop()
		})
	}
}

// What such a handler could do with an emptied source nobody can count: where rsync's
// lists would have it delete all, the pass is held until a person agrees. So is one
// of another directory.
func TestHandlerWithoutTargetIsHeld(t *testing.T) {
	beside(t)
	m := untargeted(t, "rsyncshell", "#!/bin/sh\necho \"called $CLSYNC_STATUS\"\n")
	write(t, m.src+"/f", "x")
	pause(time.Second) // what has just changed is listed in any case, and so counted
	if code := m.once("--once"); code != 0 || !strings.Contains(m.output(), "called initsync") {
		t.Fatalf("exit code %d\n%s", code, m.output())
	}
	if err := os.Remove(m.src + "/f"); err != nil {
		t.Fatal(err)
	}
	if code := m.once("--once"); code != 1 || strings.Contains(m.output(), "called") || !strings.Contains(m.output(), "the source is empty") {
		t.Errorf("emptied: exit code %d\n%s", code, m.output())
	}
	if code := m.once("--once", "--accept-root"); code != 0 || !strings.Contains(m.output(), "called initsync") {
		t.Errorf("accepted: exit code %d\n%s", code, m.output())
	}
	if code := m.once("--once"); code != 0 || !strings.Contains(m.output(), "called initsync") {
		t.Errorf("consent is for good where nothing came since: exit code %d\n%s", code, m.output())
	}
	if err := os.Rename(m.src, m.src+" of before"); err != nil {
		t.Fatal(err)
	}
	mkdir(t, m.src)
	write(t, m.src+"/g", "x")
	if code := m.once("--once"); code != 1 || strings.Contains(m.output(), "called") {
		t.Errorf("another directory: exit code %d\n%s", code, m.output())
	}
}

// It can write to nothing but its own directory in memory, and it has no right but to
// read.
func TestHandlerWithoutTargetIsConfined(t *testing.T) {
	m := untargeted(t, "direct", `#!/bin/bash
can() { if "${@:2}" >/dev/null 2>&1; then echo "can $1"; else echo "cannot $1"; fi; }
can read cat SRC/f
can scratch touch $TMPDIR/x
can write-source touch SRC/new
can see-target ls DST
can root touch /new
can chown bash -c 'touch $TMPDIR/y && chown 12345 $TMPDIR/y'
echo done
`)
	m.flags = append(m.flags, "--handler-args", "%INCLUDE-LIST%")
	path := m.flags[3]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer("SRC", m.src, "DST", m.dst).Replace(string(text)))
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, m.src+"/f", "x")
	if err := os.Chown(m.src+"/f", 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.src+"/f", 0); err != nil {
		t.Fatal(err)
	}
	m.start()
	m.await(0, "the handler's end", limit, says("done"))
	for what, can := range map[string]bool{"read": true, "scratch": true, "write-source": false, "see-target": false, "root": false, "chown": false} {
		m.await(0, what, limit, says(map[bool]string{true: "can ", false: "cannot "}[can]+what))
	}
	m.stop()
	// Outside of the jail it can do most of it.
	twin := strings.ReplaceAll(string(text), "can root", ": can root") // not what would change this machine
	out, err := exec.CommandContext(t.Context(), "/bin/bash", "-c", "export TMPDIR="+t.TempDir()+"; "+twin).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"read", "scratch", "write-source", "see-target", "chown"} {
		if !strings.Contains(string(out), "can "+what+"\n") || strings.Contains(string(out), "cannot "+what+"\n") {
			t.Errorf("outside: %s\n%s", what, out)
		}
	}
}

// clsync's own first example for a dry run works as it stands, but for the program's
// whole path.
func TestClsyncEcho(t *testing.T) {
	m := newMirror(t)
	write(t, m.src+"/f", "x")
	run := clsync(t, "-M", "simple", "-S", "/bin/echo", "-W", m.src)
	out, err := run("--only-initialsync").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "sync nolabel 256 "+m.src+"/f") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A hook of such a sync has the source, and no target that could be shown to it.
func TestHandlerWithoutTargetHasHooks(t *testing.T) {
	beside(t)
	m := untargeted(t, "shell", "#!/bin/sh\necho \"called $CLSYNC_STATUS\"\n")
	write(t, m.src+"/f", "x")
	last := hookScript(t, strings.ReplaceAll("#!/bin/sh\necho \"hook: $CLSYNC_STATUS $(cat SRC/f)\"\n", "SRC", m.src))
	if code := m.once("--once", "--hooks-exit", last); code != 0 || !strings.Contains(m.output(), "called initsync") || !strings.Contains(m.output(), "hook: exiting x") {
		t.Errorf("exit code %d\n%s", code, m.output())
	}
}
