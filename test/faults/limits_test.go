//go:build faults

package faults

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
)

// limits: what the kernel gives no more of.
func limits() []fault {
	return []fault{
		{name: "no inotify instance", alone: true, flags: []string{"--poll-every", "300ms"},
			prepare: func(s *scene) { s.sysctl("fs.inotify.max_user_instances", "0") },
			happen: func(s *scene) string {
				shown := s.said(0, "max_user_instances")
				s.put("d00/meanwhile", "x")
				s.arrives("d00/meanwhile", "x")
				return shown
			},
			mend: undo},
		{name: "a queue of 16 events overflows", long: true, alone: true,
			prepare: func(s *scene) { s.sysctl("fs.inotify.max_queued_events", "16") },
			happen: func(s *scene) string {
				s.stand("lockstep-worker")
				for i := range 300 {
					s.put(fmt.Sprintf("d%02d/one-of-many-%03d", i%5, i), "x")
				}
				must(s.t, os.Remove(s.src+"/d04/one-of-many-299"))
				s.goOn()
				n := int64(0)
				s.until("overflow", func() bool { n = s.report().Num("overflows"); return n > 0 })
				return fmt.Sprintf("the state counts overflows: %d", n)
			},
			mend: undo},
		{name: "no descriptor left in the helper", long: true,
			happen: func(s *scene) string {
				s.bound("lockstep-helper", unix.RLIMIT_NOFILE, 4)
				at := s.Mark()
				must(s.t, os.MkdirAll(s.src+"/new/below", 0o755))
				s.put("new/below/f", "x")
				return s.warned(at)
			},
			mend: undo},
		{name: "no descriptor left in the runner",
			happen: func(s *scene) string {
				s.bound("lockstep-runner", unix.RLIMIT_NOFILE, 4)
				at := s.Mark()
				s.put("meanwhile", "x")
				return s.warned(at)
			},
			mend: undo},
		{name: "files of rsync may not grow", flags: []string{},
			happen: func(s *scene) string {
				s.bound("lockstep-runner", unix.RLIMIT_FSIZE, 64<<10)
				at := s.Mark()
				s.put("large", strings.Repeat("x", 1<<20))
				return s.warned(at)
			},
			mend: undo},
		{name: "no process left for the command",
			happen: func(s *scene) string {
				s.group("lockstep-runner", "pids.max", "1")
				at := s.Mark()
				s.put("meanwhile", "x")
				return s.warned(at)
			},
			mend: undo},
		{name: "out of memory, worker", long: true, happen: func(s *scene) string { return s.squeezed("lockstep-worker") }, mend: undo},
		{name: "out of memory, helper", long: true, happen: func(s *scene) string { return s.squeezed("lockstep-helper") }, mend: undo},
		{name: "out of memory, rsync or its runner", long: true, happen: func(s *scene) string { return s.squeezed("lockstep-runner") }, mend: undo},
	}
}

// undo takes back what a fault has set.
func undo(s *scene) {
	for _, f := range slices.Backward(s.undo) {
		f()
	}
	s.undo = nil
}

func (s *scene) sysctl(name, value string) {
	restore := testenv.SetSysctl(s.t, name, value)
	done := false
	once := func() {
		if !done {
			done = true
			restore()
		}
	}
	s.t.Cleanup(once)
	s.undo = append(s.undo, once)
}

// bound lowers a limit of a process that runs.
func (s *scene) bound(role string, what int, most uint64) {
	s.t.Helper()
	p := s.the(role)
	var before unix.Rlimit
	must(s.t, unix.Prlimit(p.PID, what, nil, &before))
	must(s.t, unix.Prlimit(p.PID, what, &unix.Rlimit{Cur: most, Max: before.Max}, nil))
	s.undo = append(s.undo, func() {
		if p.Alive() { // what was started in its place has the usual limit
			must(s.t, unix.Prlimit(p.PID, what, &before, nil))
		}
	})
}

