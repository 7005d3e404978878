//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv/observe"
)

// proc is one process as /proc shows it.
type proc struct {
	pid, ppid int
	start     string // start time in ticks: with pid, who it is
	role      string // first word of its command line, without folder
}

// seen is a process as package observe has it, and ours the same as the tests do.
func (p proc) seen() observe.Proc {
	return observe.Proc{PID: p.pid, PPID: p.ppid, Start: p.start, Role: p.role}
}

func ours(all []observe.Proc) []proc {
	var out []proc
	for _, p := range all {
		out = append(out, proc{p.PID, p.PPID, p.Start, p.Role})
	}
	return out
}

// procs lists every process of the machine.
func procs() []proc { return ours(observe.Procs()) }

// family lists what descends from pid, without pid itself.
func family(pid int) []proc { return ours(observe.Family(pid)) }

// ofTrial says that the process is of the trial of rsync.
func (p proc) ofTrial() bool { return p.seen().OfTrial() }

// role finds the processes of one role below the supervisor, but for the
// trial's.
func (m *mirror) role(name string) []proc {
	var out []proc
	for _, p := range family(m.cmd.Process.Pid) {
		if p.role == name && !p.ofTrial() {
			out = append(out, p)
		}
	}
	return out
}

// the waits for the one process of a role.
func (m *mirror) the(name string) proc {
	m.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < limit; <-tick.C {
		if p := m.role(name); len(p) == 1 {
			return p[0]
		}
	}
	m.t.Fatalf("there is no single %s: %+v", name, family(m.cmd.Process.Pid))
	return proc{}
}

// freeze stops the worker, and waits until the others have done what it had asked for:
// nothing is listed from here on until thaw lets it go on.
func (m *mirror) freeze() (thaw func()) {
	m.t.Helper()
	worker := m.the("lockstep-worker").pid
	signal := func(sig syscall.Signal) {
		m.t.Helper()
		if err := syscall.Kill(worker, sig); err != nil {
			m.t.Fatal(err)
		}
	}
	if signal(syscall.SIGSTOP); !stopped(worker) {
		m.t.Fatal("the worker has ended")
	}
	// One that was asleep can have been woken by one that is looked at later: twice.
	for calm, start := 0, time.Now(); calm < 2; calm++ {
		for _, p := range family(m.cmd.Process.Pid) {
			if p.pid != worker && !asleep(p.pid) {
				calm = -1
			}
		}
		if time.Since(start) > limit {
			m.t.Fatal("somebody works on although the worker stands still")
		}
	}
	return func() { signal(syscall.SIGCONT) }
}

// asleep says that no thread of a process runs, or wants to.
func asleep(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if _, after, found := strings.Cut(string(text), ") "); err == nil && found && after[0] != 'S' {
			return false
		}
	}
	return true
}

// witness remembers what a mirror had, to tell later that it is gone.
type witness struct{ *observe.Witness }

func newWitness() *witness { return &witness{observe.NewWitness()} }

// look takes down the processes and cgroups below a supervisor.
func (w *witness) look(pid int) { w.Look(pid) }

// cgroups are the directories of a process's groups.
func cgroups(pid int) []string { return observe.Cgroups(pid) }

// hierarchy is where a v1 controller ("" for v2) is mounted.
func hierarchy(controllers string) string { return observe.Hierarchy(controllers) }

// nothingLeft wants no process, mount, cgroup or runtime file of this mirror.
func (m *mirror) nothingLeft() {
	m.t.Helper()
	if left := m.seen.Left(m.run); len(left) > 0 {
		m.t.Errorf("left behind:\n  %s", strings.Join(left, "\n  "))
	}
	m.seen = newWitness()
}

// sweepWait waits until the processes of a killed supervisor are gone.
func (m *mirror) sweepWait() {
	m.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		var alive []string
		for _, p := range m.seen.Alive() {
			alive = append(alive, fmt.Sprintf("%d %s", p.PID, p.Role))
		}
		if len(alive) == 0 {
			return
		}
		if time.Since(start) > 5*time.Second {
			m.t.Errorf("still running 5 s after the supervisor was killed: %v", alive)
			return
		}
	}
}

// field reads one field of /proc/PID/status-like text.
func field(t testing.TB, path, name string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return ""
}

// watches counts the inotify watches of a process; of one that has gone, none.
func watches(pid int) int {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return 0
	}
	n := 0
	for _, file := range files {
		info, err := os.ReadFile(file)
		if err == nil {
			n += strings.Count("\n"+string(info), "\ninotify ")
		}
	}
	return n
}

// watching waits until a process has so many watches.
func (m *mirror) watching(p proc, most int) {
	m.t.Helper()
	tick := time.NewTicker(time.Millisecond) // a walk of thousands takes some tens of them
	defer tick.Stop()
	for start := time.Now(); watches(p.pid) < most; <-tick.C {
		if time.Since(start) > limit {
			m.t.Fatalf("%s has %d watches after %v, want %d", p.role, watches(p.pid), limit, most)
		}
	}
}
