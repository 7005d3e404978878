//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/test/peer"
)

// latency makes files one after another, n and for a time at least, and tells
// how long each took to be seen on a target, sorted.
func (m *mirror) latency(prefix string, n int, atLeast time.Duration) []time.Duration {
	m.t.Helper()
	var all []time.Duration
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); len(all) < n || time.Since(began) < atLeast; {
		name := fmt.Sprintf("/%s%05d", prefix, len(all))
		start := time.Now()
		write(m.t, m.src+name, "x")
		for {
			if info, err := os.Lstat(m.dst + name); err == nil && info.Size() == 1 {
				break
			}
			if time.Since(start) > limit {
				m.t.Fatalf("%s is not on the target after %v", name, limit)
			}
			<-tick.C
		}
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	return all
}

func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// Three targets: one cannot be reached for a while (20 s in the long run), one has a full disk, one is
// healthy. The healthy one does not notice; all are equal at the end; nobody
// is told more than the back-off allows.
func TestThreeTargets(t *testing.T) {
	away := scaled().away
	s := peer.StartSSHD(t, peer.SSHOptions{})
	relay := peer.StartRelay(t, "", s.Addr())
	m := newMirror(t, backOff()...)
	far, volume := m.src+"-far", m.src+"-disk"
	for _, d := range []string{far, volume} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	disk(t, volume)
	full := volume + "/full"
	if err := os.Mkdir(full, 0o755); err != nil {
		t.Fatal(err)
	}
	hundred(t, m.src, 20)

	n := scaled().latencies
	m.start().ready()
	alone := m.latency("alone", n, 0)
	m.equal()
	m.stop()

	m.flags = append(m.flags, sshFlags(t, s, relay.Port(), relay.Addr())...)
	m.targets = []string{m.dst, s.Target(far), full}
	m.more = []string{far, full}
	m.start().ready()
	free := fill(t, volume+"/ballast")
	at, began := m.mark(), time.Now()
	relay.Cut()
	beside := m.latency("beside", n, away)
	m.await(at, "word of the peer that is away", limit, fault("unreachable"))
	m.await(at, "word of the full disk", limit, func(r record) bool {
		return isBad(r) && says("disk full")(r) && strings.Contains(r.String(), "→ full:")
	})
	m.bounded(at, began, 2)
	free()
	relay.Restore(t)
	t.Logf("all equal %v after both were mended", m.equalWithin(2*limit))
	m.stop()

	for _, c := range []struct {
		p      int
		factor time.Duration
		slack  time.Duration
	}{{50, 2, 50 * time.Millisecond}, {90, 3, 150 * time.Millisecond}} {
		a, b := percentile(alone, c.p), percentile(beside, c.p)
		t.Logf("p%d of the healthy target: alone %v (%d changes), beside the two %v (%d changes): %.2f times", c.p, a, len(alone), b, len(beside), float64(b)/float64(a))
		if b > c.factor*a+c.slack {
			t.Errorf("p%d of the healthy target is %v beside the two, and %v alone", c.p, b, a)
		}
	}
}

// fill writes a file until its file system has no room; free removes it.
func fill(t *testing.T, path string) (free func()) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		n, err := f.Write(make([]byte, size))
		if err != nil && !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
			t.Fatal(err)
		}
		if err != nil && n == 0 {
			size /= 2
		}
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// usage is what processes take.
type usage struct {
	processes, descriptors int
	pss                    int // bytes
	roles                  map[string]int
}

// footprint adds up a process and what descends from it.
func footprint(t *testing.T, pid int) usage {
	t.Helper()
	u := usage{roles: map[string]int{}}
	for _, p := range append(family(pid), proc{pid: pid, role: "lockstep"}) {
		names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
		if err != nil {
			continue // it has ended
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
				kib, err := strconv.Atoi(f[1])
				if err != nil {
					t.Fatal(err)
				}
				u.pss += kib << 10
			}
		}
		u.processes++
		u.descriptors += len(names)
		u.roles[p.role]++
	}
	return u
}

// Many syncs in one instance.
func TestManySyncs(t *testing.T) {
	n := scaled().syncs
	needInstances(t, n)
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("s%03d", i))
	}
	f := newFleet(t, names...)
	for _, p := range f.parts {
		hundred(t, p.src, 100)
	}
	began := time.Now()
	f.start().ready()
	t.Logf("%d syncs of 100 directories: all equal after %v", n, time.Since(began))

	u := footprint(t, f.cmd.Process.Pid)
	t.Logf("in all: %d processes %v, %d descriptors, Pss %.1f MiB", u.processes, u.roles, u.descriptors, float64(u.pss)/(1<<20))
	t.Logf("per sync: %.2f processes, %.1f descriptors, Pss %.2f MiB",
		float64(u.processes)/float64(n), float64(u.descriptors)/float64(n), float64(u.pss)/float64(n)/(1<<20))
	for _, role := range []string{"lockstep-helper", "lockstep-worker", "lockstep-runner"} {
		if u.roles[role] != n {
			t.Errorf("%d × %s for %d syncs", u.roles[role], role, n)
		}
	}

	began = time.Now()
	for i, p := range f.parts {
		write(t, p.src+"/d050/new", fmt.Sprint(i))
		if err := os.RemoveAll(p.src + "/d049"); err != nil {
			t.Fatal(err)
		}
	}
	f.equal()
	t.Logf("a change in each: all equal after %v", time.Since(began))
	f.stop()
}

