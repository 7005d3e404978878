//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
)

// All scripts hold where listings are compared.
func TestScriptsWithPoll(t *testing.T) {
	beside(t)
	scripts(t, scaled().someScripts, func(t *testing.T) *mirror { return newMirror(t, "--monitor", "poll", "--poll-every", "200ms") })
}

// Changes of every kind are found by comparing listings alone.
func TestPollFindsEveryKindOfChange(t *testing.T) {
	beside(t)
	m := newMirror(t, "--monitor", "poll", "--poll-every", "200ms")
	at := func(name string) string { return filepath.Join(m.src, name) }
	write := func(name, text string) error { return os.WriteFile(at(name), []byte(text), 0o644) }
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(at("dir/below"), 0o755), os.MkdirAll(at("was-dir/full"), 0o755), write("file", "one"), write("dir/below/f", "1"),
		write("gone", "x"), write("was-dir/full/f", "x"), write("was-file", "x"), write("other", "other"), os.Symlink("file", at("link")))
	m.start()
	m.await(0, "the choice", limit, says("changes are heard of by poll every 200ms"))
	m.equal()
	old := time.Unix(1_000_000_000, 0)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"content", func() error { return write("file", "two, longer") }},
		{"content of the same size", func() error { return write("dir/below/f", "2") }},
		{"content of the same size and time", func() error {
			return errors.Join(os.Chtimes(at("file"), old, old), write("file", "two, LONGER"), os.Chtimes(at("file"), old, old))
		}},
		{"mode", func() error { return errors.Join(os.Chmod(at("file"), 0o600), os.Chmod(at("dir/below"), 0o700)) }},
		{"owner", func() error { return errors.Join(os.Chown(at("file"), 1, 2), os.Chown(at("dir"), 3, 4)) }},
		{"the root itself", func() error { return errors.Join(os.Chmod(m.src, 0o711), os.Chtimes(m.src, old, old)) }},
		{"a new directory", func() error {
			return errors.Join(os.MkdirAll(at("new/a/b"), 0o755), write("new/a/b/f", "new"))
		}},
		{"gone", func() error { return os.Remove(at("gone")) }},
		{"renamed", func() error {
			return errors.Join(os.Rename(at("new/a"), at("dir/a")), os.Rename(at("file"), at("new/file")))
		}},
		{"one for another", func() error {
			return errors.Join(unix.Renameat2(unix.AT_FDCWD, at("other"), unix.AT_FDCWD, at("new/file"), unix.RENAME_EXCHANGE),
				unix.Renameat2(unix.AT_FDCWD, at("dir/a"), unix.AT_FDCWD, at("dir/below"), unix.RENAME_EXCHANGE))
		}},
		{"another kind", func() error {
			return errors.Join(os.RemoveAll(at("was-dir")), write("was-dir", "a file"), os.Remove(at("was-file")), os.Mkdir(at("was-file"), 0o755),
				os.Remove(at("link")), os.Symlink("new", at("link")))
		}},
		{"all at once", func() error { return os.RemoveAll(at("dir")) }},
	} {
		place := m.mark()
		must(step.do())
		t.Logf("%s: %v", step.name, m.equal())
		for _, r := range m.since(place) {
			if strings.Contains(r.str("msg"), "comparing the whole tree") {
				t.Errorf("%s: %s", step.name, r)
			}
		}
	}
	m.stop()
}

// Whatever directories do while they are listed, nothing is lost.
func TestPollInChurn(t *testing.T) {
	beside(t)
	s := scaled()
	seeded(t, s.churnSeeds, func(t *testing.T, seed uint64) {
		beside(t)
		m := newMirror(t, "--monitor", "poll", "--poll-every", "100ms")
		outside := m.src + "-outside"
		if err := os.Mkdir(outside, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := churn.Burst(m.src, seed, s.burstDirs, s.burstFiles); err != nil {
			t.Fatal(err)
		}
		m.start()
		r := churn.Rand(seed, 700)
		for range s.starts {
			stop := background(t, func(ctx context.Context) error {
				for ctx.Err() == nil {
					if err := churn.Dirs(m.src, outside, r.Uint64(), 40); err != nil {
						return err
					}
				}
				return nil
			})
			pause(time.Second)
			stop()
			t.Logf("equal after %v", m.equal())
		}
		m.stop()
	})
}

// bindfs shows a directory through FUSE: what is changed in it directly, nobody
// tells those who watch the mount.
func bindfs(t *testing.T, dir, at string) {
	t.Helper()
	testenv.NeedTool(t, "bindfs")
	c := exec.Command("bindfs", "-f", dir, at)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", at, err)
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = c.Process.Signal(syscall.SIGKILL)
			<-ended
		}
	})
	const fuse = 0x65735546
	for begin := time.Now(); ; pause(20 * time.Millisecond) {
		var st unix.Statfs_t
		if err := unix.Statfs(at, &st); err == nil && st.Type == fuse {
			return
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("bindfs does not mount; is /dev/fuse there?")
		}
	}
}

