//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// One file is written to as fast as a process can. The kernel merges what is told
// of it, and its sync reads that every few milliseconds: another sync's latency
// stays within twice what it is without.
func TestFloodLeavesOthersAlone(t *testing.T) {
	f := newFleet(t, "flooded", "other")
	flooded, other := f.part("flooded"), f.part("other")
	f.start().ready()
	const files = 60
	before := percentile(other.latency("before", files, 0), 50)
	file, err := os.Create(filepath.Join(flooded.src, "file"))
	if err != nil {
		t.Fatal(err)
	}
	writes, began := 0, time.Now()
	stop := background(t, func(ctx context.Context) error {
		// 100,000 a second, but no more: what is measured is what the events
		// cost, not what the writer does.
		const rate, slice = 100_000, time.Millisecond
		tick := time.NewTicker(slice)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			for due := int(time.Since(began) * rate / time.Second); writes < due && ctx.Err() == nil; writes++ {
				if _, err := file.WriteAt([]byte{byte(writes)}, 0); err != nil {
					return err
				}
			}
		}
		return file.Close()
	})
	during := percentile(other.latency("during", files, 3*time.Second), 50)
	took := time.Since(began)
	stop()
	t.Logf("latency of the other: %v alone, %v beside %.0f writes a second", before, during, float64(writes)/took.Seconds())
	const jitter = 30 * time.Millisecond // of a machine with few processors
	if during > 2*before+jitter {
		t.Errorf("%v, more than twice %v", during, before)
	}
	f.equal()
	f.stop()
}
