//go:build escape

package escape

import (
	"fmt"
	"strings"
	"testing"

	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/record"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/test/escape/redteam"
)

// step says how much of the numbers is tried: all, or, in the small share, a few of
// those that no table names.
func step() int {
	if full() {
		return 1
	}
	return 16
}

// allowed says whether a table lets a call without arguments, all zero, through.
func allowed(f seccomp.Filter, name string) bool {
	for _, c := range f.Allow {
		if c.Name != name {
			continue
		}
		all := true
		for _, cond := range c.If {
			all = all && (cond.Not && cond.Value != 0 || !cond.Not && cond.Value == 0)
		}
		if all {
			return true
		}
	}
	return false
}

// TestWorkerNumbers: of all numbers that a call can have, those of the table alone
// reach the kernel.
func TestWorkerNumbers(t *testing.T) { numbers(t, worker(t)) }

// TestNumbers: the same of the others whose filters kill.
func TestNumbers(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *jailed{"helper": helper, "resolver": resolver, "dnotify": dnotify, "gate": gate} {
		if !full() && name != "gate" {
			t.Logf("%s: only with the full numbers, LOCKSTEP_SCALE=full", name)
			continue
		}
		t.Run(name, func(t *testing.T) { numbers(t, start(t)) })
	}
}

// unfiltered are calls of amd64 that newer kernels look at before any filter: those by
// which a probe that root has set in a program comes back. From elsewhere they give
// nothing: one ends the program by SIGILL, the other is an error.
func unfiltered(nr int, o outcome) (why string, so bool) {
	switch {
	case arch != seccomp.AMD64:
	case nr == 335 && o.marked && o.returned == "" && strings.Contains(o.out, "SIGILL: illegal instruction"):
		return "uretprobe(2) comes before filters, and ended the program by SIGILL", true
	case nr == 336 && o.returned == "ENXIO":
		return "uprobe(2) comes before filters, and did nothing", true
	}
	return "", false
}

func numbers(t *testing.T, j *jailed) {
	const x32 = 0x4000_0000
	log := record.Open(t)
	all := []int{-1, -1 << 31, 1<<31 - 1, x32 + 1<<20, 1 << 20}
	for nr := 0; nr < 600; nr++ {
		all = append(all, nr)
		if arch == seccomp.AMD64 {
			all = append(all, x32+nr)
		}
	}
	passed, killed := 0, 0
	for i, nr := range all {
		name, err := libseccomp.ScmpSyscall(nr).GetName()
		passes := err == nil && allowed(j.table, name)
		if name == "exit" || name == "ppoll" && passes || !passes && i%step() != 0 && nr != 335 && nr != 336 {
			continue // a thread that ends, or waits for ever, is not the program's end
		}
		o := j.confined(t, fmt.Sprintf("number %d", uint32(nr)), j.filter)
		if why, knows := unfiltered(nr, o); knows {
			t.Logf("%d: %s", nr, why)
			continue
		}
		if !o.marked || (o.result() == Killed) == passes {
			t.Errorf("%d (%s): passes %v, ended by %v", nr, name, passes, o)
		}
		if passes {
			passed++
			continue
		}
		killed++
		if err := log.Expect(o.pid, native(), int32(nr)); err != nil {
			t.Errorf("%d (%s): %v", nr, name, err)
		}
	}
	t.Logf("%d numbers passed, %d ended the process", passed, killed)
	if passed < 10 || killed < 1000/step() {
		t.Error("too few")
	}
}

// TestWorkerClones: clone makes threads of the runtime's kind, and nothing else:
// each flag that differs ends the worker.
func TestWorkerClones(t *testing.T) {
	j := worker(t)
	log := record.Open(t)
	var thread uint64
	for _, c := range j.table.Allow {
		if c.Name == "clone" {
			thread = c.If[0].Value
		}
	}
	if thread == 0 {
		t.Fatal("the table has no clone")
	}
	for bit := range 64 {
		o := j.confined(t, fmt.Sprintf("clone %#x", thread^1<<bit), j.filter)
		if o.result() != Killed {
			t.Errorf("bit %d: ended by %v", bit, o)
			continue
		}
		if err := log.Expect(o.pid, native(), int32(unix.SYS_CLONE)); err != nil {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
}

// TestWorkerExhausts: memory and threads beyond the limits of its control group end
// the worker, and not the host; unconfined there are as many.
func TestWorkerExhausts(t *testing.T) {
	j := worker(t)
	limits := brief.Limits("worker", 0, false)
	if limits.Memory <= 0 || limits.Pids <= 0 {
		t.Fatalf("the product limits nothing: %+v", limits)
	}
	limits.Memory, limits.Pids = 128<<20, 24
	j.leaf = leaf(t, "worker", limits)
	for act, want := range map[string]string{"memory 512": "killed by killed", "threads 100": "exit 2"} {
		if o := twin(t, j.world, redteam.Act{Name: act}); o.result() != "ok" {
			t.Errorf("%s, unconfined: %v", act, o)
		}
		if o := j.confined(t, act, j.filter); o.result() != want {
			t.Errorf("%s: %s, want %s: %.2000v", act, o.result(), want, o)
		}
	}
}
