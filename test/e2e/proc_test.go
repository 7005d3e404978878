//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// proc is one process as /proc shows it.
type proc struct {
	pid, ppid int
	start     string // start time in ticks: with pid, who it is
	role      string // first word of its command line, without folder
}

// procs lists every process of the machine.
func procs() []proc {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var all []proc
	for _, dir := range names {
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		// The name in parentheses may hold anything.
		i := strings.LastIndexByte(string(stat), ')')
		if i < 0 {
			continue
		}
		f := strings.Fields(string(stat[i+1:]))
		if len(f) < 20 || f[0] == "Z" {
			continue
		}
		var p proc
		p.pid, _ = strconv.Atoi(filepath.Base(dir))
		p.ppid, _ = strconv.Atoi(f[1])
		p.start = f[19]
		if cmd, err := os.ReadFile(dir + "/cmdline"); err == nil {
			first, _, _ := strings.Cut(string(cmd), "\x00")
			p.role = filepath.Base(first)
		}
		all = append(all, p)
	}
	return all
}

// family lists what descends from pid, without pid itself.
func family(pid int) []proc {
	all := procs()
	in := map[int]bool{pid: true}
	var out []proc
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !in[p.pid] && in[p.ppid] {
				in[p.pid], grown = true, true
				out = append(out, p)
			}
		}
	}
	return out
}

// ofTrial says that the process is of the trial of rsync, which goes on beside
// the start of the others and has a runner and commands as they have.
func (p proc) ofTrial() bool {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.pid))
	return err == nil && strings.Contains(string(groups), "/trial.")
}

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
type witness struct {
	procs  map[string]proc // by pid and start
	groups map[string]bool // cgroup directories
	mounts []string        // of the test's own namespace, before
}

func newWitness() *witness {
	return &witness{procs: map[string]proc{}, groups: map[string]bool{}, mounts: mounts()}
}

// look takes down the processes and cgroups below a supervisor.
func (w *witness) look(pid int) {
	for _, p := range family(pid) {
		w.procs[fmt.Sprint(p.pid, " ", p.start)] = p
		for _, dir := range cgroups(p.pid) {
			if strings.Contains(dir, "lockstep") {
				w.groups[dir] = true
			}
		}
	}
}

// cgroups are the directories of a process's groups, below every hierarchy
// that is mounted.
func cgroups(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 {
			if at := hierarchy(f[1]); at != "" {
				out = append(out, filepath.Join(at, f[2]))
			}
		}
	}
	return out
}

// hierarchy is where a v1 controller ("" for v2) is mounted.
func hierarchy(controllers string) string {
	for _, line := range mounts() {
		before, after, _ := strings.Cut(line, " - ")
		b, a := strings.Fields(before), strings.Fields(after)
		if len(b) < 5 || len(a) < 3 {
			continue
		}
		if controllers == "" && a[0] == "cgroup2" {
			return b[4]
		}
		if controllers != "" && a[0] == "cgroup" {
			opts := strings.Split(a[2], ",")
			first, _, _ := strings.Cut(controllers, ",")
			if slices.Contains(opts, first) {
				return b[4]
			}
		}
	}
	return ""
}

func mounts() []string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// left lists what is still there of what the witness saw.
func (w *witness) left(run string) []string {
	var out []string
	for _, p := range procs() {
		if _, ok := w.procs[fmt.Sprint(p.pid, " ", p.start)]; ok {
			out = append(out, fmt.Sprintf("process %d %s", p.pid, p.role))
		}
	}
	for dir := range w.groups {
		if _, err := os.Stat(dir); err == nil {
			out = append(out, "cgroup "+dir)
		}
	}
	if names, err := os.ReadDir(run); err == nil && len(names) > 0 {
		out = append(out, fmt.Sprintf("runtime directory %v", names))
	}
	for _, m := range mounts() {
		if !slices.Contains(w.mounts, m) && strings.Contains(m, "lockstep") {
			out = append(out, "mount "+m)
		}
	}
	return out
}

// remove takes away the control groups of a supervisor that was killed and is
// not started again.
func (w *witness) remove() {
	for dir := range w.groups {
		_ = os.Remove(dir)
	}
	for dir := range w.groups {
		_ = os.Remove(filepath.Dir(dir)) // the instance's
	}
}

// nothingLeft wants no process, mount, cgroup or runtime file of this mirror.
func (m *mirror) nothingLeft() {
	m.t.Helper()
	if left := m.seen.left(m.run); len(left) > 0 {
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
		for _, p := range procs() {
			if _, ok := m.seen.procs[fmt.Sprint(p.pid, " ", p.start)]; ok {
				alive = append(alive, fmt.Sprintf("%d %s", p.pid, p.role))
			}
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