// group sets a value of a process's control group.
func (s *scene) group(role, file, value string) (at string) {
	s.t.Helper()
	p := s.the(role)
	for _, dir := range observe.Cgroups(p.PID) {
		if !strings.Contains(dir, "lockstep") {
			continue
		}
		at = dir + "/" + file
		before, err := os.ReadFile(at)
		if err != nil {
			continue
		}
		must(s.t, os.WriteFile(at, []byte(value), 0o644))
		s.undo = append(s.undo, func() { _ = os.WriteFile(at, before, 0o644) }) // it may have gone with its process
		return at
	}
	testenv.Lacks(s.t, "no control group with "+file)
	return ""
}

// squeezed leaves a process hardly more memory than it has, and makes work for it until
// the kernel ends it.
func (s *scene) squeezed(role string) string {
	s.t.Helper()
	file, usage := "memory.max", "memory.current"
	if observe.Hierarchy("memory") != "" {
		file, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
	}
	p := s.the(role)
	at := s.Mark()
	for _, dir := range observe.Cgroups(p.PID) {
		text, err := os.ReadFile(dir + "/" + usage)
		if err != nil || !strings.Contains(dir, "lockstep") {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		must(s.t, err)
		s.group(role, file, strconv.Itoa(n+128<<10))
		for i := 0; p.Alive(); i++ {
			if i > 100 {
				s.t.Fatalf("%s lives with %d bytes", role, n+128<<10)
			}
			dir := fmt.Sprintf("%s/many%03d", s.src, i)
			must(s.t, os.Mkdir(dir, 0o755))
			for k := range 100 {
				must(s.t, os.WriteFile(fmt.Sprintf("%s/%03d-%s", dir, k, strings.Repeat("n", 200)), []byte("x"), 0o644))
			}
			pause(20 * time.Millisecond)
		}
		return fmt.Sprintf("process %d is gone with a limit of %d bytes; ", p.PID, n+128<<10) + s.said(at, "killed", "ended", "lost")
	}
	testenv.Lacks(s.t, "no control group with "+usage)
	return ""
}

// warned waits for a warning or an error, whatever it says.
func (s *scene) warned(at int) string {
	s.t.Helper()
	r := s.need(at, "warning", func(r observe.Record) bool {
		return slices.Contains([]string{"warn", "warning", "error"}, strings.ToLower(r.Str("level")))
	})
	text := r.Str("msg")
	return "says: " + text[:min(len(text), 110)]
}

// stand has a process stand still.
func (s *scene) stand(role string) string {
	s.t.Helper()
	s.stopped = s.the(role)
	if role == "lockstep" {
		s.stopped = observe.Proc{PID: s.cmd.Process.Pid}
	}
	must(s.t, unix.Kill(s.stopped.PID, unix.SIGSTOP))
	state := ""
	s.until("a process that stands still", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.stopped.PID))
		must(s.t, err)
		state = string(stat[strings.LastIndexByte(string(stat), ')')+2])
		return state == "T"
	})
	return "/proc says: state " + state
}

func (s *scene) goOn() {
	s.t.Helper()
	if err := unix.Kill(s.stopped.PID, unix.SIGCONT); err != nil && err != syscall.ESRCH {
		s.t.Fatal(err)
	}
}

// still: processes that stand still for a while.
func still() []fault {
	one := func(role string, most time.Duration) fault {
		return fault{name: "SIGSTOP of " + role, long: role != "lockstep-worker",
			happen: func(s *scene) string {
				if !full() {
					most = time.Second
				}
				shown := s.stand(role)
				for i := range 20 {
					s.put(fmt.Sprintf("d%02d/meanwhile%d", i%5, i), "x")
				}
				must(s.t, os.MkdirAll(s.src+"/made/meanwhile", 0o755))
				s.put("made/meanwhile/f", "x")
				pause(most) // as long as it stands
				return fmt.Sprintf("%s, for %v", shown, most)
			},
			mend: func(s *scene) { s.goOn() }}
	}
	rsync := fault{name: "SIGSTOP of rsync", long: true, flags: []string{"--bwlimit", "1MiB"},
		happen: func(s *scene) string {
			s.put("large", strings.Repeat("0123456789abcdef", 2<<20/16))
			shown := s.stand("rsync")
			s.put("d00/meanwhile", "x")
			pause(time.Second)
			return shown
		},
		mend: func(s *scene) { s.goOn() }}
	return []fault{one("lockstep-helper", time.Minute), one("lockstep-worker", 15*time.Second), one("lockstep-runner", 15*time.Second), rsync}
}
