//go:build hostile

// Package hostile has an unprivileged user race the daemon in a tree that belongs to
// that user: names, exchanges, mounts, links, sizes. It drives bin/lockstep from
// outside, as test/e2e does, and is what docs/security/hostile.md tells of.
//
// Trust: tests only; it shares no code with the product.
//
// Invariants: whatever is done in the tree is done by a process of uid 65534 that holds
// no right; each race is shown to be one by a twin, a plain copy or a plain watcher
// beside it, that loses it.
//
// Environment: LOCKSTEP_SCALE=small|full, LOCKSTEP_SEED=N (repeat a run),
// LOCKSTEP_BIN=DIR (programs; bin/ of the checkout).
package hostile

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

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
	"lockstep/test/compare"
)

// nobody is the user of the tree.
const nobody = 65534

// limit is how long anything may take that is not bounded otherwise: on a slow machine
// it is reached only by what never comes.
const limit = 120 * time.Second

func full() bool { return os.Getenv("LOCKSTEP_SCALE") == "full" }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seeded is the seed of a run, which LOCKSTEP_SEED repeats.
func seeded(t *testing.T) uint64 {
	t.Helper()
	seed := testenv.Number(t, "LOCKSTEP_SEED", uint64(time.Now().UnixNano()))
	t.Logf("to repeat it: LOCKSTEP_SEED=%d", seed)
	return seed
}

// timed says how long the part took, beside as many others as -parallel says: none of
// them looks at what is not its own.
func timed(t *testing.T) {
	t.Helper()
	t.Parallel()
	begin := time.Now()
	t.Cleanup(func() { t.Logf("%s took %.1f s", t.Name(), time.Since(begin).Seconds()) })
}

// mirror is a running lockstep, whose source belongs to nobody.
type mirror struct {
	t              *testing.T
	base, src, dst string
	flags          []string
	skip           func(rel string, kind uint32) bool

	log   observe.Log
	cmd   *exec.Cmd
	ended chan struct{} // closed after Wait
	code  int
}

// newMirror makes a source of nobody's and a target, and starts nothing.
func newMirror(t *testing.T, flags ...string) *mirror {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "rsync")
	base, err := os.MkdirTemp("", "lockstep-hostile-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(base)) })
	must(t, os.Chmod(base, 0o755))
	m := &mirror{t: t, base: base, src: base + "/src", dst: base + "/dst", flags: flags, skip: func(string, uint32) bool { return false }}
	for _, dir := range []string{m.src, m.dst} {
		must(t, os.Mkdir(dir, 0o755))
	}
	must(t, os.Chown(m.src, nobody, nobody))
	return m
}

// start runs lockstep until the test's end.
func (m *mirror) start(extra ...string) *mirror {
	m.t.Helper()
	dir := os.Getenv("LOCKSTEP_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	program, err := filepath.Abs(dir + "/lockstep")
	must(m.t, err)
	words := append([]string{"mirror", "--runtime-dir", m.base + "/run", "--state-dir", m.base + "/state", "--log-format", "json"}, m.flags...)
	m.cmd = exec.Command(program, append(append(words, extra...), m.src, m.dst)...)
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := m.cmd.StderrPipe()
	must(m.t, err)
	m.cmd.Stdout = m.cmd.Stderr
	m.log.Clear()
	cmd, ended := m.cmd, make(chan struct{})
	m.ended = ended
	if err := cmd.Start(); err != nil {
		m.t.Fatalf("%v; run: make build", err)
	}
	go func() {
		m.log.Read(bufio.NewReaderSize(out, 1<<20))
		_ = cmd.Wait() // its code says it
		m.code = cmd.ProcessState.ExitCode()
		close(ended)
	}()
	m.t.Cleanup(m.cleanup)
	return m
}

// cleanup ends what a failed test has left running, and shows its log.
func (m *mirror) cleanup() {
	select {
	case <-m.ended:
	default:
		_ = m.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-m.ended:
		case <-time.After(30 * time.Second):
			_ = m.cmd.Process.Kill()
			<-m.ended
		}
	}
	if m.t.Failed() {
		all := m.log.Since(0)
		for _, r := range all[max(0, len(all)-40):] {
			m.t.Logf("  %s", r)
		}
	}
}

// stop ends it, and wants that to go well.
func (m *mirror) stop() {
	m.t.Helper()
	must(m.t, m.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-m.ended:
		if m.code != 0 {
			m.t.Errorf("exit code %d after SIGTERM", m.code)
		}
	case <-time.After(limit):
		m.t.Fatalf("no end after SIGTERM within %v", limit)
	}
}

