//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
)

// line is a line of lockstep watch, as JSON has it.
type line struct {
	Root, Op, Type, Path, From, Cause string
	Path64                            []byte `json:"path_b64"`
	From64                            []byte `json:"from_b64"`

	Dirs, Overflows, Rescans, Verified, Stale, Missing, Repairs uint64

	RescansOverflow  uint64 `json:"rescans_overflow"`
	RescansUnwatched uint64 `json:"rescans_unwatched"`
	RescansOther     uint64 `json:"rescans_other"`
	RescanDirs       uint64 `json:"rescan_dirs"`
	RescanNanos      uint64 `json:"rescan_nanos"`
	VerifyDirs       uint64 `json:"verify_dirs"`
	VerifyNanos      uint64 `json:"verify_nanos"`
}

func parsed(t *testing.T, text string) (l line) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return l
}

// untilLine waits for a line, from place on, and returns it and the place after it.
func (s *spy) untilLine(place int, what string, want func(line) bool) (l line, next int) {
	s.t.Helper()
	s.until(what, func(lines []string) bool {
		for i := place; i < len(lines); i++ {
			if l = parsed(s.t, lines[i]); want(l) {
				next = i + 1
				return true
			}
		}
		return false
	})
	return l, next
}

// Several directories are watched by one call, with every monitor: a line says
// which one it is about; one that is deleted or moved away is told as that, and the
// others go on; when it is there again, so does it.
func TestWatchSeveral(t *testing.T) {
	const sooner = 40 * time.Second // than the supervisor's next look without a reason
	needInstances(t, 4)
	for _, m := range watchMonitors {
		t.Run(m.name, func(t *testing.T) {
			beside(t)
			testenv.NeedRoot(t)
			base := t.TempDir()
			one, two := base+"/one", base+"/two"
			mkdir(t, one+"/d", two+"/d")
			flags := append([]string{"--format", "json", "--monitor", m.name}, m.flags...)
			s := spyOn(t, two, append(flags, one)...)
			write(t, one+"/d/a", "x")
			write(t, two+"/d/b", "x")
			in := func(root, path string) func(line) bool {
				return func(l line) bool { return l.Root == root && l.Op == "create" && l.Path == path }
			}
			// dnotify and poll may tell the mark of one root before that of the other.
			s.untilLine(0, "a change in the first", in(one, "d/a"))
			_, at := s.untilLine(0, "a change in the second", in(two, "d/b"))
			s.until("", func(lines []string) bool {
				for _, text := range lines {
					if l := parsed(t, text); l.Root == one && l.Path == "d/b" || l.Root == two && l.Path == "d/a" {
						t.Errorf("a line about the wrong root: %s", text)
					}
				}
				return true
			})
			for _, moved := range []bool{true, false} {
				if moved {
					rename(t, one, one+"-away")
				} else if err := os.RemoveAll(one); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, at = s.untilLine(at, "the end of the first", func(l line) bool { return l.Root == one && l.Op == "delete" && l.Path == "" })
				name := fmt.Sprint("d/c", moved)
				write(t, two+"/"+name, "x")
				_, at = s.untilLine(at, "a change in the second meanwhile", in(two, name))
				mkdir(t, one)
				_, at = s.untilLine(at, "the first is watched again", func(l line) bool { return l.Root == one && l.Op == "rescan" && l.Path == "" })
				if took := time.Since(began); took > sooner {
					t.Errorf("only after %v", took)
				}
				write(t, one+"/again", "x")
				_, at = s.untilLine(at, "a change in it", in(one, "again"))
			}
			s.stop()
		})
	}
}

// What is mounted inside a root is left out, and the disk can go; what changes
// elsewhere is told before and after.
func TestWatchMountInside(t *testing.T) {
	needInstances(t, 4)
	for _, m := range watchMonitors {
		if m.user { // cannot mount
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			inner := dir + "/d/inner"
			mkdir(t, inner)
			s := spyOn(t, dir, append([]string{"--format", "json", "--monitor", m.name}, m.flags...)...)
			again := func(l line) bool { return l.Op == "rescan" && l.Path == "" }
			created := func(path string) func(line) bool {
				return func(l line) bool { return l.Op == "create" && l.Path == path }
			}
			if err := syscall.Mount("none", inner, "tmpfs", 0, "size=1m"); err != nil {
				t.Fatal(err)
			}
			mounted := true
			t.Cleanup(func() {
				if mounted {
					_ = syscall.Unmount(inner, syscall.MNT_DETACH) // the test has failed already
				}
			})
			_, at := s.untilLine(1, "a fresh start with the mount", again)
			write(t, inner+"/below", "x")
			write(t, dir+"/d/beside", "x")
			_, at = s.untilLine(at, "a change beside it", created("d/beside"))
			if err := syscall.Unmount(inner, 0); err != nil {
				t.Fatalf("lockstep keeps the disk busy: %v", err)
			}
			mounted = false
			_, at = s.untilLine(at, "a fresh start without", again)
			write(t, inner+"/after", "x")
			s.untilLine(at, "a change in its place", created("d/inner/after"))
			s.stop()
			for _, text := range s.lines {
				if l := parsed(t, text); l.Path == "d/inner/below" {
					t.Errorf("what was mounted inside is told: %s", text)
				}
			}
		})
	}
}

