//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// hookScript writes a program of root's.
func hookScript(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// bothModes runs a test with lockstep's own rsync, and with a handler that mirrors.
func bothModes(t *testing.T, test func(m *mirror)) {
	t.Helper()
	for _, mode := range []string{"rsync", "rsyncshell"} {
		t.Run(mode, func(t *testing.T) {
			beside(t)
			m := newMirror(t)
			if mode != "rsync" {
				m.flags = handler(t, mode, strings.ReplaceAll(byRsync, "DST", m.dst))
			}
			test(m)
		})
	}
}

// waiting is how a sync tells how much it leaves to the next start.
var waiting = regexp.MustCompile(`path(s wait, and are| waits, and is) (found|not copied) by the .*next start`)

// has says whether a file of the target has a content.
func (m *mirror) has(name, want string) bool {
	got, err := os.ReadFile(m.dst + "/" + name)
	return err == nil && string(got) == want
}

// begin starts a mirror and waits until its first pass is over: what changes from then
// on is of no pass.
func (m *mirror) begin(flags ...string) {
	m.t.Helper()
	name := fmt.Sprint("begun-", len(handled(m.src)))
	write(m.t, m.src+"/"+name, "x")
	m.start(flags...)
	m.await(0, "readiness", limit, m.isReady)
	m.await(0, "the first pass", limit, func(r record) bool { return strings.HasPrefix(r.str("msg"), "whole pass") })
	if !m.has(name, "x") {
		m.t.Error("the first pass has not copied what was there")
	}
	m.seen.look(m.cmd.Process.Pid)
}

// order wants messages to have come one after the other.
func (m *mirror) order(parts ...string) {
	m.t.Helper()
	all, from := m.output(), 0
	for _, part := range parts {
		at := strings.Index(all[from:], part)
		if at < 0 {
			m.t.Errorf("no %q, or not after what has to come before it (%q)", part, parts)
			return
		}
		from += at + len(part)
	}
}

// Two hooks: the first is called while all still runs, at SIGQUIT, and what changes
// until it has ended is copied; the last one when nothing does.
func TestHooks(t *testing.T) {
	beside(t)
	bothModes(t, func(m *mirror) {
		t := m.t
		state := t.TempDir() + "/state"
		// It waits for what is written once it runs: nothing else says that it does.
		pre := hookScript(t, strings.NewReplacer("SRC", m.src, "DST", m.dst).Replace(`#!/bin/sh
echo "told: $0 $# $1 $CLSYNC_STATUS"
until [ -e SRC/go ]; do sleep 0.05; done
echo early >DST/early
exit 3
`))
		last := hookScript(t, "#!/bin/sh\necho \"told: $0 $# $1 $CLSYNC_STATUS\"\n")
		m.begin("--name", "lab", "--hooks-pre-exit", pre, "--hooks-exit", last, "--status-file", state, "--delay", "30m", "--max-delay", "1h")
		m.signal(syscall.SIGQUIT)
		m.await(0, "the first hook", limit, says("told: "+pre+" 1 lab preexit"))
		m.seen.look(m.cmd.Process.Pid)
		m.eventually("the status file says so", func() bool { got, err := os.ReadFile(state); return err == nil && string(got) == "preexit" })
		mkdir(t, m.src+"/d/deep")
		write(t, m.src+"/d/deep/late", "x")
		write(t, m.src+"/go", "")
		if code := m.wait(limit); code != 0 {
			t.Errorf("exit code %d", code)
		}
		m.nothingLeft()
		if !m.has("d/deep/late", "x") {
			t.Error("what changed while the first hook ran is not on the target")
		}
		m.order("calling the hook "+pre, "told: "+pre, "ended with exit code 3, which changes nothing", "copying what waits", "stopped: ", "calling the hook "+last, "told: "+last+" 1 lab exiting", "the hook "+last+" has ended")
	})
}

// Of the ends that a person does not ask for, --once has both hooks, an end by a
// failure the last one; SIGTERM has the last one alone, and a dry run none.
func TestHooksAtEachEnd(t *testing.T) {
	beside(t)
	pre, last := hookScript(t, "#!/bin/sh\n"), hookScript(t, "#!/bin/sh\n")
	for name, c := range map[string]struct {
		flags []string
		end   func(m *mirror)
		hooks []bool
		code  int
	}{
		"once":    {[]string{"--once"}, func(*mirror) {}, []bool{true, true}, 0},
		"dry run": {[]string{"--dry-run"}, func(*mirror) {}, []bool{false, false}, 0},
		"SIGTERM": {nil, func(m *mirror) { m.ready(); m.signal(syscall.SIGTERM) }, []bool{false, true}, 0},
		"count":   {[]string{"--max-iterations", "1"}, func(*mirror) {}, []bool{false, true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			beside(t)
			m := newMirror(t)
			write(t, m.src+"/f", "x")
			m.start(append(c.flags, "--hooks-pre-exit", pre, "--hooks-exit", last)...)
			c.end(m)
			if code := m.wait(limit); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for i, path := range []string{pre, last} {
				if got := strings.Contains(m.output(), "calling the hook "+path); got != c.hooks[i] {
					t.Errorf("hook %d was called: %v, want %v", i, got, c.hooks[i])
				}
			}
		})
	}
}

// A hook that hangs is ended with all that it has started, at its limit or by a second
// signal; nothing else fails for it.
func TestHookHangs(t *testing.T) {
	beside(t)
	text := "#!/bin/sh\ntrap '' TERM INT QUIT\nsetsid sh -c 'trap \"\" TERM; sleep 3000' &\necho hangs\nsleep 3000\nsleep 3000\n"
	t.Run("limit", func(t *testing.T) {
		beside(t)
		m := newMirror(t, "--hooks-exit", hookScript(t, text), "--hooks-timeout", "300ms")
		write(t, m.src+"/f", "x")
		m.start().ready()
		m.signal(syscall.SIGTERM)
		m.await(0, "the hook", limit, says("hangs"))
		m.seen.look(m.cmd.Process.Pid)
		if code := m.wait(limit); code != 0 {
			t.Errorf("exit code %d", code)
		}
		m.order("hangs", "took longer than hooks.timeout")
		m.nothingLeft()
	})
	t.Run("signal", func(t *testing.T) {
		beside(t)
		m := newMirror(t, "--hooks-pre-exit", hookScript(t, text), "--hooks-timeout", "1h")
		write(t, m.src+"/f", "x")
		m.start().ready()
		m.signal(syscall.SIGQUIT)
		m.await(0, "the hook", limit, says("hangs"))
		m.seen.look(m.cmd.Process.Pid)
		m.eventually("an end by another signal", func() bool { // two at a time are one
			_ = m.cmd.Process.Signal(syscall.SIGTERM)
			return strings.Contains(m.output(), "nothing is waited for any longer")
		})
		if code := m.wait(limit); code != 0 {
			t.Errorf("exit code %d", code)
		}
		m.nothingLeft()
	})
}

// A hook reads the source, writes to the target, and does nothing else to the host
// that it tries; outside its jail it can do all of it.
func TestHookIsConfined(t *testing.T) {
	m := newMirror(t)
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "secret")
	write(t, m.src+"/f", "x")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	can := []string{"read-source cat SRC/f", "write-target touch DST/new", "scratch touch ${TMPDIR:-/tmp}/lockstep-PORT"}
	cannot := []string{"write-source touch SRC/new", "secret cat SECRET", "shadow cat /etc/shadow", "usr touch /usr/lockstep-PORT",
		"execute-target bash -c 'cp /bin/true DST/true && chmod 755 DST/true && DST/true'", "proc ls /proc/1", "network bash -c 'echo >/dev/tcp/127.0.0.1/PORT'",
		"signal kill -0 PID", "full head -c1 /dev/full"}
	text := "#!/bin/bash\ncan() { if \"${@:2}\" >/dev/null 2>&1; then echo \"can $1\"; else echo \"cannot $1\"; fi; }\n"
	for _, line := range append(can, cannot...) {
		text += "can " + line + "\n"
	}
	text = strings.NewReplacer("SRC", m.src, "DST", m.dst, "SECRET", secret, "PORT", port, "PID", fmt.Sprint(os.Getpid())).Replace(text + "echo done\n")
	program := hookScript(t, text)
	free, err := exec.CommandContext(t.Context(), program).CombinedOutput()
	for _, path := range []string{m.src + "/new", m.dst + "/new", m.dst + "/true", "/usr/lockstep-" + port, os.TempDir() + "/lockstep-" + port} {
		_ = os.Remove(path)
	}
	if err != nil || strings.Contains(string(free), "cannot ") {
		t.Fatalf("unconfined: %v\n%s", err, free)
	}
	m.start("--hooks-exit", program)
	m.ready()
	m.stop()
	if !strings.Contains(m.output(), "done") {
		t.Fatal("the hook has not come to its end")
	}
	word := func(line string) string { return strings.Fields(line)[0] }
	for _, line := range can {
		if !strings.Contains(m.output(), "can "+word(line)) {
			t.Errorf("a hook cannot %s", line)
		}
	}
	for _, line := range cannot {
		if !strings.Contains(m.output(), "cannot "+word(line)) {
			t.Errorf("a hook can %s", line)
		}
	}
}

