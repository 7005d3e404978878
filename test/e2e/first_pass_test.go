//go:build e2e

package e2e

import (
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
)

// aged waits until what was last changed at a path is old enough for nothing to take
// it for a change of the start.
func aged(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		pause(time.Until(time.Unix(st.Ctim.Unix()).Add(1500 * time.Millisecond)))
	}
}

// skipping starts a mirror without a first pass, of a tree in which a file was made, one
// was changed and one deleted before.
func (m *mirror) skipping(flags ...string) {
	t := m.t
	t.Helper()
	mkdir(t, m.src+"/d", m.dst+"/d")
	write(t, m.src+"/d/before", "made before")
	write(t, m.src+"/changed", "changed before")
	write(t, m.dst+"/changed", "old")
	write(t, m.dst+"/stale", "deleted before")
	aged(t, m.src, m.src+"/d", m.src+"/d/before", m.src+"/changed")
	m.start(append([]string{"--first-pass", "skip"}, flags...)...)
	m.await(0, "the warning", limit, says("what changed before this sync is ready"))
	m.await(0, "readiness", limit, m.isReady)
}

// passed says that a whole pass has ended.
func passed(m *mirror) bool {
	return strings.Contains(m.output(), "whole pass done") || strings.Contains(m.output(), "whole pass ended")
}

// unpassed wants the target to lack what changed before the start, and no pass.
func (m *mirror) unpassed() {
	m.t.Helper()
	if m.has("d/before", "made before") || !m.has("changed", "old") || !m.has("stale", "deleted before") {
		m.t.Errorf("what changed before the start has been copied: %q", handled(m.dst))
	}
	if passed(m) {
		m.t.Error("there was a whole pass")
	}
}

// follows changes the source in ways that are told differently, and waits for the target.
func (m *mirror) follows(round string) {
	t := m.t
	t.Helper()
	mkdir(t, m.src+"/new-"+round+"/deep", m.src+"/d/"+round)
	write(t, m.src+"/new-"+round+"/deep/f", round)
	write(t, m.src+"/d/"+round+"/f", round)
	if err := os.Rename(m.src+"/new-"+round, m.src+"/moved-"+round); err != nil {
		t.Fatal(err)
	}
	m.eventually("changes of "+round, func() bool {
		_, err := os.Lstat(m.dst + "/new-" + round)
		return m.has("moved-"+round+"/deep/f", round) && m.has("d/"+round+"/f", round) && errors.Is(err, os.ErrNotExist)
	})
	if err := os.RemoveAll(m.src + "/moved-" + round); err != nil {
		t.Fatal(err)
	}
	m.eventually("a deletion of "+round, func() bool { _, err := os.Lstat(m.dst + "/moved-" + round); return errors.Is(err, os.ErrNotExist) })
}

// Without a first pass what comes is copied and what was there is not, until there is a
// reason for a whole pass: a person's, or events that nobody has read.
func TestSkipFirstPass(t *testing.T) {
	for _, reason := range []string{"SIGUSR2", "death"} {
		t.Run(reason, func(t *testing.T) {
			bothModes(t, func(m *mirror) {
				m.skipping()
				m.follows("first")
				m.unpassed()
				at := m.mark()
				if reason == "death" {
					m.killOne("lockstep-worker")
				} else {
					m.signal(syscall.SIGUSR2)
				}
				m.await(at, "the whole pass", limit, says("whole pass done"))
				m.alike()
				m.follows("second")
				m.stop()
				if n := strings.Count(m.output(), "what changed before this sync is ready"); n != 1 {
					m.t.Errorf("the warning came %d times", n)
				}
				m.nothingLeft()
			})
		})
	}
}

