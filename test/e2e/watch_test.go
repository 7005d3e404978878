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
	stdin   *os.File // nil: none
}

// newSpy starts a watch of a fresh directory, as JSON, and waits until it is
// ready.
func newSpy(t *testing.T, flags ...string) *spy {
	t.Helper()
	return spyOn(t, t.TempDir(), append([]string{"--format", "json"}, flags...)...)
}

func spyOn(t *testing.T, dir string, flags ...string) *spy {
	t.Helper()
	return spyWith(t, program(t, "lockstep"), dir, flags...)
}

func spyWith(t *testing.T, program, dir string, flags ...string) *spy {
	t.Helper()
	return spyAs(t, &syscall.SysProcAttr{Setpgid: true}, program, dir, append([]string{"watch"}, flags...)...)
}

// spyAs runs a program with words and the directory as whoever attr says.
func spyAs(t *testing.T, attr *syscall.SysProcAttr, program, dir string, words ...string) *spy {
	t.Helper()
	testenv.NeedRoot(t)
	s := &spy{mirror: &mirror{t: t, src: dir, process: &process{seen: newWitness()}}}
	s.start(attr, program, append(words, dir))
	s.until("the first line", func(lines []string) bool { return len(lines) > 0 })
	return s
}

// start runs lockstep with words, its standard output apart from its log.
func (s *spy) start(attr *syscall.SysProcAttr, program string, words []string) {
	s.t.Helper()
	s.cmd = exec.Command(program, words...)
	s.cmd.SysProcAttr = attr
	if s.stdin != nil {
		s.cmd.Stdin = s.stdin
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.fresh, s.exited = make(chan struct{}), make(chan struct{})
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
	lines, at := s.markOne(place)
	return lines[place:at]
}

// markOne makes a directory and waits until it is told of, and where.
func (s *spy) markOne(place int) (lines []string, at int) {
	s.t.Helper()
	name := fmt.Sprintf(".sync-%d", place)
	if err := os.Mkdir(filepath.Join(s.src, name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	mark := fmt.Sprintf("%q", name)
	has := func(line string) bool { return strings.Contains(line, mark) }
	lines = s.until("line about "+name, func(lines []string) bool { return slices.ContainsFunc(lines, has) })
	return lines, slices.IndexFunc(lines, has)
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

// Without --format a line is text: the time, what happened, the type, the path, and
// where it was. A name that a terminal would obey is escaped.
func TestWatchText(t *testing.T) {
	s := spyOn(t, t.TempDir())
	at := func(name string) string { return filepath.Join(s.src, name) }
	var want []string
	for _, step := range []struct { // one event each, so that nothing waits for its type when the next begins
		do   func() error
		line string
	}{
		{func() error { return os.Mkdir(at("d"), 0o755) }, "create dir d"},
		{func() error { return syscall.Mknod(at("f"), syscall.S_IFREG|0o644, 0) }, "create file f"},
		{func() error { return os.Truncate(at("f"), 5) }, "modify file f"},
		{func() error { return os.Rename(at("f"), at("d/new\nname")) }, `move file d/new\x0aname from f`},
		{func() error { return os.Remove(at("d/new\nname")) }, `delete file d/new\x0aname`},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		want = append(want, step.line)
		s.until("line "+step.line, func(lines []string) bool {
			return slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(line, " "+step.line) })
		})
	}
	s.stop()
	if s.lines[0] != "ready" {
		t.Errorf("the first line is %q", s.lines[0])
	}
	timed := regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z (.*)$`)
	var got []string
	for _, line := range s.lines[1:] {
		m := timed.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("a line without a time: %q", line)
		}
		got = append(got, m[1])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
