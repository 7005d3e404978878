//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/test/churn"
)

// Directories are renamed by many at once, from one directory to another and
// within one, while others change what is in them and move them out of the tree
// and back: as fast as the machine does it (the kernel's queue overflows then),
// and more slowly; with the usual queue and with a short one, which for fanotify is
// the resolver's own bound. Once all is quiet, the first verification finds nothing to mend
// in either direction, and the target is what the source is.
func TestRenameStress(t *testing.T) {
	short := builtWith(t, "shortqueue")
	for _, c := range []stressed{{"inotify", "16384", ""}, {"inotify", "1024", ""}, {"fanotify", "unlimited", ""}, {"fanotify", "1024", short}} {
		t.Run(c.monitor+"/queue="+c.queue, func(t *testing.T) {
			beside(t) // each a daemon of its own: what one does the others must not mind
			s := scaled()
			seeded(t, s.stressSeeds, func(t *testing.T, seed uint64) {
				rate := 2000
				if seed%2 == 1 {
					rate = 0
				}
				c.stress(t, seed, rate, s.stressFor)
			})
		})
	}
}

// stressed is a monitor, how many events the kernel keeps for its inotify instance,
// and the program, if it is another one than usual.
type stressed struct{ monitor, queue, program string }

// start starts a daemon with the queue: the kernel reads its length when an
// instance is made (inotify_init(2)), so that others may start with another one.
func (c stressed) start(t *testing.T, m *mirror) {
	t.Helper()
	if c.monitor == "inotify" {
		restore := setSysctl(t, "fs.inotify.max_queued_events", c.queue)
		defer restore()
	}
	m.program = c.program
	m.start().ready()
}

func (c stressed) stress(t *testing.T, seed uint64, rate int, long time.Duration) {
	m := newMirror(t, append(backOff(), "--monitor", c.monitor)...) // a pass that met with renames is soon made again
	load := churn.Stress{Root: m.src, Outside: m.src + "-outside", Seed: seed, Rate: rate}
	mkdir(t, load.Outside)
	if _, err := load.Run(); err != nil { // for no time: what is renamed is there
		t.Fatal(err)
	}
	c.start(t, m)
	before := m.report()
	load.For = long
	n, err := load.Run()
	if err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	m.sameWithin(2 * limit)
	took := time.Since(ended)
	m.still(limit)
	r := m.report() // the first verification since: it would mend what it finds
	rise := func(key string) int64 { return r.num(key) - before.num(key) }
	t.Logf("%d renames to another directory, %d within one, %d out, %d in, %d other changes, %d tries in vain, in %v: equal %v after the last",
		n.Moved, n.Same, n.Out, n.In, n.Changed, n.Missed, load.For, took.Round(time.Millisecond))
	t.Logf("%d events, %d overflows, %d rescans (%d directories in %v), %d repairs on the way", rise("events"), rise("overflows"), rise("rescans"),
		rise("rescan_dirs"), time.Duration(rise("rescan_nanos")).Round(time.Millisecond), rise("repairs"))
	falsely := max(rise("unpaired")-n.Out, rise("returned"), 0)
	t.Logf("falsely taken for moved out for a while: %d of %d renames within the tree (%.4f %%): %d were taken for moved out where %d had been, and %d of them known again",
		falsely, n.Renames(), 100*float64(falsely)/float64(max(n.Renames(), 1)), rise("unpaired"), n.Out, rise("returned"))
	t.Logf("quiet %v after the last change, state: %s", time.Since(ended).Round(time.Millisecond), strings.TrimPrefix(r.str("msg"), "state: "))
	if r.num("stale") != 0 || r.num("missing") != 0 {
		t.Errorf("all is quiet, and the tree is not the file system: %s", r)
	}
	m.equal() // a pass that failed meanwhile may wait to be made again
	if again := m.report(); again.num("repairs") != r.num("repairs") || again.num("dirs") != r.num("dirs") {
		t.Errorf("the first verification left something to mend: %s, after %s", again, r)
	}
	m.stop()
}

// still waits until no process of ours has used the processor for a while: what
// can be seen from outside, without asking, which would mend.
func (m *mirror) still(limit time.Duration) {
	m.t.Helper()
	const quiet = 1500 * time.Millisecond // above the longest wait for a rename's other half
	last, since := "", time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(since) < quiet; <-tick.C {
		now := m.ticks()
		if now != last {
			last, since = now, time.Now()
		}
		if time.Since(start) > limit {
			m.t.Fatalf("not quiet after %v: %s", limit, now)
		}
	}
}

// ticks is what each confined process of ours has used of the processor, and
// which of them there are. Not the resolver's: it hears of whatever anybody does
// on the file system, and what concerns us the worker hears from it.
func (m *mirror) ticks() string {
	var b strings.Builder
	for _, p := range family(m.cmd.Process.Pid) {
		if !strings.HasPrefix(p.role, "lockstep-") {
			fmt.Fprintf(&b, "%s ", p.role)
			continue
		}
		if p.role == "lockstep-resolver" {
			continue
		}
		text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/stat")
		if err != nil {
			continue
		}
		if f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])); len(f) > 12 {
			fmt.Fprintf(&b, "%d:%s+%s ", p.pid, f[11], f[12])
		}
	}
	return b.String()
}

// verify_every: the tree is compared with the file system at an interval, while
// it changes and while it does not, and that is told with its numbers.
func TestVerifyEvery(t *testing.T) {
	beside(t)
	m := newMirror(t, "--verify-every", "1s")
	hundred(t, m.src, 100)
	m.start().ready()
	at := m.mark()
	for i := range 3 {
		r := m.await(at, "word of a verification", limit, says("verified 101 directories"))
		if !strings.Contains(r.str("msg"), ": 0 stale, 0 missing, 0 mended") {
			t.Errorf("nothing changes, and it says %s", r)
		}
		at = m.mark()
		write(t, m.src+"/d001/"+strconv.Itoa(i), "x")
	}
	m.equal()
	m.stop()
}
