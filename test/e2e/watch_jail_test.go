//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lockstep/test/churn"
)

// The helper and the worker of a watch are confined as those of a mirror are, and
// there is no other process.
func TestWatchIsConfined(t *testing.T) {
	s := newSpy(t)
	write(t, s.src+"/f", "x")
	s.sync(1)
	for role, caps := range map[string]uint64{"lockstep-helper": capDACReadSearch, "lockstep-worker": 0} {
		pid := s.the(role).pid
		for _, path := range tasks(t, pid) {
			for name, want := range map[string]string{"NoNewPrivs": "1", "Seccomp": "2"} {
				if got := field(t, path, name); got != want {
					t.Errorf("%s: %s: %s %s, want %s", role, path, name, got, want)
				}
			}
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				if got, err := strconv.ParseUint(field(t, path, set), 16, 64); err != nil || got != caps {
					t.Errorf("%s: %s: %s is %#x (%v), want %#x", role, path, set, got, err, caps)
				}
			}
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || !strings.Contains(exe, "memfd:") {
			t.Errorf("%s runs %q (%v), not a sealed image", role, exe, err)
		}
		most := map[string]map[string]int{
			"lockstep-helper": {"socket": 2, "anon_inode:inotify": 1, "/roots/1": 1, "memfd": 1, "pipe": 2},
			"lockstep-worker": {"socket": 2, "anon_inode:inotify": 1, "pipe": 3},
		}[role]
		for kind, n := range descriptors(t, pid) {
			runtime := kind == "/dev/null" || strings.HasPrefix(kind, "anon_inode:[event")
			if !runtime && n > most[kind] {
				t.Errorf("%s holds %d × %s, at most %d", role, n, kind, most[kind])
			}
		}
	}
	if m := mountsOf(t, s.the("lockstep-worker").pid); len(m) != 1 || !hasOption(m["/"], "ro") {
		t.Errorf("worker: %v", m)
	}
	if m := mountsOf(t, s.the("lockstep-helper").pid); len(m) != 2 || !hasOption(m["/roots/1"], "ro") {
		t.Errorf("helper: %v", m)
	}
	for _, p := range family(s.cmd.Process.Pid) {
		if p.role != "lockstep-helper" && p.role != "lockstep-worker" {
			t.Errorf("there is a process %+v", p)
		}
	}
	for kind := range descriptors(t, s.cmd.Process.Pid) {
		if kind == s.src || strings.HasPrefix(kind, s.src+"/") {
			t.Errorf("the supervisor holds %s: an unmount would fail", kind)
		}
	}
	s.stop()
}

// hasOp says whether one of the lines is of an operation.
func hasOp(op string) func([]string) bool {
	return func(lines []string) bool {
		return strings.Contains(strings.Join(lines, "\n"), `"op":"`+op+`"`)
	}
}

