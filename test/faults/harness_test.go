//go:build faults

package faults

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/observe"
	"lockstep/test/compare"
)

// limit is how long anything may take: far above what is usual, so that only what never
// comes reaches it.
const limit = 180 * time.Second

// full says that everything is done, with the full numbers.
func full() bool { return os.Getenv("LOCKSTEP_SCALE") == "full" }

// TestMain has all of it happen in a mount namespace of its own, so that no mount is
// left however it ends.
func TestMain(m *testing.M) {
	const inside = "LOCKSTEP_FAULTS_INSIDE"
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		if os.Getenv(inside) != "" {
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				fmt.Fprintln(os.Stderr, "faults:", err)
				os.Exit(1)
			}
		}
		os.Exit(m.Run())
	}
	os.Exit(outside(inside))
}

// outside runs all of it in another process, and puts back the kernel's variables
// however that one ends: a test that runs into its time does not.
func outside(inside string) int {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT) // who is asked to end does so after the other one
	before := map[string][]byte{}
	names, _ := filepath.Glob("/proc/sys/fs/inotify/*")
	for _, name := range names {
		if value, err := os.ReadFile(name); err == nil {
			before[name] = value
		}
	}
	defer func() {
		for name, value := range before {
			if now, err := os.ReadFile(name); err == nil && !bytes.Equal(now, value) {
				fmt.Fprintln(os.Stderr, "faults: put back", name, os.WriteFile(name, value, 0o644))
			}
		}
	}()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(1, exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 1
	}
	return 0
}

// lockstep is a running one, and what it keeps in step.
type lockstep struct {
	t     *testing.T
	base  string
	words []string // its command line
	pairs []*pair
	prior []string // what it is started by, if anything

	observe.Log
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	code   int           // valid then
	seen   *observe.Witness
}

// pair is a source and a directory that has to become equal to it.
type pair struct {
	sync     string // its sync's name, where there are several
	src, dst string
}

// launch starts it in the background; the test's end ends it.
func (l *lockstep) launch() {
	l.t.Helper()
	words := append(append([]string{}, l.prior...), append([]string{program(l.t)}, l.words...)...)
	l.cmd = exec.Command(words[0], words[1:]...)
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := l.cmd.StderrPipe()
	must(l.t, err)
	l.cmd.Stdout = l.cmd.Stderr
	l.Clear()
	cmd, exited := l.cmd, make(chan struct{})
	l.exited = exited
	must(l.t, cmd.Start())
	go func() {
		l.Read(bufio.NewReaderSize(out, 1<<20))
		_ = cmd.Wait() // its code says it
		l.code = cmd.ProcessState.ExitCode()
		close(exited)
	}()
	l.t.Cleanup(func() { l.end(cmd, exited) })
}

// end kills what a test that failed has left, and shows what it said.
func (l *lockstep) end(cmd *exec.Cmd, exited chan struct{}) {
	select {
	case <-exited:
	default:
		l.seen.Look(cmd.Process.Pid)
		_ = cmd.Process.Kill()
		<-exited
		l.swept()
		l.seen.Remove()
	}
	if l.t.Failed() && cmd == l.cmd {
		all := l.Since(0)
		for _, r := range all[max(0, len(all)-60):] {
			l.t.Logf("  %s", r)
		}
	}
}

