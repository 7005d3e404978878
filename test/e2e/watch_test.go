//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// spy is a running lockstep watch of one directory. Its log is read as a
// mirror's is.
type spy struct {
	*mirror
	linesMu sync.Mutex
	lines   []string // guarded by linesMu: standard output
	fresh   chan struct{}
}

// newSpy starts a watch of a fresh directory, as JSON, and waits until it is
// ready.
func newSpy(t *testing.T, flags ...string) *spy {
	t.Helper()
	return spyOn(t, t.TempDir(), append([]string{"--format", "json"}, flags...)...)
}

func spyOn(t *testing.T, dir string, flags ...string) *spy {
	t.Helper()
	testenv.NeedRoot(t)
	s := &spy{mirror: &mirror{t: t, src: dir, process: &process{seen: newWitness()}}}
	s.start(append(append([]string{"watch"}, flags...), dir))
	s.until("the first line", func(lines []string) bool { return len(lines) > 0 })
	return s
}

// start runs lockstep with words, its standard output apart from its log.
func (s *spy) start(words []string) {
	s.t.Helper()
	s.cmd = exec.Command(program(s.t, "lockstep"), words...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.news, s.fresh, s.exited = make(chan struct{}), make(chan struct{}), make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		var both sync.WaitGroup
		both.Go(func() { s.read(bufio.NewReader(log)) })
		both.Go(func() { s.take(bufio.NewScanner(out)) })
		both.Wait()
		_ = s.cmd.Wait() // its code says it
		s.code = s.cmd.ProcessState.ExitCode()
		close(s.exited)
	}()
	s.t.Cleanup(s.cleanup)
}

func (s *spy) take(in *bufio.Scanner) {
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		s.linesMu.Lock()
		s.lines = append(s.lines, in.Text())
		close(s.fresh)
		s.fresh = make(chan struct{})
		s.linesMu.Unlock()
	}
}

// until waits until the lines are as wanted.
func (s *spy) until(what string, want func(lines []string) bool) []string {
	s.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		s.linesMu.Lock()
		lines, fresh := slices.Clone(s.lines), s.fresh
		s.linesMu.Unlock()
		if want(lines) {
			return lines
		}
		select {
		case <-fresh:
		case <-s.exited:
			s.t.Fatalf("lockstep watch ended with code %d while waiting for %s", s.code, what)
		case <-deadline.C:
			s.t.Fatalf("no %s within %v; the lines:\n%s", what, limit, strings.Join(lines, "\n"))
		}
	}
}

// sync makes a change that is told after all that came before it, and returns
// the lines from place on, without it.
func (s *spy) sync(place int) []string {
	s.t.Helper()
	name := fmt.Sprintf(".sync-%d", place)
	if err := os.Mkdir(filepath.Join(s.src, name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	mark := fmt.Sprintf("%q", name)
	has := func(line string) bool { return strings.Contains(line, mark) }
	lines := s.until("line about "+name, func(lines []string) bool { return slices.ContainsFunc(lines, has) })
	return lines[place:slices.IndexFunc(lines, has)]
}

// told is a line without its time and root, as scripts write it.
func told(t *testing.T, line string) string {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	out := fmt.Sprint(e["op"])
	for _, key := range []string{"type", "path", "path_b64", "from", "from_b64", "cause"} {
		switch v, ok := e[key]; {
		case ok && (key == "path" || key == "from"):
			out += fmt.Sprintf(" %s=%q", key, v)
		case ok:
			out += fmt.Sprintf(" %s=%s", key, v)
		}
	}
	return out
}

// TestWatchScripts runs testdata/watch/*.txt: a line of flags (or an empty one),
// shell that is run in the watched directory, a line of ---, and the lines that
// follow from it. A line that begins with ? may be there or not, and so may a
// type that ends with one; what begins
// with # before the flags says what the script is about, or with #before: is
// shell that is run before the watch begins.
func TestWatchScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/watch/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			watchScript(t, string(text))
		})
	}
}

func watchScript(t *testing.T, text string) {
	t.Helper()
	dir, outside := t.TempDir(), t.TempDir()
	run := func(script string) {
		cmd := exec.Command("/bin/sh", "-eu")
		cmd.Stdin, cmd.Dir = strings.NewReader(script), dir
		cmd.Env = append(os.Environ(), "OUT="+outside, "LC_ALL=C")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("script: %v\n%s\n%s", err, script, out)
		}
	}
	for strings.HasPrefix(text, "#") {
		line, rest, _ := strings.Cut(text, "\n")
		if before, ok := strings.CutPrefix(line, "#before: "); ok {
			run(before)
		}
		text = rest
	}
	flags, rest, _ := strings.Cut(text, "\n")
	script, want, found := strings.Cut(rest, "\n---\n")
	if !found {
		t.Fatal("the script has no line of ---")
	}
	s := spyOn(t, dir, append([]string{"--format", "json"}, strings.Fields(flags)...)...)
	run(script)
	var got []string
	for _, line := range s.sync(1) {
		got = append(got, told(t, line))
	}
	compareLines(t, got, strings.Split(strings.TrimSpace(want), "\n"))
	s.stop()
}

// likely is what a line may lack: a type that could not be looked at in time.
var likely = regexp.MustCompile(` type=\w+\?`)

func sameLine(got, want string) bool {
	return got == likely.ReplaceAllString(want, "") || got == strings.Replace(want, "? ", " ", 1)
}

// compareLines wants got to be want, of which some lines need not be there.
func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	at := 0
	for _, line := range want {
		line, optional := strings.CutPrefix(line, "?")
		switch {
		case line == "":
		case at < len(got) && sameLine(got[at], line):
			at++
		case !optional:
			t.Fatalf("line %d is not %s; got\n%s\nwant\n%s", at+1, line, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if at < len(got) {
		t.Fatalf("more than expected from line %d on; got\n%s\nwant\n%s", at+1, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
