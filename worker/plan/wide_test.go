package plan

import (
	"math/rand/v2"
	"testing"

	"lockstep/ipc"
)

// TestWide is TestRsync with lists that are divided among rsyncs side by side,
// however short.
func TestWide(t *testing.T) {
	excludes := map[string][]string{"none": nil, "exact": {"*.tmp", "/cache/", "e/f"}}
	for name, patterns := range excludes {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			m := &model{world: newWorld(t, seed, patterns)}
			m.opt.Wide = 1
			changesIn(m, 0)
			// Most of these trees are small: it may need a few more.
			for more := 0; m.divided == 0 && more < 200; more++ {
				m.round()
			}
			t.Logf("%d wide lists, divided %d times", m.jobs[ipc.JobWide], m.divided)
			if m.divided == 0 {
				t.Error("no list was divided")
			}
		})
	}
}
