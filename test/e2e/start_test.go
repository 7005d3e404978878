//go:build e2e

package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	"lockstep/test/churn"
)

// The first pass begins beside the first walk. Whatever directories do while
// both are under way, nothing is lost: starts at random moments of a churn that
// goes on during them, and ends at another one.
func TestStartInChurn(t *testing.T) {
	s := scaled()
	seeded(t, s.churnSeeds, func(t *testing.T, seed uint64) {
		m := newMirror(t)
		outside := m.src + "-outside"
		if err := os.Mkdir(outside, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := churn.Burst(m.src, seed, s.burstDirs, s.burstFiles); err != nil {
			t.Fatal(err)
		}
		r := churn.Rand(seed, 600)
		var slowest time.Duration
		for range s.starts {
			stop := background(t, func(ctx context.Context) error {
				for ctx.Err() == nil {
					if err := churn.Dirs(m.src, outside, r.Uint64(), 40); err != nil {
						return err
					}
				}
				return nil
			})
			pause(time.Duration(r.IntN(100)) * time.Millisecond)
			m.start()
			pause(time.Duration(r.IntN(500)) * time.Millisecond)
			stop()
			slowest = max(slowest, m.equal())
			m.stop()
		}
		t.Logf("%d starts, slowest equal %v after the last change", s.starts, slowest)
	})
}
