//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/test/churn"
)

func newFanotify(t *testing.T) *mirror { return newMirror(t, "--monitor", "fanotify") }

// All scripts hold with the events of a whole file system as well.
func TestScriptsWithFanotify(t *testing.T) {
	beside(t)
	scripts(t, scaled().someScripts, newFanotify)
}

// A burst, and then directories that move, vanish and come back while others
// write: what the worker holds is what the file system holds, both ways. The
// target, the state and the other tests are on the same file system.
func TestChurnWithFanotify(t *testing.T) {
	beside(t)
	burstAndChurn(t, newFanotify)
}

func burstAndChurn(t *testing.T, prepare func(t *testing.T) *mirror) {
	s := scaled()
	seeded(t, s.churnSeeds, func(t *testing.T, seed uint64) {
		beside(t)
		m := prepare(t).start().ready()
		if err := churn.Burst(m.src, seed, s.burstDirs, s.burstFiles); err != nil {
			t.Fatal(err)
		}
		took := m.equal()
		r := m.report()
		t.Logf("burst of %d files: equal %v after the last; %d commands, %d overflows, %d rescans", s.burstFiles, took, r.num("jobs"), r.num("overflows"), r.num("rescans"))
		m.churn(seed)
		m.stop()
	})
}

// The resolver's death ends the generation; the next sees what came meanwhile.
func TestKillResolver(t *testing.T) {
	beside(t)
	m := newFanotify(t).start().ready()
	for i := range 3 {
		at := m.mark()
		victim := m.the("lockstep-resolver")
		if err := syscall.Kill(victim.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		write(t, fmt.Sprintf("%s/f%d", m.src, i), "x")
		m.other("lockstep-resolver", victim)
		m.await(at, "readiness", limit, m.isReady)
		m.equal()
	}
	m.stop()
}

// A worker that stands still for long hears of what it missed.
func TestSlowWorkerWithFanotify(t *testing.T) {
	beside(t)
	m := newFanotify(t).start().ready()
	worker := m.the("lockstep-worker").pid
	if err := syscall.Kill(worker, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := churn.Burst(m.src, 1, 20, 2000); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(worker, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	m.equal()
	m.stop()
}

// Where a file system refuses, the start says what refused and what works.
func TestFanotifyIsRefused(t *testing.T) {
	m := newFanotify(t)
	base := t.TempDir()
	if err := unix.Mount("none", base, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(base, 0); err != nil {
			t.Error(err)
		}
	}()
	for _, dir := range []string{"/l", "/u", "/w"} {
		if err := os.Mkdir(base+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("none", m.src, "overlay", 0, "lowerdir="+base+"/l,upperdir="+base+"/u,workdir="+base+"/w"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(m.src, 0); err != nil {
			t.Error(err)
		}
	}()
	if code := m.once("--once"); code != 1 || !strings.Contains(m.output(), "nfs_export=on") || !strings.Contains(m.output(), "inotify") {
		t.Errorf("exit code %d\n%s", code, m.output())
	}
	m.nothingLeft()
}

// Nor can it where a file system has no number of its own, as in FUSE.
func TestFanotifyOnFUSEIsRefused(t *testing.T) {
	m := newFanotify(t)
	m.flags = append(m.flags, "--allow-blind")
	under := filepath.Join(filepath.Dir(m.src), "under")
	mkdir(t, under)
	bindfs(t, under, m.src)
	if code := m.once("--once"); code != 1 || !strings.Contains(m.output(), "the file system has no number by which events could name it") {
		t.Errorf("exit code %d\n%s", code, m.output())
	}
	m.nothingLeft()
}
