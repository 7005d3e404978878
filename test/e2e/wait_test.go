//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"lockstep/test/compare"
)

// limit is how long trees may take to become equal: far above what is usual, also
// with other tests beside (see beside), so that only a lost change reaches it: an
// rsync on the far side of a connection may sleep for a minute with all work done
// (3.5.0).
const limit = 240 * time.Second

// sigState asks for the state in the log.
const sigState = syscall.SIGUSR1

// equal waits until the target is what the source is, and the daemon says that
// nothing is under way; then it looks once more. It returns how long the first
// equality took.
func (m *mirror) equal() time.Duration { m.t.Helper(); return m.equalWithin(limit) }

func (m *mirror) equalWithin(limit time.Duration) time.Duration {
	m.t.Helper()
	start := time.Now()
	for round := 0; ; round++ {
		m.sameWithin(limit - time.Since(start))
		took := time.Since(start)
		m.inStep(limit)
		diff, err := m.differ()
		if err == nil && len(diff) == 0 {
			return took
		}
		if time.Since(start) > limit {
			m.t.Fatalf("target was equal, and is not when all is said to be done: %v\n%s", err, lines(diff))
		}
	}
}

// sameWithin compares until the trees are the same.
func (m *mirror) sameWithin(limit time.Duration) {
	m.t.Helper()
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-m.exited:
			m.t.Fatalf("lockstep ended with code %d", m.code)
		case <-timer.C:
		}
		began := time.Now()
		diff, err := m.differ()
		if err == nil && len(diff) == 0 {
			return
		}
		if time.Since(start) > limit {
			m.t.Fatalf("target differs after %v: %v\n%s", limit, err, lines(diff))
		}
		// A big tree is read less often: reading must not be the load.
		timer.Reset(20*time.Millisecond + 2*time.Since(began))
	}
}

// differ compares the source with every target.
func (m *mirror) differ() ([]string, error) {
	want, err := compare.Read(m.src, m.opts)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, dst := range append([]string{m.dst}, m.more...) {
		got, err := compare.Read(dst, m.opts)
		if err != nil {
			return nil, err
		}
		for _, d := range compare.Diff(want, got, 20) {
			if len(m.more) > 0 {
				d = dst + ": " + d
			}
			all = append(all, d)
		}
	}
	return all, nil
}

// mine accepts records of this sync.
func (m *mirror) mine(r record) bool { return m.name == "" || r.str("sync") == m.name }

// eventually waits until ok.
func (m *mirror) eventually(what string, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); !ok(); <-tick.C {
		if time.Since(start) > limit {
			m.t.Fatalf("%s did not happen within %v", what, limit)
		}
	}
}

// inStep asks for the state until the daemon is in step, and wants the
// verification that comes with it to find no difference between the daemon's
// tree and the file system: it mends what it finds, which would hide a defect.
func (m *mirror) inStep(limit time.Duration) record {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		r := m.report()
		if r.str("msg") == "state: in step" {
			for _, key := range []string{"stale", "missing"} {
				if n, ok := r[key]; !ok || n != 0.0 {
					m.t.Errorf("verification: %v %s: %s", n, key, r)
				}
			}
			return r
		}
		if time.Since(start) > limit {
			m.t.Fatalf("not in step after %v: %s", limit, r)
		}
	}
}

// report asks for the state and returns the record.
func (m *mirror) report() record {
	m.t.Helper()
	for start := time.Now(); ; {
		at := m.mark()
		m.signal(sigState)
		r := m.await(at, "state record after SIGUSR1", limit, func(r record) bool {
			return m.mine(r) && strings.HasPrefix(r.str("msg"), "state: ")
		})
		if _, ok := r["verified"]; ok || time.Since(start) > limit {
			return r
		}
		// No worker is ready at the moment: it will be.
		m.await(at, "readiness", limit, m.isReady)
	}
}

// ready waits for the first equality after a start. (A signal that comes
// before the program has asked for it would end it.)
func (m *mirror) ready() *mirror {
	m.t.Helper()
	m.await(0, "readiness", limit, m.isReady)
	m.equal()
	m.seen.look(m.cmd.Process.Pid)
	return m
}

func lines(diff []string) string {
	out := ""
	for _, d := range diff {
		out += fmt.Sprintln("  ", d)
	}
	return out
}
