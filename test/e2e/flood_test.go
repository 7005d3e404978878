//go:build e2e

package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// floodRate is how often a second one file is written.
const floodRate = 100_000

// One file is written 100,000 times a second in one sync: a change in another
// one is on its target nearly as soon as without. What counts is the ratio that
// is printed; the limit of the test is a wide one, since others use this machine
// too.
func TestFlood(t *testing.T) {
	f := newFleet(t, "flooded", "other")
	flooded, other := f.part("flooded"), f.part("other")
	for _, p := range f.parts { // what is measured is not to wait for its own sake
		p.flags = append(p.flags, `delay = "0"`)
	}
	hundred(t, flooded.src, 20)
	hundred(t, other.src, 20)
	write(t, flooded.src+"/busy", "x")
	f.start().ready()
	n := scaled().latencies
	idle := other.latency("idle", n, 3*time.Second)

	var wrote int
	began := time.Now()
	stop := background(t, func(ctx context.Context) (err error) {
		wrote, err = flood(ctx, flooded.src+"/busy")
		return err
	})
	during := other.latency("flood", n, 5*time.Second)
	took := time.Since(began)
	stop()

	rate := float64(wrote) / took.Seconds()
	a, b := percentile(idle, 50), percentile(during, 50)
	t.Logf("%.0f writes a second; p50 of the other sync: idle %v (%d changes), during the flood %v (%d changes): %.2f times; p90 %v and %v",
		rate, a, len(idle), b, len(during), float64(b)/float64(a), percentile(idle, 90), percentile(during, 90))
	if rate < floodRate/4 {
		testenv.Lacks(t, "this machine writes too slowly for a flood")
	}
	most := 2*a + 5*time.Millisecond
	if !scaled().full {
		most = 3*a + 20*time.Millisecond // a few changes, beside other tests
	}
	if b > most {
		t.Errorf("p50 of the other sync is %v during the flood, and %v without", b, a)
	}
	f.equal()
	r := flooded.report()
	t.Logf("the flooded sync: %d events, %d overflows, %d commands", r.num("events"), r.num("overflows"), r.num("jobs"))
	f.stop()
}

// flood writes one byte again and again.
func flood(ctx context.Context, path string) (n int, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	const tick = 5 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	began := time.Now()
	for {
		for due := int(time.Since(began).Seconds() * floodRate); n < due; n++ {
			if _, err := file.WriteAt([]byte{byte(n)}, 0); err != nil {
				return n, err
			}
			if n%1000 == 0 && ctx.Err() != nil {
				return n, nil
			}
		}
		select {
		case <-ctx.Done():
			return n, nil
		case <-ticker.C:
		}
	}
}