// needInstances raises the kernel's limit of inotify descriptors when it is
// too low for n more.
func needInstances(t *testing.T, n int) {
	t.Helper()
	const name = "fs.inotify.max_user_instances"
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		t.Fatal(err)
	}
	have, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if have < n+100 {
		sysctl(t, name, strconv.Itoa(n+100))
	}
}

// confinedProcs are the confined processes that run now, by pid and start.
func (m *mirror) confinedProcs() map[string]proc {
	all := map[string]proc{}
	for _, p := range family(m.cmd.Process.Pid) {
		if strings.HasPrefix(p.role, "lockstep-") {
			all[fmt.Sprint(p.pid, " ", p.start)] = p
		}
	}
	return all
}

// A source that is unmounted, a target that another file system hides: each holds its own
// sync, and the others go on. Mended, all is in step.
func TestOneSyncHeldOthersGoOn(t *testing.T) {
	f := newFleet(t, "unmounted", "exchanged", "healthy")
	a, b, c := f.part("unmounted"), f.part("exchanged"), f.part("healthy")
	unmount, mount := disk(t, a.src)
	a.opts.Skip = func(rel string, kind uint32) bool { return rel == "lost+found" || unmirrored(rel, kind) }
	a.flags = []string{`exclude = ["/lost+found/"]`}
	for _, p := range f.parts {
		hundred(t, p.src, 20)
	}
	f.start().ready()
	goesOn := func(what string, parts ...*mirror) {
		t.Helper()
		for _, p := range parts {
			write(t, p.src+"/"+what, "x")
			p.equal()
		}
	}

	at := f.mark()
	was := snapshot(t, a.dst, a.opts)
	unmount()
	f.await(at, "word of the unmount", limit, a.about("not the directory it was", "held"))
	goesOn("while-unmounted", b, c)

	at = f.mark()
	if err := unix.Mount("other", b.dst, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	hidden := true
	show := func() {
		if hidden {
			hidden = false
			if err := unix.Unmount(b.dst, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(show)
	f.await(at, "word of the exchanged target", limit, b.about("held"))
	write(t, b.src+"/while-exchanged", "x")
	goesOn("while-two-are-held", c)
	a.untouched(was)
	if names, err := os.ReadDir(b.dst); err != nil || len(names) > 0 {
		t.Errorf("the directory in the target's place was written to: %v, %v", names, err)
	}

	mount()
	show()
	f.equal()
	goesOn("after", f.parts...)
	f.stop()
}

// --once ends although a target cannot come to be in step: with 1, naming it,
// and not before the others are.
func TestOnceBesideABadTarget(t *testing.T) {
	beside(t)
	for name, c := range map[string]struct{ target, says string }{
		"away":    {fmt.Sprintf("rsync://127.0.0.1:%d/data", peer.ClosedPort(t)), "unreachable"},
		"unknown": {"rsync://no-such-host.invalid/data", "host unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t, append(backOff(), "--once")...)
			m.targets = []string{m.dst, c.target}
			hundred(t, m.src, 20)
			m.start()
			if code := m.wait(limit); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			if diff, err := m.differ(); err != nil || len(diff) > 0 {
				t.Errorf("the healthy target: %q %v", diff, err)
			}
			if !slices.ContainsFunc(m.since(0), func(r record) bool {
				return r.str("level") == "error" && strings.Contains(r.str("msg"), c.target+": "+c.says)
			}) {
				t.Error("the reason is not said")
			}
		})
	}
}

// kill -9 of one sync's worker: its sync starts afresh, and no process of
// another one is touched.
func TestKillOneSyncsWorker(t *testing.T) {
	beside(t)
	names := []string{"one", "two", "three"}
	f := newFleet(t, names...)
	for _, p := range f.parts {
		hundred(t, p.src, 10)
	}
	f.start().ready()
	for range names {
		f.equal()
		before := f.confinedProcs()
		victim := f.any("lockstep-worker")
		at := f.mark()
		if err := syscall.Kill(victim.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r := f.await(at, "readiness after the kill", limit, isReady)
		hit := f.part(r.str("sync"))
		after := f.confinedProcs()
		gone := map[string]int{}
		for id, p := range before {
			if _, ok := after[id]; !ok {
				gone[p.role]++
			}
		}
		if gone["lockstep-worker"] != 1 || gone["lockstep-helper"] > 1 || gone["lockstep-runner"] > 1 {
			t.Errorf("with the worker of %s went %v", hit.name, gone)
		}
		for _, p := range f.parts {
			if p != hit && slices.ContainsFunc(f.since(at), func(r record) bool { return p.mine(r) && isReady(r) }) {
				t.Errorf("the kill of the worker of %s started %s afresh", hit.name, p.name)
			}
		}
		write(t, hit.src+"/after-"+strconv.Itoa(victim.pid), "x")
	}
	f.equal()

	// And kill -9 of the supervisor leaves none of them.
	f.seen.look(f.cmd.Process.Pid)
	if err := syscall.Kill(f.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.wait(limit)
	f.sweepWait()
	write(t, f.parts[0].src+"/while-it-was-dead", "x")
	f.start().ready()
	f.stop()
}