// A worker that is killed is there again, and a line says that changes may have
// been missed.
func TestWatchKilledWorker(t *testing.T) {
	s := newSpy(t)
	if err := syscall.Kill(s.the("lockstep-worker").pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("a rescan", hasOp("rescan"))
	write(t, s.src+"/f", "x")
	s.until("a change after it", hasOp("create"))
	s.stop()
}

// Events that are lost are told: overflow at once, rescan when all is told again.
func TestWatchOverflow(t *testing.T) {
	sysctl(t, "fs.inotify.max_queued_events", "64")
	dir := t.TempDir()
	if err := churn.Burst(dir, 1, 30, 60); err != nil {
		t.Fatal(err)
	}
	s := spyOn(t, dir, "--format", "json", "--stats")
	worker := s.the("lockstep-worker").pid
	err := syscall.Kill(worker, syscall.SIGSTOP)
	err = errors.Join(err, churn.Burst(s.src, 2, 30, 600), os.RemoveAll(s.src+"/dir004"), syscall.Kill(worker, syscall.SIGCONT))
	if err != nil {
		t.Fatal(err)
	}
	s.until("an overflow", hasOp("overflow"))
	lines := s.until("a rescan", hasOp("rescan"))
	write(t, s.src+"/dir000/after", "x")
	s.until("a change after it", func(l []string) bool {
		return strings.Contains(strings.Join(l[len(lines):], "\n"), `"path":"dir000/after"`)
	})
	s.stop()
	if last := s.lines[len(s.lines)-1]; !strings.Contains(last, `"op":"stats"`) || strings.Contains(last, `"overflows":0`) || strings.Contains(last, `"rescans":0`) {
		t.Errorf("the last line is no line of numbers: %s", last)
	}
}

// Without watches for all directories, a person is told what to do.
func TestWatchWithoutWatches(t *testing.T) {
	dir := t.TempDir()
	if err := churn.Burst(dir, 1, 60, 60); err != nil {
		t.Fatal(err)
	}
	sysctl(t, "fs.inotify.max_user_watches", "20")
	s := spyOn(t, dir, "--format", "json")
	s.await(0, "advice", limit, says("Set sysctl fs.inotify.max_user_watches to at least"))
	s.stop()
}

// Who does not read loses lines, and is told so; nothing else waits for it.
func TestWatchSlowReader(t *testing.T) {
	sysctl(t, "fs.inotify.max_queued_events", "1048576") // the kernel's queue is not what is to be full
	s := newSpy(t, "--stats")
	var files []string
	for _, c := range "ab" {
		files = append(files, filepath.Join(s.src, strings.Repeat(string(c), 250)))
		write(t, files[len(files)-1], "x")
	}
	s.sync(1)
	s.linesMu.Lock() // take waits from its next line on
	var err error
	for i := 0; i < 60000 && err == nil; i++ { // 20 MB of lines
		err = os.Chmod(files[i%2], 0o600)
	}
	s.linesMu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	s.until("an overflow", hasOp("overflow"))
	lines := s.until("a rescan", hasOp("rescan"))
	if !strings.Contains(strings.Join(lines, "\n"), "too slow") {
		t.Errorf("no line says that the reader was too slow")
	}
	s.stop()
	if l := parsed(t, s.lines[len(s.lines)-1]); l.Op != "stats" || l.RescansOther == 0 || l.Rescans != l.RescansOverflow+l.RescansUnwatched+l.RescansOther {
		t.Errorf("the causes of rescans are not in the last line, or do not add up: %+v", l)
	}
}

// A root that goes is told, and watched again when it is back. (dnotify and poll
// leave it to the supervisor's looks.)
func TestWatchRootRenamed(t *testing.T) {
	for _, monitor := range []string{"inotify", "fanotify"} {
		t.Run(monitor, func(t *testing.T) {
			base := t.TempDir()
			mkdir(t, base+"/r")
			s := spyOn(t, base+"/r", "--format", "json", "--monitor", monitor)
			rename(t, base+"/r", base+"/other")
			s.until("the end of the root", hasOp("delete"))
			rename(t, base+"/other", base+"/r")
			s.until("a rescan", hasOp("rescan"))
			write(t, base+"/r/f", "x")
			s.until("a change", hasOp("create"))
			s.stop()
		})
	}
}

// With --follow-renames it is watched on, with every monitor, by the same processes,
// and also while another directory has its name.
func TestWatchRootFollowed(t *testing.T) {
	for _, m := range watchMonitors {
		if m.user {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			beside(t)
			base := t.TempDir()
			mkdir(t, base+"/r", base+"/r/d")
			s := spyOn(t, base+"/r", append([]string{"--format", "json", "--follow-renames"}, m.flags...)...)
			before := s.confinedProcs()
			rename(t, base+"/r", base+"/other")
			mkdir(t, base+"/r")
			write(t, base+"/r/not-the-root", "x")
			write(t, base+"/other/d/f", "x") // the events of the rename are told before
			is := func(op, path string) func(line) bool {
				return func(l line) bool { return l.Op == op && l.Path == path }
			}
			_, at := s.untilLine(1, "a change at the new place", is("create", "d/f"))
			mkdir(t, base+"/other/new")
			_, at = s.untilLine(at, "a new directory there", is("create", "new"))
			rename(t, base+"/other", base+"/third")
			write(t, base+"/third/new/g", "x")
			s.untilLine(at, "a change in it, at another place", is("create", "new/g"))
			for id, one := range s.confinedProcs() {
				if _, was := before[id]; !was {
					t.Errorf("begun again: %+v", one)
				}
			}
			s.stop()
			if text := strings.Join(s.lines, "\n"); strings.Contains(text, "not-the-root") || strings.Contains(text, "watched from now on") {
				t.Errorf("the lines are\n%s", text)
			}
		})
	}
}

// What cannot be watched is refused, all of it at once.
func TestWatchRefuses(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir+"/a")
	write(t, dir+"/f", "x")
	refused(t, 2, []string{"watch", dir + "/none", dir + "/f", dir, dir + "/a", "--exclude", "["},
		"none: no such file or directory; name a directory that is there",
		"f: is not a directory; watch the directory that it is in",
		"which is watched as well; name directories apart", "--exclude: ")
}
