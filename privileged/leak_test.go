package privileged

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
)

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(all)
}

// settles waits until count is back at want.
func settles(t *testing.T, what string, want int, count func() int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		n := count()
		if n <= want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d %s, there were %d", n, what, want)
		}
		runtime.Gosched()
	}
}

// TestNothingIsLeftOpen: no request leaves a descriptor behind, whether it is
// granted or refused, nor does a runner that was replaced.
func TestNothingIsLeftOpen(t *testing.T) {
	r := newRig(t)
	sample(t, r.dir)
	r.connect()
	r.hello()
	var before int
	runner := -1
	for round := range 5 {
		if runner >= 0 {
			closeFD(t, runner)
		}
		runner = r.runner()
		for range 20 {
			r.stat("", "dir/two", "file", "file/x", "none/x", "dir", "link/x", "dir/none")
			r.watch(ipc.Watch{Watch: true, All: true, Rels: []string{"", "dir", "none", "file", "link"}})
			a := r.started(r.start(ipc.JobList, "./file\x00"))
			if a.Status == ipc.StatusNoRunner || a.Status == ipc.StatusBusy {
				continue // the supervisor's packet is still on its way
			}
			p, err := receive(runner)
			if err != nil {
				r.exited() // the job of the runner before
				continue
			}
			list(t, p)
			r.tell(runner, &ipc.RunEnd{Exited: ipc.Exited{Job: a.Job, End: ipc.EndExited}})
			r.exited()
		}
		if round == 0 {
			before = descriptors(t)
		}
	}
	settles(t, "descriptors", before, func() int { return descriptors(t) })
	closeFD(t, runner)
}

// TestNothingIsLeftRunning: the threads and goroutines end with Serve, once the
// other ends of their sockets are closed.
func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("life", func(t *testing.T) {
		r := newRig(t)
		runner := r.runner()
		r.connect()
		r.hello()
		r.stat("")
		must(t, unix.Mkdir(filepath.Join(r.dir, "d"), 0o700))
		r.watch(ipc.Watch{Watch: true, Rels: []string{"d"}})
		r.started(r.start(ipc.JobList, ".\x00"))
		closeFD(t, runner)
		r.exited()
	})
	settles(t, "goroutines", before, runtime.NumGoroutine)
}
