//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"lockstep/test/churn"
)

// A burst as fast as the machine writes, with the kernel's usual queue and
// with one that overflows.
func TestBurst(t *testing.T) {
	s := scaled()
	for _, queue := range []string{"default", "1024"} {
		t.Run("max_queued_events="+queue, func(t *testing.T) {
			if queue != "default" {
				sysctl(t, "fs.inotify.max_queued_events", queue)
			}
			seeded(t, s.burstSeeds, func(t *testing.T, seed uint64) {
				beside(t)
				m := newMirror(t).start().ready()
				if err := churn.Burst(m.src, seed, s.burstDirs, s.burstFiles); err != nil {
					t.Fatal(err)
				}
				end := time.Now()
				// Comparing is a load of its own: what the daemon says is nearer
				// to what it needs when nobody looks.
				m.equal()
				r := m.report()
				t.Logf("%d files in %d directories: last command ended %.1f s after the last file; %d commands, %d overflows, %d rescans",
					s.burstFiles, s.burstDirs, float64(r.num("last_sync")-end.UnixNano())/1e9, r.num("jobs"), r.num("overflows"), r.num("rescans"))
				m.stop()
			})
		})
	}
}

// Events that are lost for certain: the worker stands still while more happens
// than the queue holds.
func TestOverflow(t *testing.T) {
	sysctl(t, "fs.inotify.max_queued_events", "64")
	m := newMirror(t)
	if err := churn.Burst(m.src, 1, 10, 100); err != nil {
		t.Fatal(err)
	}
	m.start().ready()
	worker := m.the("lockstep-worker").pid
	for i, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := syscall.Kill(worker, signal); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := churn.Burst(m.src, 2, 30, 600); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(m.src + "/dir004"); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.sameWithin(limit)
	if r := m.inStep(limit); r.num("overflows") == 0 || r.num("rescans_overflow") == 0 || r.num("rescan_dirs") == 0 || r.num("rescan_nanos") == 0 {
		t.Errorf("no overflow, or no rescan after it: %s", r)
	}
	m.stop()
}

// A steady stream of changes, most of them edits that keep the size, many in
// the same second.
func TestStream(t *testing.T) {
	beside(t)
	s := scaled()
	seeded(t, 1, func(t *testing.T, seed uint64) {
		m := newMirror(t)
		if err := churn.StreamFiles(m.src, seed); err != nil {
			t.Fatal(err)
		}
		m.start().ready()
		c, err := churn.Stream(context.Background(), m.src, seed, s.streamRate, s.streamFor)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d changes, %d of them edits of the same size: equal %v after the last", c.Changes, c.SameSize, m.equal())
		m.stop()
	})
}

// Directories that move, vanish, come back and exchange names while four
// workers change them at once. Afterwards the daemon's tree must hold what the
// file system holds, both ways.
func TestDirectoryChurn(t *testing.T) {
	beside(t)
	s := scaled()
	seeded(t, s.churnSeeds, func(t *testing.T, seed uint64) {
		beside(t)
		m := newMirror(t).start().ready()
		m.churn(seed)
		m.stop()
	})
}

// churn has directories move, vanish and come back while others write. What the
// worker's tree holds then shows in whether a few later changes are seen, too.
func (m *mirror) churn(seed uint64) {
	m.t.Helper()
	outside := m.src + "-outside"
	mkdir(m.t, outside)
	for part, ops := range []int{scaled().churnOps, 40} {
		if err := churn.Dirs(m.src, outside, seed+1000*uint64(part), ops); err != nil {
			m.t.Fatal(err)
		}
		m.t.Logf("%d changes: equal %v after the last", ops, m.equal())
	}
}

// A start on a tree that is there already, with a target that is nearly right:
// wrong content, things too many, things missing.
func TestInitialMends(t *testing.T) {
	beside(t)
	m := newMirror(t)
	for _, root := range []string{m.src, m.dst} {
		if err := churn.Burst(root, 1, 20, 400); err != nil {
			t.Fatal(err)
		}
	}
	if err := churn.Dirs(m.dst, t.TempDir(), 2, 400); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		old := time.Now().Add(-time.Hour)
		name := fmt.Sprintf("%s/dir%03d/too-many%d", m.dst, i%3, i)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	m.start().ready()
	m.stop()
}
