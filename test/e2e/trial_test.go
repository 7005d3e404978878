//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// badRsyncs are what a trial must find out, and a word of what is said then.
var badRsyncs = map[string]struct{ body, want string }{
	"too old":      {`puts("rsync  version 3.0.9  protocol version 30"); return 0;`, "3.0.9"},
	"does nothing": {`puts("rsync  version 3.4.1  protocol version 32"); return 0;`, "rsync"},
	"fails":        {`return 1;`, "rsync"},
	"fails late":   {`usleep(700000); return 1;`, "rsync"},
}

// fakeRsync makes a program that is none, where only root can write.
func fakeRsync(t *testing.T, body string) string {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "gcc")
	dir, err := os.MkdirTemp("/usr/local/lib", "lockstep-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	write(t, dir+"/r.c", "#include <stdio.h>\n#include <unistd.h>\nint main(void) { "+body+" }\n")
	command(t, "gcc", "-o", dir+"/rsync", dir+"/r.c")
	return dir + "/rsync"
}

// refused wants a target as it was, and nobody to have been
// told of readiness.
func (m *mirror) refused(code int, want string) {
	m.t.Helper()
	if code != 2 {
		m.t.Errorf("exit code %d, want 2", code)
	}
	out := m.output()
	if !strings.Contains(out, want) {
		m.t.Errorf("it does not say %q:\n%s", want, out)
	}
	if strings.Contains(out, "ready: ") || strings.Contains(out, "go on") {
		m.t.Errorf("it says that it was ready, or that something goes on:\n%s", out)
	}
	names, err := filepath.Glob(m.dst + "/*")
	if err != nil || !slices.Equal(names, []string{m.dst + "/stale"}) {
		m.t.Errorf("the target has %q (%v), want what it had", names, err)
	}
	m.nothingLeft()
}

// An rsync that is too old, or lies: what the trial at the start shows decides,
// also when all is watched before it has shown it.
func TestUselessRsync(t *testing.T) {
	beside(t)
	for name, c := range badRsyncs {
		for _, once := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, once %v", name, once), func(t *testing.T) {
				bad := fakeRsync(t, c.body)
				m := newMirror(t)
				write(t, m.src+"/f", "x")
				write(t, m.dst+"/stale", "y")
				flags := []string{"--rsync-path", bad}
				if once {
					flags = append(flags, "--once")
				}
				m.start(flags...)
				if name == "fails late" {
					m.watching(m.any("lockstep-helper"), 1)
				}
				m.refused(m.wait(time.Minute), c.want)
			})
		}
	}
}

// A target that is not there is not made for an rsync that is of no use, and
// nothing is remembered of it.
func TestUselessRsyncMakesNoTarget(t *testing.T) {
	bad := fakeRsync(t, badRsyncs["fails"].body)
	m := newMirror(t)
	if err := os.Remove(m.dst); err != nil {
		t.Fatal(err)
	}
	if code := m.once("--once", "--rsync-path", bad); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	if _, err := os.Lstat(m.dst); !os.IsNotExist(err) {
		t.Errorf("the target is there: %v", err)
	}
	if left, err := filepath.Glob(m.state + "/*.json"); err != nil || len(left) != 0 {
		t.Errorf("something is remembered: %q %v", left, err)
	}
}

// One useless rsync of several is the end of all, before any target is touched.
func TestUselessRsyncOfSeveral(t *testing.T) {
	beside(t)
	f := newFleet(t, "fine", "spoilt")
	for _, part := range f.parts {
		write(t, part.src+"/f", "x")
		write(t, part.dst+"/stale", "y")
	}
	f.part("spoilt").flags = []string{fmt.Sprintf("rsync_path = %q", fakeRsync(t, badRsyncs["fails late"].body))}
	f.start()
	fine := *f.mirror
	code := f.wait(time.Minute)
	for _, part := range f.parts {
		fine.dst = part.dst
		fine.refused(code, "rsync")
	}
}

// The whole tree is watched while rsync's trial is still under way: nothing is
// copied and nobody is told of readiness before its end; then all goes on.
func TestTrialBesideWalk(t *testing.T) {
	m := newMirror(t)
	for i := range 300 {
		if err := os.Mkdir(fmt.Sprintf("%s/%d", m.src, i), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, fmt.Sprintf("%s/%d/f", m.src, i), "x")
	}
	write(t, m.dst+"/stale", "y")
	m.start()
	// The trial runs several, each for a moment: one that is ending does not stop.
	tried := m.awaitProc("the trial's rsync, stopped", func(p proc) bool {
		return p.role == "rsync" && p.ofTrial() && syscall.Kill(p.pid, syscall.SIGSTOP) == nil && stopped(p.pid)
	})
	m.watching(m.any("lockstep-helper"), 301)
	at := m.mark()
	m.signal(sigState)
	m.await(at, "the state", limit, func(r record) bool { return strings.Contains(r.str("msg"), "no worker is ready") })
	if r := m.role("lockstep-runner"); len(r) != 0 {
		t.Errorf("runners before the end of the trial: %+v", r)
	}
	early := slices.ContainsFunc(m.since(0), isReady)
	if names, err := os.ReadDir(m.dst); err != nil || len(names) != 1 || early {
		t.Errorf("before the end of the trial: ready %v, the target has %v (%v)", early, names, err)
	}
	if left, err := filepath.Glob(m.state + "/*.json"); err != nil || len(left) != 0 {
		t.Errorf("before the end of the trial something is remembered: %q %v", left, err)
	}
	if err := syscall.Kill(tried.pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.ready()
	write(t, m.src+"/later", "z")
	m.equal()
	m.stop()
}

// stopped waits until a process that was sent SIGSTOP stands still; false: it ends.
func stopped(pid int) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, after, found := strings.Cut(string(text), ") ")
		if err != nil || !found || after[0] == 'Z' || after[0] == 'X' {
			return false
		}
		if after[0] == 'T' {
			return true
		}
	}
}

// A signal is not kept waiting by a trial that hangs, whatever else goes on.
func TestEndBesideTrial(t *testing.T) {
	hangs := fakeRsync(t, `for (;;) pause();`)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		m := newMirror(t)
		write(t, m.dst+"/stale", "y")
		m.start("--rsync-path", hangs)
		m.watching(m.any("lockstep-helper"), 1)
		m.signal(sig)
		if code := m.wait(20 * time.Second); code != 0 {
			t.Errorf("%v: exit code %d, want 0", sig, code)
		}
		if names, err := os.ReadDir(m.dst); err != nil || len(names) != 1 {
			t.Errorf("the target has %v (%v), want what it had", names, err)
		}
		m.nothingLeft()
	}
}

// Who dies beside the trial is started again beside it.
func TestDeathBesideTrial(t *testing.T) {
	m := newMirror(t)
	write(t, m.src+"/f", "x")
	m.start()
	tried := m.awaitProc("the trial's rsync, stopped", func(p proc) bool {
		return p.role == "rsync" && p.ofTrial() && syscall.Kill(p.pid, syscall.SIGSTOP) == nil && stopped(p.pid)
	})
	for _, role := range []string{"lockstep-helper", "lockstep-worker"} {
		helper := m.any("lockstep-helper")
		m.watching(helper, 1)
		if err := syscall.Kill(m.any(role).pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		m.watching(m.other("lockstep-helper", helper), 1)
	}
	if err := syscall.Kill(tried.pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.ready()
	m.stop()
}
