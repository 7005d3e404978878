//go:build escape

package escape

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv/record"
)

// TestWorkerForeign: whatever number is called by i386's door ends the worker.
func TestWorkerForeign(t *testing.T) {
	j := worker(t)
	log := record.Open(t)
	for nr := 0; nr < 470; nr += step() {
		o := j.confined(t, fmt.Sprintf("i386 %d", nr), j.filter)
		if o.result() != Killed {
			t.Errorf("%d: ended by %v", nr, o)
			continue
		}
		if err := log.Expect(o.pid, unix.AUDIT_ARCH_I386, int32(nr)); err != nil {
			t.Errorf("%d: %v", nr, err)
		}
	}
}
