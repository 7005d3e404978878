package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"lockstep/cgroup"
	"lockstep/internal/testenv"
)

// leafGroup is a control group for a test.
func leafGroup(t testing.TB) *cgroup.Group {
	t.Helper()
	testenv.NeedRoot(t)
	host, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range host.Missing() {
		if f.Name == "cgroup-devices" {
			testenv.Lacks(t, f.What)
		}
	}
	group, err := host.Create(fmt.Sprintf("test-%d-%s", os.Getpid(), t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := group.Remove(); err != nil {
			t.Error(err)
		}
	})
	return group
}

func newLeaf(t testing.TB, g *cgroup.Group, l cgroup.Limits) *cgroup.Leaf {
	t.Helper()
	leaf, err := g.Leaf("leaf", l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leaf.Kill(); err != nil {
			t.Error(err)
		}
		if err := leaf.Remove(); err != nil {
			t.Error(err)
		}
	})
	return leaf
}

// TestLeaf: stage one proves the device filter of each kind of leaf, refuses
// one that is not what it should be, and the program is in the leaf, in every
// hierarchy, and dies with it.
func TestLeaf(t *testing.T) {
	group := leafGroup(t)
	none := newLeaf(t, group, cgroup.Limits{})
	basic := newLeaf(t, group, cgroup.Limits{Devices: cgroup.DevicesBasic})
	j := newJail(t)

	spec := workerSpec()
	spec.DeviceProbe = ProbeNone
	r := j.start(spec, none)
	data, err := os.ReadFile("/proc/" + strconv.Itoa(r.PID) + "/cgroup")
	mustDo(t, err)
	if want := len(none.Join()) + 1; none.FD() >= 0 && strings.Count(string(data), "/lockstep/test-") != want {
		t.Errorf("the program is not in all %d groups of its leaf:\n%s", want, data)
	}
	if text := j.fails(spec, basic, 71); !strings.Contains(text, "/dev/null was opened") {
		t.Error(text)
	}
	spec.DeviceProbe = ProbeBasic
	j.start(spec, basic)
	if text := j.fails(spec, none, 71); !strings.Contains(text, "it must open") {
		t.Error(text)
	}
	mustDo(t, none.Kill())
	if code, sig, err := r.Wait(); code != -1 || sig != syscall.SIGKILL || err != nil {
		t.Errorf("ended with %d, %v, %v", code, sig, err)
	}
}

// BenchmarkStart is the time from Start to the program's first word.
func BenchmarkStart(b *testing.B) {
	group := leafGroup(b)
	for _, confined := range []bool{false, true} {
		b.Run(fmt.Sprintf("leaf=%t", confined), func(b *testing.B) {
			j := &jail{t: b, launcher: launcher(b), probe: probeImage(b)}
			for b.Loop() {
				var leaf Leaf
				if confined {
					leaf = newLeaf(b, group, cgroup.Limits{})
				}
				r := j.start(workerSpec(), leaf)
				b.StopTimer()
				mustDo(b, r.Kill())
				_, _, err := r.Wait()
				mustDo(b, err)
				b.StartTimer()
			}
		})
	}
}