// once runs it to its end, and gives its exit code.
func (m *mirror) once(extra ...string) int {
	m.t.Helper()
	m.start(append([]string{"--once"}, extra...)...)
	select {
	case <-m.ended:
	case <-time.After(limit):
		m.t.Fatalf("--once did not end within %v", limit)
	}
	return m.code
}

// await waits for a record.
func (m *mirror) await(place int, what string, want func(observe.Record) bool) observe.Record {
	m.t.Helper()
	r, err := m.log.Await(place, limit, m.ended, want)
	if errors.Is(err, observe.ErrExited) {
		m.t.Fatalf("lockstep ended with code %d before %s", m.code, what)
	}
	if err != nil {
		m.t.Fatalf("no %s: %v", what, err)
	}
	return r
}

// says accepts records that hold one of the words.
func says(words ...string) func(observe.Record) bool { return observe.Says(words...) }

// ready waits for the first pass.
func (m *mirror) ready() *mirror {
	m.t.Helper()
	m.await(0, "readiness", func(r observe.Record) bool { return strings.HasPrefix(r.Str("msg"), "ready: ") })
	m.equal()
	return m
}

// report asks for the state.
func (m *mirror) report() observe.Record {
	m.t.Helper()
	for begin := time.Now(); ; {
		at := m.log.Mark()
		must(m.t, m.cmd.Process.Signal(syscall.SIGUSR1))
		r := m.await(at, "state", func(r observe.Record) bool { return strings.HasPrefix(r.Str("msg"), "state: ") })
		if _, ok := r["verified"]; ok || time.Since(begin) > limit {
			return r
		}
		m.await(at, "readiness", says("ready: "))
	}
}

// inStep waits until it says that nothing is under way, and wants its verification to
// have found nothing.
func (m *mirror) inStep() observe.Record {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; <-tick.C {
		r := m.report()
		if r.Str("msg") == "state: in step" {
			if r.Num("stale") != 0 || r.Num("missing") != 0 {
				m.t.Errorf("its verification found a difference: %s", r)
			}
			return r
		}
		if time.Since(begin) > limit {
			m.t.Fatalf("not in step after %v: %s", limit, r)
		}
	}
}

// equal waits until both trees are the same and it says that all is done; then they
// still must be.
func (m *mirror) equal() observe.Record {
	m.t.Helper()
	m.eventually("both trees are the same", func() error {
		diff, err := m.differ()
		if err == nil && len(diff) > 0 {
			err = fmt.Errorf("%s", strings.Join(diff, "\n"))
		}
		return err
	})
	r := m.inStep()
	if diff, err := m.differ(); err != nil || len(diff) > 0 {
		m.t.Fatalf("the trees were the same, and are not when all is said to be done: %v\n%s", err, strings.Join(diff, "\n"))
	}
	return r
}

func (m *mirror) differ() ([]string, error) {
	return compare.Equal(m.src, m.dst, compare.Options{Skip: func(rel string, kind uint32) bool {
		return kind == unix.S_IFSOCK || kind == unix.S_IFCHR || kind == unix.S_IFBLK || m.skip(rel, kind)
	}})
}

// eventually waits until ok has no error.
func (m *mirror) eventually(what string, ok func() error) {
	m.t.Helper()
	for begin := time.Now(); ; {
		at := time.Now()
		err := ok()
		if err == nil {
			return
		}
		if time.Since(begin) > limit {
			m.t.Fatalf("not so after %v: %s: %v", limit, what, err)
		}
		select {
		case <-m.ended:
			m.t.Fatalf("lockstep ended with code %d before %s", m.code, what)
		case <-time.After(20*time.Millisecond + 2*time.Since(at)): // reading must not be the load
		}
	}
}

// role are the processes of a role, but for the trial's.
func (m *mirror) role(name string) []observe.Proc {
	var out []observe.Proc
	for _, p := range observe.Family(m.cmd.Process.Pid) {
		if p.Role == name && !p.OfTrial() {
			out = append(out, p)
		}
	}
	return out
}

// snapshot is the target as it is, of which nothing may go.
func (m *mirror) snapshot() compare.Tree {
	m.t.Helper()
	tree, err := compare.Read(m.dst, compare.Options{})
	must(m.t, err)
	return tree
}

// nothingGone wants all that was on the target to be there still.
func (m *mirror) nothingGone(was compare.Tree) {
	m.t.Helper()
	is, gone := m.snapshot(), 0
	for path := range was {
		if _, there := is[path]; !there {
			gone++
		}
	}
	if m.t.Logf("%d entries on the target, %d of them deleted", len(was), gone); gone > 0 || len(was) < 2 {
		m.t.Errorf("%d of %d entries were deleted on the target", gone, len(was))
	}
}
