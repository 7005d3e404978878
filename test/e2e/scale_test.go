//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// scale is how much of everything a run does.
type scale struct {
	burstDirs, burstFiles, burstSeeds int
	streamRate                        int
	streamFor                         time.Duration
	churnOps, churnSeeds              int
	stressFor                         time.Duration
	stressSeeds                       int
	kills, starts                     int
	hostileNames, hostileSeeds        int
	hostileDeletes                    int
	syncs                             int
	latencies                         int
	away                              time.Duration // how long a target cannot be reached
	full                              bool
	someScripts                       int // every how many are run but with inotify and a local target
}

func scaled() scale {
	if os.Getenv("LOCKSTEP_SCALE") == "full" {
		return scale{full: true, away: 20 * time.Second, burstDirs: 200, burstFiles: 20000, burstSeeds: 10,
			streamRate: 2000, streamFor: 30 * time.Second,
			churnOps: 6000, churnSeeds: 10, stressFor: time.Minute, stressSeeds: 10,
			kills: 100, starts: 10,
			hostileNames: 3000, hostileSeeds: 2, hostileDeletes: 60,
			syncs: 100, latencies: 200, someScripts: 1}
	}
	return scale{away: 5 * time.Second, burstDirs: 40, burstFiles: 4000, burstSeeds: 1,
		streamRate: 1000, streamFor: 3 * time.Second,
		churnOps: 1500, churnSeeds: 1, stressFor: 5 * time.Second, stressSeeds: 2,
		kills: 6, starts: 2,
		hostileNames: 400, hostileSeeds: 1, hostileDeletes: 5,
		syncs: 8, latencies: 20, someScripts: 8}
}

// seeded runs test once for each of n fresh seeds, or once for LOCKSTEP_SEED.
func seeded(t *testing.T, n int, test func(t *testing.T, seed uint64)) {
	t.Helper()
	first := uint64(time.Now().UnixNano())
	if repeat := testenv.Number(t, "LOCKSTEP_SEED", 0); repeat != 0 {
		first, n = repeat, 1
	}
	for i := range uint64(n) {
		t.Run(fmt.Sprintf("seed=%d", first+i), func(t *testing.T) {
			t.Logf("to repeat it: LOCKSTEP_SEED=%d", first+i)
			test(t, first+i)
		})
	}
}

// beside lets a test go on beside others (as many as -parallel says): most of them
// wait most of the time. Who calls it asserts that all it makes and looks at is its
// own (directories, runtime and state directory, processes by descent) and that it
// stays right however slow the machine is: it measures no latency and no processor
// time; changes no kernel variable and no environment; mounts nothing; does not look
// at the whole machine, and exhausts nothing that others need. A test with a word of
// one of these is not beside others: Go runs those one at a time, before all that
// are.
func beside(t *testing.T) {
	t.Helper()
	t.Parallel()
}

// sysctl sets a kernel variable until the test's end.
func sysctl(t *testing.T, name, value string) {
	t.Helper()
	t.Cleanup(setSysctl(t, name, value))
}

// setSysctl sets a kernel variable until restore is called.
func setSysctl(t *testing.T, name, value string) (restore func()) {
	t.Helper()
	return testenv.SetSysctl(t, name, value)
}
