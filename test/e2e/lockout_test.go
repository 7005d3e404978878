//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Five forbidden system calls within a minute are no accident: it stays down.
func TestLockOut(t *testing.T) {
	m := newMirror(t).start().ready()
	for i := range 5 {
		m.awaitReady()
		at := m.mark()
		forbiddenCall(t, m.the("lockstep-worker").pid)
		if i < 4 {
			m.await(at, fmt.Sprintf("readiness after death %d", i+1), limit, isReady)
		}
	}
	if code := m.wait(limit); code != 78 {
		t.Errorf("exit code %d, want 78", code)
	}
	if !strings.Contains(m.output(), "forbidden system call") {
		t.Errorf("it does not say why it stays down:\n%s", m.output())
	}
	m.nothingLeft()
}