// On FUSE, lockstep chooses to compare listings by itself, and finds what is
// changed behind the mount within the interval. Events would not have told: the
// twin shows that.
func TestPollBehindFUSE(t *testing.T) {
	for _, twin := range []bool{false, true} {
		t.Run(map[bool]string{false: "poll", true: "twin"}[twin], func(t *testing.T) {
			const every = time.Second
			m := newMirror(t, "--poll-every", every.String())
			if twin {
				m.flags = []string{"--monitor", "inotify", "--allow-blind"}
			}
			under := filepath.Join(filepath.Dir(m.src), "under")
			for _, dir := range []string{under, under + "/sub"} {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			bindfs(t, under, m.src)
			m.start()
			choice := m.await(0, "the choice", limit, says("changes are heard of by"))
			if poll := strings.Contains(choice.str("msg"), "poll") && strings.Contains(choice.str("msg"), "fuse"); poll == twin {
				t.Errorf("%s", choice)
			}
			m.equal()
			var slowest time.Duration
			for i, name := range []string{"f", "sub/f", "sub/f", "sub/new/deep/f"} {
				path := filepath.Join(under, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte{'0' + byte(i)}, 0o644)); err != nil {
					t.Fatal(err)
				}
				if twin {
					continue
				}
				slowest = max(slowest, m.equal())
			}
			if twin {
				pause(3 * every)
				if diff, err := m.differ(); err == nil && len(diff) == 0 {
					t.Error("what was changed behind the mount has been seen without polling: the test tests nothing")
				}
				m.stop()
				return
			}
			t.Logf("found and copied after %v at most, with a listing every %v", slowest, every)
			if slack := 2 * time.Second; slowest > every+slack {
				t.Errorf("only after %v", slowest)
			}
			m.stop()
		})
	}
}

// What cannot be seen is refused, unless it is accepted or polled.
func TestBlindMonitorIsRefused(t *testing.T) {
	m := newMirror(t)
	under := filepath.Join(filepath.Dir(m.src), "under")
	if err := os.Mkdir(under, 0o755); err != nil {
		t.Fatal(err)
	}
	bindfs(t, under, m.src)
	refused(t, 2, m.args("--monitor", "inotify"), "does not see changes by others", "poll")
}

// Rules of the administrator's decide by place: for a sync that does not say, and if
// they are mandatory, against one that does. The log names the rule.
func TestMonitorRules(t *testing.T) {
	beside(t)
	f := newFleet(t, "silent", "overruled", "stubborn")
	base := filepath.Dir(f.file)
	f.service = []string{fmt.Sprintf("monitor_rules = [%q, %q, %q]", "path "+base+"/silent poll 300ms", "path "+base+"/stub* poll", "mandatory path "+base+"/over* poll 200ms")}
	f.part("overruled").flags = []string{`monitor = "inotify"`}
	f.part("stubborn").flags = []string{`monitor = "inotify"`}
	f.start()
	for name, want := range map[string]string{
		"silent":    "changes are heard of by poll every 300ms: rule 1 of monitor_rules says so",
		"overruled": "changes are heard of by poll every 200ms: rule 3 of monitor_rules says so",
		"stubborn":  "changes are heard of by inotify: its configuration says so",
	} {
		p := f.part(name)
		choice := f.await(0, "the choice for "+name, limit, p.about("changes are heard of by"))
		if choice.str("msg") != want {
			t.Errorf("%s: %s, want %s", name, choice, want)
		}
	}
	f.ready()
	for _, p := range f.parts {
		mkdir(t, p.src+"/d")
		write(t, p.src+"/d/f", "x")
	}
	f.equal()
	f.stop()
}

// A watch that would not see what others change is refused, too, also of a directory
// that is added at the prompt. Polled, it is taken, and what is changed behind the
// mount is told; with inotify it is accepted that that is not.
func TestBlindWatchIsRefused(t *testing.T) {
	testenv.NeedRoot(t)
	needInstances(t, 4)
	base := t.TempDir()
	under, at, plain := base+"/under", base+"/at", base+"/plain"
	mkdir(t, under, at, plain)
	bindfs(t, under, at)
	for _, monitor := range []string{"inotify", "fanotify", "dnotify"} {
		refused(t, 2, []string{"watch", "--monitor", monitor, at},
			at+": is on fuse, where "+monitor+" does not see changes by others (its configuration says so)", "use --monitor poll or auto", "--allow-blind")
	}
	cmd := exec.Command(program(t, "lockstep"), "watch", "--monitor", "inotify", "--interactive", plain)
	cmd.Stdin = strings.NewReader("add " + at + "\nroots\nquit\n")
	var log bytes.Buffer
	cmd.Stderr = &log
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	out, err := cmd.Output()
	timer.Stop()
	if err != nil || !strings.Contains(string(out)+log.String(), "where inotify does not see changes by others") ||
		!strings.Contains(string(out), plain+"\n") || strings.Contains(string(out), "\n"+at+"\n") {
		t.Errorf("added at the prompt: %v\n%s\n%s", err, out, &log)
	}
	for _, flags := range [][]string{{"--monitor", "poll"}, nil} {
		s := spyOn(t, at, append([]string{"--format", "json", "--poll-every", "200ms"}, flags...)...)
		s.await(0, "the choice", limit, says("changes are heard of by poll every 200ms"))
		name := fmt.Sprintf("behind-%d", len(flags))
		write(t, under+"/"+name, "x")
		s.untilLine(1, "what is changed behind the mount", func(l line) bool { return l.Op == "create" && l.Path == name })
		s.stop()
	}
	s := spyOn(t, at, "--format", "json", "--monitor", "inotify", "--allow-blind")
	s.await(0, "the choice", limit, says("changes are heard of by inotify"))
	write(t, under+"/unseen", "x")
	write(t, at+"/seen", "x")
	s.untilLine(1, "what is changed by the mount", func(l line) bool { return l.Op == "create" && l.Path == "seen" })
	s.stop()
	if strings.Contains(strings.Join(s.lines, "\n"), `"path":"unseen"`) {
		t.Error("what was changed behind the mount has been told without polling: the test tests nothing")
	}
}
