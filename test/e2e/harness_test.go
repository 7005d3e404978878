//go:build e2e

// Package e2e drives bin/lockstep from outside, as a person and as /proc see
// it: real trees, real rsync, real signals.
//
// Trust: tests only; it shares no code with the product.
//
// Environment: LOCKSTEP_SCALE=small|full (sizes), LOCKSTEP_SEED=N (repeat a
// run), LOCKSTEP_BIN=DIR (programs; bin/ of the checkout).
package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
	"lockstep/test/compare"
)

// record is one JSON log line.
type record map[string]any

func (r record) str(key string) string { return observe.Record(r).Str(key) }
func (r record) num(key string) int64  { return observe.Record(r).Num(key) }
func (r record) String() string        { return observe.Record(r).String() }

// mirror is one sync of a running lockstep: the only one of `lockstep mirror`,
// or one of those of `lockstep run`.
type mirror struct {
	t        *testing.T
	src, dst string
	more     []string // further directories that are kept in step
	targets  []string // what lockstep is told, when that is not dst
	name     string   // of a sync that is one of several
	run      string   // runtime directory
	state    string   // state directory
	flags    []string
	opts     compare.Options
	program  string // "": bin/lockstep

	*process
}

// process is a running lockstep: several syncs may have one in common.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed after Wait
	code   int

	log observe.Log

	seen *witness
}

// newMirror prepares a source and a target without starting anything.
func newMirror(t *testing.T, flags ...string) *mirror {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	base := t.TempDir()
	m := &mirror{t: t, src: base + "/src", dst: base + "/dst", run: base + "/run", state: base + "/state", flags: flags,
		process: &process{seen: newWitness()}}
	m.opts.Skip = unmirrored
	for _, d := range []string{m.src, m.dst} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// unmirrored leaves out what is skipped by design: sockets and devices.
func unmirrored(_ string, kind uint32) bool {
	return kind == syscall.S_IFSOCK || kind == syscall.S_IFCHR || kind == syscall.S_IFBLK
}

// program is the path of one of the programs under test.
func program(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("LOCKSTEP_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run: make build", err)
	}
	return path
}

func (m *mirror) args(extra ...string) []string {
	args := []string{"mirror", "--runtime-dir", m.run, "--state-dir", m.state, "--log-format", "json"}
	args = append(append(args, m.flags...), extra...)
	if m.targets != nil {
		return append(append(args, m.src), m.targets...)
	}
	return append(args, m.src, m.dst)
}

// start runs the mirror in the background and stops it at the test's end.
func (m *mirror) start(extra ...string) *mirror {
	m.t.Helper()
	return m.launch(m.args(extra...)...)
}

// launch runs lockstep with words in the background.
func (m *mirror) launch(words ...string) *mirror {
	m.t.Helper()
	if m.program == "" {
		m.program = program(m.t, "lockstep")
	}
	m.cmd = exec.Command(m.program, words...)
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := m.cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.cmd.Stdout = m.cmd.Stderr
	m.log.Clear()
	m.exited = make(chan struct{})
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	exited := m.exited
	cmd := m.cmd
	go func() {
		m.read(bufio.NewReaderSize(out, 1<<20))
		err := cmd.Wait()
		m.code = cmd.ProcessState.ExitCode()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			m.code = -2
		}
		close(exited)
	}()
	m.t.Cleanup(m.cleanup)
	return m
}

// read takes log lines until the pipe ends.
func (m *process) read(r *bufio.Reader) { m.log.Read(r) }

// cleanup ends a mirror that a test left running, and shows the log of one
// that failed.
func (m *mirror) cleanup() {
	select {
	case <-m.exited:
	default:
		m.seen.look(m.cmd.Process.Pid)
		_ = m.cmd.Process.Kill()
		<-m.exited
		m.sweepWait()
		m.seen.Remove()
	}
	if m.t.Failed() {
		m.dump(80)
	}
}

// dump logs the last lines; of state records in a row only the last one.
func (m *mirror) dump(most int) {
	all := m.since(0)
	state := func(i int) bool {
		return i < len(all) && strings.HasPrefix(all[i].str("msg"), "state: ")
	}
	var out []record
	for i, r := range all {
		if !state(i) || !state(i+1) {
			out = append(out, r)
		}
	}
	for _, r := range out[max(0, len(out)-most):] {
		m.t.Logf("  %s", r)
	}
}

// mark is a place in the log: what comes after it is new.
func (m *mirror) mark() int { return m.log.Mark() }

// since are the records from a place on.
func (m *mirror) since(place int) []record {
	var out []record
	for _, r := range m.log.Since(place) {
		out = append(out, record(r))
	}
	return out
}

// await returns the first record from place on that want accepts.
func (m *mirror) await(place int, what string, limit time.Duration, want func(record) bool) record {
	m.t.Helper()
	r, err := m.log.Await(place, limit, m.exited, func(r observe.Record) bool { return want(record(r)) })
	switch {
	case errors.Is(err, observe.ErrExited):
		m.t.Fatalf("lockstep ended with code %d while waiting for %s", m.code, what)
	case err != nil:
		m.t.Fatalf("no %s within %v", what, limit)
	}
	return record(r)
}

// says accepts records whose message or any text holds one of the words.
func says(words ...string) func(record) bool {
	said := observe.Says(words...)
	return func(r record) bool { return said(observe.Record(r)) }
}

// signal sends a signal to the supervisor.
func (m *mirror) signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
}

// wait waits for the end and returns the exit code.
func (m *mirror) wait(limit time.Duration) int {
	m.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-m.exited:
		return m.code
	case <-timer.C:
		m.t.Fatalf("lockstep did not end within %v", limit)
		return -1
	}
}

// stop drains the mirror, wants exit code 0 and nothing left behind.
func (m *mirror) stop() {
	m.t.Helper()
	m.seen.look(m.cmd.Process.Pid)
	m.signal(syscall.SIGTERM)
	if code := m.wait(30 * time.Second); code != 0 {
		m.t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	m.nothingLeft()
}

// once runs the mirror with words to its end.
func (m *mirror) once(extra ...string) int {
	m.t.Helper()
	m.start(extra...)
	return m.wait(5 * time.Minute)
}

// output is everything it has said, for tests of messages.
func (m *mirror) output() string {
	var b strings.Builder
	for _, r := range m.since(0) {
		if raw, ok := r["raw"]; ok {
			fmt.Fprintln(&b, raw)
			continue
		}
		fmt.Fprintln(&b, r)
	}
	return b.String()
}