// A whole pass of a start without a first pass goes by size and time: content that changed
// before, and that these do not show, is still looked for by the next first pass.
func TestSkipFirstPassForgetsNoDoubt(t *testing.T) {
	beside(t)
	m := newMirror(t)
	old := time.Now().Add(-time.Hour)
	put := func(text string) {
		t.Helper()
		write(t, m.src+"/f", text)
		if err := os.Chtimes(m.src+"/f", old, old); err != nil {
			t.Fatal(err)
		}
	}
	put("before")
	m.start()
	m.ready()
	m.stop()
	put("behind")
	aged(t, m.src, m.src+"/f")
	m.start("--first-pass", "skip")
	m.await(0, "readiness", limit, m.isReady)
	m.follows("meanwhile")
	at := m.mark()
	m.signal(syscall.SIGUSR2)
	m.await(at, "the whole pass", limit, says("whole pass done"))
	m.inStep(limit)
	m.stop()
	if !m.has("f", "before") {
		t.Fatal("the pass has looked at content: this shows nothing")
	}
	m.start()
	m.ready()
	if !m.has("f", "behind") {
		t.Error("content that changed before the start without a first pass is not looked for any more")
	}
	m.stop()
}

// A handler that is told path by path is told of none that was there, and never of a
// first pass.
func TestSkipFirstPassTold(t *testing.T) {
	m := newMirror(t)
	m.flags = handler(t, "simple", strings.ReplaceAll("#!/bin/sh\necho \"$CLSYNC_STATUS $4\" >>DST/calls\n", "DST", m.dst))
	m.skipping()
	write(t, m.src+"/d/after", "x")
	m.eventually("the call", func() bool {
		got, err := os.ReadFile(m.dst + "/calls")
		return err == nil && strings.Contains(string(got), "/d/after\n")
	})
	got, err := os.ReadFile(m.dst + "/calls")
	if err != nil || strings.Contains(string(got), "before") || strings.Contains(string(got), "changed") || strings.Contains(string(got), "initsync") {
		t.Errorf("calls: %q, %v", got, err)
	}
	m.stop()
}