// A hook that others could have written, or that is no program, is refused at the
// start.
func TestHookOfOthersIsRefused(t *testing.T) {
	for _, flag := range []string{"--hooks-exit", "--hooks-pre-exit"} {
		for mode, want := range map[os.FileMode]string{0o777: "not safe to run as root", 0o644: "not an executable program"} {
			path := hookScript(t, "#!/bin/sh\n")
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			m := newMirror(t, flag, path)
			if code := m.once(); code != 2 || !strings.Contains(m.output(), want) {
				t.Errorf("%s %v: exit code %d", flag, mode, code)
			}
		}
	}
}

// It ends after so many batches that were acknowledged, and with 0; directories that
// are made count no more than anything else.
func TestMaxIterations(t *testing.T) {
	bothModes(t, func(m *mirror) {
		t := m.t
		if len(m.flags) == 0 {
			m.flags = []string{"--delete", "never"} // then no pass begins beside the walk, which would be followed by a batch
		}
		m.begin("--max-iterations", "3", "--delay", "1s")
		mkdir(t, m.src+"/a/b/c/d", m.src+"/e", m.src+"/g", m.src+"/h")
		m.eventually("directories, as one batch", func() bool { _, err := os.Stat(m.dst + "/a/b/c/d"); return err == nil })
		write(t, m.src+"/last", "3")
		if code := m.wait(limit); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if !m.has("last", "3") {
			t.Error("it has ended before the third batch")
		}
		m.order("max_iterations: batches acknowledged: 3; ", "stopped: ")
		m.nothingLeft()
	})
}