// --verify-every has the tree compared with the file system, and with --stats each
// comparison is told with what it took. The tree is right, and nothing is mended.
func TestWatchVerifyEvery(t *testing.T) {
	needInstances(t, 2)
	dir := t.TempDir()
	if err := churn.Burst(dir, 1, 30, 60); err != nil {
		t.Fatal(err)
	}
	s := spyOn(t, dir, "--format", "json", "--verify-every", "200ms", "--stats")
	verified := func(least uint64) func(line) bool {
		return func(l line) bool { return l.Op == "stats" && l.Verified >= least }
	}
	first, at := s.untilLine(1, "the numbers of a verification", verified(1))
	if first.Dirs != 31 || first.VerifyDirs < 31 || first.VerifyNanos == 0 || first.Stale+first.Missing+first.Repairs+first.Rescans+first.RescanDirs != 0 {
		t.Errorf("after the first one: %+v", first)
	}
	next, _ := s.untilLine(at, "those of a later one", verified(first.Verified+2))
	if next.VerifyDirs < first.VerifyDirs+2*31 || next.VerifyNanos <= first.VerifyNanos {
		t.Errorf("after two more: %+v", next)
	}
	s.stop()
}

// A verification finds what the tree has wrong. From outside that can be brought
// about where the kernel tells too little: without a watch for each directory, a new
// one goes untold until the comparison.
func TestWatchVerifyFindsWhatIsUntold(t *testing.T) {
	dir := t.TempDir()
	if err := churn.Burst(dir, 1, 60, 60); err != nil {
		t.Fatal(err)
	}
	sysctl(t, "fs.inotify.max_user_watches", "20")
	s := spyOn(t, dir, "--format", "json", "--stats")
	s.await(0, "advice", limit, says("Set sysctl fs.inotify.max_user_watches to at least"))
	for i := range 60 { // most of them are not watched
		mkdir(t, fmt.Sprintf("%s/dir%03d/untold", dir, i))
	}
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	l, at := s.untilLine(1, "the numbers of a verification", func(l line) bool { return l.Op == "stats" && l.Verified > 0 })
	if l.Missing < 20 || l.Repairs < 20 {
		t.Errorf("most of 60 new directories were not told of; the verification says %+v", l)
	}
	// What it took is known when all that it found has been listed as well.
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	s.untilLine(at, "what the verification took", func(l line) bool { return l.Op == "stats" && l.VerifyDirs >= 61 })
	s.stop()
}

// After a loss of events the whole tree is listed again, and the numbers say what
// that took, beside the cause.
func TestWatchStatsTellWhatARescanTakes(t *testing.T) {
	sysctl(t, "fs.inotify.max_queued_events", "64")
	dir := t.TempDir()
	if err := churn.Burst(dir, 1, 30, 60); err != nil {
		t.Fatal(err)
	}
	s := spyOn(t, dir, "--format", "json", "--stats")
	worker := s.the("lockstep-worker").pid
	if err := syscall.Kill(worker, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	err := churn.Burst(dir, 2, 30, 600)
	if c := syscall.Kill(worker, syscall.SIGCONT); err != nil || c != nil {
		t.Fatal(err, c)
	}
	_, at := s.untilLine(1, "an overflow", func(l line) bool { return l.Op == "overflow" && l.Path == "" && l.Cause != "" })
	s.untilLine(at, "a rescan", func(l line) bool { return l.Op == "rescan" && l.Path == "" })
	s.stop()
	l := parsed(t, s.lines[len(s.lines)-1])
	if l.Op != "stats" || l.Overflows == 0 || l.RescansOverflow == 0 || l.RescanDirs < 31 || l.RescanNanos == 0 || l.VerifyDirs != 0 {
		t.Errorf("the last line: %+v", l)
	}
}

// A name that is not UTF-8 is told as base64, in each place where a name can be;
// what is left out is not told, also when a move brings it.
func TestWatchNames(t *testing.T) {
	needInstances(t, 2)
	root := t.TempDir()
	s := spyOn(t, root, "--format", "json", "--exclude", "*.tmp")
	write(t, root+"/f.tmp", "x")
	write(t, root+"/a\xff", "x")
	rename(t, root+"/a\xff", root+"/b\xff")
	rename(t, root+"/f.tmp", root+"/\u202eü\n")
	l, at := s.untilLine(1, "a creation", func(l line) bool { return l.Op == "create" })
	if l.Root != root || string(l.Path64) != "a\xff" || l.Path != "" {
		t.Errorf("%+v", l)
	}
	l, at = s.untilLine(at, "a move", func(l line) bool { return l.Op == "move" })
	if string(l.Path64) != "b\xff" || string(l.From64) != "a\xff" {
		t.Errorf("%+v", l)
	}
	if l, _ = s.untilLine(at, "what comes from a name that is left out", func(l line) bool { return l.Op == "create" }); l.Path != "\u202eü\n" {
		t.Errorf("%+v", l)
	}
	s.stop()
	if i := slices.IndexFunc(s.lines, func(text string) bool {
		return strings.Contains(text, ".tmp") || strings.Contains(text, "\u202e") || strings.Contains(text, "\xff")
	}); i >= 0 {
		t.Errorf("a line tells what it should not: %q", s.lines[i])
	}
}