// program is the lockstep under test.
func program(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("LOCKSTEP_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	path, err := filepath.Abs(filepath.Join(dir, "lockstep"))
	must(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; run: make build", err)
	}
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// need waits for a record from a place on.
func (l *lockstep) need(at int, what string, want func(observe.Record) bool) observe.Record {
	l.t.Helper()
	r, err := l.Await(at, limit, l.exited, want)
	if errors.Is(err, observe.ErrExited) {
		l.t.Fatalf("lockstep ended with code %d while waiting for %s", l.code, what)
	}
	if err != nil {
		l.t.Fatalf("no %s within %v", what, limit)
	}
	return r
}

// isReady accepts the word that a sync is watched.
func isReady(sync string) func(observe.Record) bool {
	return func(r observe.Record) bool {
		return strings.HasPrefix(r.Str("msg"), "ready: ") && (sync == "" || r.Str("sync") == sync)
	}
}

// ready waits until all is watched and equal.
func (l *lockstep) ready() {
	l.t.Helper()
	for _, p := range l.pairs {
		l.need(0, "readiness of "+p.sync, isReady(p.sync))
	}
	l.equal()
	l.seen.Look(l.cmd.Process.Pid)
}

// equal waits until the trees are the same, and lockstep says that it is in step; it
// says how long the first took.
func (l *lockstep) equal() (took time.Duration) {
	l.t.Helper()
	start := time.Now()
	for took == 0 || len(l.differ()) > 0 {
		l.until("equal trees", func() bool { return len(l.differ()) == 0 })
		if took == 0 {
			took = time.Since(start)
		}
		for _, p := range l.pairs {
			l.inStep(p.sync)
		}
		if time.Since(start) > 2*limit {
			l.t.Fatalf("equal trees that differ when all is said to be in step:\n%s", strings.Join(l.differ(), "\n"))
		}
	}
	return took
}

// differ says what differs, of all pairs.
func (l *lockstep) differ() (all []string) {
	o := compare.Options{Skip: func(rel string, kind uint32) bool { return kind == unix.S_IFSOCK }}
	for _, p := range l.pairs {
		want, err := compare.Read(p.src, o)
		var got compare.Tree
		if err == nil {
			got, err = compare.Read(p.dst, o)
		}
		if err != nil {
			all = append(all, err.Error())
			continue
		}
		for _, d := range compare.Diff(want, got, 20) {
			all = append(all, p.dst+": "+d)
		}
	}
	return all
}

// inStep asks for the state until there is nothing to do, and returns it. What the
// verification that comes with it finds would be a loss that it hides.
func (l *lockstep) inStep(sync string) observe.Record {
	l.t.Helper()
	var last observe.Record
	l.until("a state that is in step", func() bool {
		last = l.state(sync)
		return last.Str("msg") == "state: in step"
	})
	if last.Num("stale") != 0 || last.Num("missing") != 0 {
		l.t.Errorf("the verification found what was lost: %s", last)
	}
	return last
}

// state asks for the state of a sync once; while none is ready, there is none.
func (l *lockstep) state(sync string) observe.Record {
	l.t.Helper()
	at := l.Mark()
	must(l.t, l.cmd.Process.Signal(syscall.SIGUSR1))
	return l.need(at, "the state", func(r observe.Record) bool {
		return strings.HasPrefix(r.Str("msg"), "state: ") && (sync == "" || r.Str("sync") == sync)
	})
}

// until waits for what no event tells; lockstep has to live meanwhile.
func (l *lockstep) until(what string, ok func() bool) {
	l.t.Helper()
	for start := time.Now(); ; {
		began := time.Now()
		if ok() {
			return
		}
		if time.Since(start) > limit {
			l.t.Fatalf("no %s within %v: %s", what, limit, strings.Join(l.differ(), "\n"))
		}
		timer := time.NewTimer(10*time.Millisecond + 2*time.Since(began)) // looking must not be the load
		select {
		case <-l.exited:
			l.t.Fatalf("lockstep ended with code %d while waiting for %s", l.code, what)
		case <-timer.C:
		}
	}
}

// stop ends it, and wants nothing left.
func (l *lockstep) stop() {
	l.t.Helper()
	l.seen.Look(l.cmd.Process.Pid)
	must(l.t, l.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-l.exited:
	case <-time.After(limit):
		l.t.Fatalf("it has not ended %v after SIGTERM", limit)
	}
	if l.code != 0 {
		l.t.Errorf("exit code %d after SIGTERM", l.code)
	}
	if left := l.seen.Left(l.base + "/run"); len(left) > 0 {
		l.t.Errorf("left behind:\n  %s", strings.Join(left, "\n  "))
	}
	l.seen = observe.NewWitness()
}

// swept waits until the processes of one that was killed are gone, and says how long
// that took.
func (l *lockstep) swept() time.Duration {
	l.t.Helper()
	start := time.Now()
	for alive := l.seen.Alive(); len(alive) > 0; alive = l.seen.Alive() {
		if time.Since(start) > 10*time.Second {
			l.t.Errorf("still there 10 s after the supervisor: %v", alive)
			break
		}
		pause(5 * time.Millisecond)
	}
	return time.Since(start)
}

// pause lets time pass, where the moment is to be another one or nothing tells.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// role finds the processes of a role, but for the trial's.
func (l *lockstep) role(name string) (out []observe.Proc) {
	for _, p := range observe.Family(l.cmd.Process.Pid) {
		if p.Role == name && !p.OfTrial() {
			out = append(out, p)
		}
	}
	return out
}

// the waits for a process of a role.
func (l *lockstep) the(name string) (p observe.Proc) {
	l.t.Helper()
	l.until("process "+name, func() bool {
		all := l.role(name)
		if len(all) > 0 {
			p = all[0]
		}
		return len(all) > 0
	})
	return p
}

// others keeps what is done beside a test, and waits for its end.
type others struct {
	sync.WaitGroup
	mu  sync.Mutex
	err error // guarded by mu
}

func (o *others) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = errors.Join(o.err, err)
}