// What waits when the count is reached is told, and found at the next start.
func TestMaxIterationsTellsWhatWaits(t *testing.T) {
	beside(t)
	m := newMirror(t)
	// Each call waits for a file in the target, which the pass deletes.
	text := "#!/bin/sh\necho begun\nuntil [ -e DST/go ]; do sleep 0.05; done\n" + strings.TrimPrefix(byRsync, "#!/bin/sh\n")
	m.flags = handler(t, "rsyncshell", strings.ReplaceAll(text, "DST", m.dst))
	write(t, m.src+"/f", "1")
	write(t, m.dst+"/go", "")
	m.start("--max-iterations", "2", "--delay", "0", "--max-delay", "0")
	m.eventually("a first pass", func() bool { _, err := os.Stat(m.dst + "/go"); return m.has("f", "1") && err != nil })
	m.await(0, "word of the first call", limit, says("begun"))
	at := m.mark()
	write(t, m.src+"/f", "2")
	m.await(at, "the second call", limit, says("begun"))
	write(t, m.src+"/third", "3") // of a batch that there is not
	write(t, m.dst+"/go", "")
	if code := m.wait(limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !waiting.MatchString(m.output()) || m.has("third", "3") {
		t.Error("nobody is told what waits, or nothing does")
	}
	m.flags = nil
	if code := m.once("--once"); code != 0 || !m.has("third", "3") {
		t.Errorf("the next start: exit code %d", code)
	}
}

// What waits at SIGQUIT is copied where that is asked for: also what nobody has heard
// of yet, and what is in a directory that was not listed. Without, or at SIGTERM, it
// is left.
func TestSyncOnQuit(t *testing.T) {
	beside(t)
	bothModes(t, func(m *mirror) {
		t := m.t
		slow := []string{"--delay", "30m", "--max-delay", "1h", "--big-file-size", "1KiB"}
		change := func(name string) {
			mkdir(t, m.src+"/"+name+"/deep")
			write(t, m.src+"/"+name+"/deep/f", name)
			write(t, m.src+"/"+name+"/big", strings.Repeat("x", 4096))
		}
		m.begin(append(slow, "--sync-on-quit")...)
		change("wanted")
		m.signal(syscall.SIGQUIT)
		if code := m.wait(limit); code != 0 || !m.has("wanted/deep/f", "wanted") || !m.has("wanted/big", strings.Repeat("x", 4096)) {
			t.Errorf("exit code %d, and not all is on the target", code)
		}
		m.order("copying what waits", "stopping: quit", "stopped: ")
		for sig, flags := range map[syscall.Signal][]string{syscall.SIGTERM: {"--sync-on-quit"}, syscall.SIGQUIT: nil} {
			m.begin(append(slow, flags...)...)
			change(sig.String())
			m.signal(sig)
			if code := m.wait(limit); code != 0 {
				t.Errorf("exit code %d", code)
			}
			absent(t, m.dst+"/"+sig.String())
		}
		m.nothingLeft()
	})
}

// However changes are heard of, all is heard that was there at SIGQUIT.
func TestSyncOnQuitWithEachMonitor(t *testing.T) {
	beside(t)
	for _, monitor := range []string{"inotify", "fanotify", "dnotify", "poll"} {
		t.Run(monitor, func(t *testing.T) {
			beside(t)
			m := newMirror(t, "--monitor", monitor, "--sync-on-quit", "--delay", "30m", "--max-delay", "1h")
			mkdir(t, m.src+"/old/deep")
			write(t, m.src+"/old/deep/gone", "x")
			m.begin()
			write(t, m.src+"/old/deep/f", "1")
			if err := os.Remove(m.src + "/old/deep/gone"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(m.src+"/old", m.src+"/new"); err != nil {
				t.Fatal(err)
			}
			mkdir(t, m.src+"/made/deep")
			write(t, m.src+"/made/deep/g", "2")
			m.signal(syscall.SIGQUIT)
			if code := m.wait(limit); code != 0 || !m.has("new/deep/f", "1") || !m.has("made/deep/g", "2") {
				t.Errorf("exit code %d, and not all is on the target", code)
			}
			absent(t, m.dst+"/old")
			absent(t, m.dst+"/new/deep/gone")
			m.nothingLeft()
		})
	}
}

// What cannot be copied within the limit of a stop keeps nobody.
func TestSyncOnQuitIsBounded(t *testing.T) {
	beside(t)
	m := newMirror(t)
	m.flags = handler(t, "shell", "#!/bin/sh\n[ \"$CLSYNC_STATUS\" = initsync ] && exit 0\nexec sleep 3000\n")
	m.start("--sync-on-quit", "--stop-timeout", "1s", "--delay", "30m", "--max-delay", "1h")
	m.await(0, "readiness", limit, m.isReady)
	m.seen.look(m.cmd.Process.Pid)
	write(t, m.src+"/f", "x")
	m.signal(syscall.SIGQUIT)
	if code := m.wait(limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
	m.order("copying what waits", "not all that waited was copied within --stop-timeout: ")
	m.nothingLeft()
}