// What changes while directories are still being placed under watch is copied: the
// helper is stopped in the middle of its walk.
func TestSkipFirstPassChangedInTheWalk(t *testing.T) {
	m := newMirror(t)
	deep := filepath.Join(m.src, "a", strings.Repeat("d/", 12)+"e")
	away := m.src + "-outside"
	mkdir(t, deep, deep+"/from/below", deep+"/to", away+"/in")
	for _, name := range []string{"deleted", "edited", "renamed", "from/file", "from/below/file"} {
		write(t, filepath.Join(deep, name), "before")
	}
	write(t, away+"/in/file", "moved in")
	for i := range 6000 { // so that the walk is under way when the helper is stopped
		mkdir(t, fmt.Sprintf("%s/z/%d/%d", m.src, i/100, i%100))
	}
	if code := m.once("--once"); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	write(t, m.src+"/missed", "it is of no start")
	aged(t, m.src, m.src+"/missed", away+"/in/file")
	m.start("--first-pass", "skip", "--monitor", "inotify")
	helper := m.any("lockstep-helper")
	m.watching(helper, 1) // the walk has begun
	if err := syscall.Kill(helper.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	late := watches(helper.pid) >= 6000
	write(t, deep+"/edited", "behind") // its size is what it was
	write(t, deep+"/made", "made")
	if err := errors.Join(
		os.Remove(deep+"/deleted"), os.Rename(deep+"/renamed", deep+"/by another name"),
		os.Rename(deep+"/from", deep+"/to/from"), os.Rename(away+"/in", deep+"/in"),
		syscall.Kill(helper.pid, syscall.SIGCONT),
	); err != nil {
		t.Fatal(err)
	}
	if late {
		t.Fatal("the walk had ended before the changes were made: this shows nothing")
	}
	copied := strings.TrimPrefix(deep, m.src+"/")
	m.eventually("what changed in the walk", func() bool {
		for rel, want := range map[string]string{"edited": "behind", "made": "made", "by another name": "before", "to/from/file": "before", "to/from/below/file": "before", "in/file": "moved in"} {
			if !m.has(copied+"/"+rel, want) {
				return false
			}
		}
		for _, rel := range []string{"deleted", "renamed", "from"} {
			if _, err := os.Lstat(m.dst + "/" + copied + "/" + rel); !errors.Is(err, os.ErrNotExist) {
				return false
			}
		}
		return true
	})
	if m.has("missed", "it is of no start") || passed(m) {
		t.Error("there was a first pass")
	}
	m.stop()
}

// What waits at the end is told: the next start does not look for it.
func TestSkipFirstPassTellsWhatWaited(t *testing.T) {
	m := newMirror(t)
	m.skipping("--delay", "30m", "--max-delay", "1h")
	waits := ""
	m.eventually("a change waits", func() bool { // one that comes as the walk ends is copied with what came in it
		waits = fmt.Sprint("waits", m.mark())
		write(t, m.src+"/"+waits, "x")
		r := m.report()
		return r.num("queue") > 0 && r.num("in_flight") == 0
	})
	m.signal(syscall.SIGTERM)
	if code := m.wait(limit); code != 0 {
		t.Errorf("exit code %d", code)
	}
	m.await(0, "the warning", limit, func(r record) bool {
		return waiting.MatchString(r.String()) && says("which has no first pass: ask for a whole pass")(r)
	})
	if m.has(waits, "x") {
		t.Error("it was copied all the same: this shows nothing")
	}
}

// A sync that takes the place of another one at a reload compares: what changed in
// between, or waited, would be lost.
func TestSkipFirstPassReload(t *testing.T) {
	f := newFleet(t, "one", "two")
	for _, p := range f.parts {
		write(t, p.src+"/before", "x")
		p.flags = []string{`first_pass = "skip"`}
		aged(t, p.src, p.src+"/before")
	}
	one, two := f.part("one"), f.part("two")
	f.start()
	for _, p := range f.parts {
		f.await(0, "readiness", limit, p.isReady)
		p.follows("first")
	}
	one.flags = append(one.flags, `delay = "100ms"`)
	at := f.mark()
	f.reload()
	f.await(at, "readiness", limit, one.isReady)
	one.alike()
	two.follows("second")
	if two.has("before", "x") {
		t.Error("the sync that has not changed has made a pass")
	}
	f.stop()
	f.nothingLeft()
}

// What the real clsync copies with --skip-initialsync and what it does not, and lockstep
// with the same words.
func TestSkipInitialSyncSideBySide(t *testing.T) {
	var sides [2]*side
	for i, name := range []string{"clsync", "lockstep"} {
		s := newSide(t, name, "rsyncdirect", "mkdir d; echo before >d/before; echo changed >f")
		write(t, s.dst()+"/stale", "")
		s.words = []string{"-H", "/NULL/", "-M", "rsyncdirect", "-w0", "-t1", "-T1", "-l", "lab", "-W", s.src(), "-D", s.dst(), "-S", testenv.NeedTool(t, "rsync"), "--skip-initialsync", "--status-file", s.dir + "/status"}
		aged(t, s.src(), s.src()+"/f", s.src()+"/d", s.src()+"/d/before")
		if name == "clsync" { // it writes its status file as nobody
			if err := os.Chown(s.dir, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		sides[i] = s
	}
	both(t, sides[0], sides[1])
	await := &mirror{t: t}
	for _, s := range sides {
		await.eventually(s.name+" runs", func() bool {
			if s.name == "clsync" { // it is "starting" until something happens
				return watches(s.pid) >= 2
			}
			got, err := os.ReadFile(s.dir + "/status")
			return err == nil && strings.TrimSpace(string(got)) == "running"
		})
		s.do("mkdir d/new; echo after >d/new/after; mv f g")
	}
	for _, s := range sides {
		await.eventually(s.name+" copies what comes", func() bool {
			got, err := os.ReadFile(s.dst() + "/d/new/after")
			_, moved := os.Stat(s.dst() + "/g")
			return err == nil && string(got) == "after\n" && moved == nil
		})
		absent(t, s.dst()+"/d/before")
		absent(t, s.dst()+"/f")
	}
	if out, err := exec.Command("diff", "-r", sides[0].dst(), sides[1].dst()).CombinedOutput(); err != nil {
		t.Logf("the two targets differ: %v\n%s", err, out)
	}
}
