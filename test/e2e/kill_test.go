//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/test/churn"
)

// kill -9 of any confined process at random moments during changes: all are
// back within a second, and nothing is lost.
func TestKillAtRandom(t *testing.T) {
	s := scaled()
	seeded(t, 1, func(t *testing.T, seed uint64) {
		m := newMirror(t)
		if err := churn.StreamFiles(m.src, seed); err != nil {
			t.Fatal(err)
		}
		m.start().ready()
		stop := background(t, func(ctx context.Context) error {
			_, err := churn.Stream(ctx, m.src, seed, 200, time.Hour)
			return err
		})
		r := churn.Rand(seed, 500)
		var slowest time.Duration
		victims := []string{"lockstep-helper", "lockstep-worker", "lockstep-runner", "rsync"}
		for i := range s.kills {
			name := victims[r.IntN(len(victims))]
			took := m.killOne(name)
			slowest = max(slowest, took)
			if took > time.Second {
				t.Errorf("kill %d: %s was back after %v, want at most 1 s", i, name, took)
			}
			pause(time.Duration(r.IntN(600)) * time.Millisecond)
		}
		stop()
		t.Logf("%d kills, slowest back after %v: equal %v after the last change", s.kills, slowest, m.equal())
		m.stop()
	})
}

// pause lets a random time pass, so that the next kill meets another moment.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// background runs work until the returned function is called, which waits for
// its end.
func background(t *testing.T, work func(ctx context.Context) error) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

// killOne kills a process of a role and returns how long it took until helper,
// worker and runner were there again (each of those that died as a new
// process) and events were read.
func (m *mirror) killOne(name string) time.Duration {
	m.t.Helper()
	m.awaitReady()
	victim := m.any(name)
	at := m.mark()
	start := time.Now()
	if err := syscall.Kill(victim.pid, syscall.SIGKILL); err != nil {
		return 0 // it had just ended by itself: nothing was killed
	}
	switch name {
	case "rsync":
		return 0 // its end is no one else's
	case "lockstep-runner":
		m.other(name, victim)
	default:
		m.await(at, "readiness after the kill of "+name, limit, isReady)
	}
	return time.Since(start)
}

// isReady accepts the record that says that all is watched and events are read.
func isReady(r record) bool { return strings.HasPrefix(r.str("msg"), "ready: ") }

// isReady is the same of this sync.
func (m *mirror) isReady(r record) bool { return m.mine(r) && isReady(r) }

// awaitReady waits until the three confined processes are there.
func (m *mirror) awaitReady() {
	m.t.Helper()
	for _, name := range []string{"lockstep-helper", "lockstep-worker", "lockstep-runner"} {
		m.the(name)
	}
}

// any waits for some process of a role: a command comes and goes.
func (m *mirror) any(name string) proc {
	m.t.Helper()
	return m.awaitProc("a process "+name, func(p proc) bool { return p.role == name && !p.ofTrial() })
}

// other waits for another process in the role of victim.
func (m *mirror) other(name string, victim proc) proc {
	m.t.Helper()
	return m.awaitProc("a new "+name, func(p proc) bool {
		return p.role == name && (p.pid != victim.pid || p.start != victim.start) && !p.ofTrial()
	})
}

func (m *mirror) awaitProc(what string, want func(proc) bool) proc {
	m.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < limit; <-tick.C {
		for _, p := range family(m.cmd.Process.Pid) {
			if want(p) {
				return p
			}
		}
		select {
		case <-m.exited:
			m.t.Fatalf("lockstep ended with code %d", m.code)
		default:
		}
	}
	m.t.Fatalf("no %s within %v", what, limit)
	return proc{}
}

// kill -9 of the supervisor, in the middle of changes: everything ends with
// it, and the next start sweeps what is left and mends the target.
func TestKillSupervisor(t *testing.T) {
	beside(t)
	m := newMirror(t)
	if err := churn.StreamFiles(m.src, 1); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m.start().ready()
		stop := background(t, func(ctx context.Context) error {
			_, err := churn.Stream(ctx, m.src, uint64(i), 500, time.Hour)
			return err
		})
		m.any("rsync")
		m.seen.look(m.cmd.Process.Pid)
		if err := syscall.Kill(m.cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		m.wait(limit)
		m.sweepWait()
		stop()
	}
	old := m.seen
	m.start().ready()
	for dir := range old.Groups {
		if _, err := os.Stat(dir); err == nil && !m.seen.Groups[dir] {
			t.Errorf("the next start left the cgroup %s", dir)
		}
	}
	m.stop()
}
