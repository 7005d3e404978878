//go:build faults

package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
	"lockstep/test/churn"
	"lockstep/test/peer"
)

// The roles that are killed, and how often in a hundred.
func victims() map[string]int {
	return map[string]int{"lockstep-helper": 16, "lockstep-worker": 18, "lockstep-resolver": 10, "lockstep-runner": 18,
		"rsync": 22, "ssh": 9, "lockstep-gate": 5, "lockstep": 2}
}

// killer kills, and counts.
type killer struct {
	*lockstep
	r       *rand.Rand
	kills   map[string]int
	passes  int
	locked  int
	slowest time.Duration   // from a kill to readiness, where that was waited for
	orphans []time.Duration // how long a worker outlived its helper
	swept   time.Duration   // how long anything outlived its supervisor
}

// kill -9 of any process at random moments while two sources change: one has a local
// and an ssh target, the other one is watched with fanotify. Who kills the supervisor
// starts it again, as a service manager does. Once all is quiet the trees are equal, and
// nothing is left of any process.
func TestRandomKills(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "ssh")
	rounds, each := 1, 40
	if full() {
		rounds, each = 5, 200
	}
	first := uint64(time.Now().UnixNano())
	if repeat := testenv.Number(t, "LOCKSTEP_SEED", 0); repeat != 0 {
		first, rounds = repeat, 1
	}
	for i := range uint64(rounds) {
		t.Run(fmt.Sprint("round", i+1), func(t *testing.T) {
			t.Logf("to repeat it: LOCKSTEP_SEED=%d", first+i)
			killed(t, first+i, each)
		})
	}
}

func killed(t *testing.T, seed uint64, kills int) {
	k := &killer{lockstep: service(t), r: churn.Rand(seed, 900), kills: map[string]int{}}
	for i, p := range k.pairs[1:] {
		must(t, churn.StreamFiles(p.src, seed+uint64(i)))
	}
	k.launch()
	k.ready()
	began := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var beside others
	for i, p := range k.pairs[1:] {
		beside.Go(func() {
			if _, err := churn.Stream(ctx, p.src, seed+uint64(i), 60, time.Hour); !errors.Is(err, context.Canceled) {
				beside.failed(err)
			}
		})
	}
	var answers atomic.Int64
	beside.Go(func() { asks(ctx, k.base+"/run/control", &answers) })
	for n := range kills {
		if n%10 == 0 {
			must(t, churn.Dirs(k.pairs[1+n/10%2].src, k.base+"/outside", seed+uint64(n), 200))
			k.seen.Look(k.cmd.Process.Pid)
		}
		if n == kills/2 {
			k.supervisor() // with few kills, chance may have spared it
			continue
		}
		k.one()
	}
	took := time.Since(began)
	cancel()
	beside.Wait()
	if beside.err != nil {
		t.Fatal(beside.err)
	}
	quiet := k.equal()
	k.count()
	k.stop()
	k.strays()
	k.tell(kills, took, quiet, answers.Load())
}

// tell prints what was done, and judges it.
func (k *killer) tell(kills int, took, quiet time.Duration, answers int64) {
	sum, byRole := 0, ""
	for _, role := range slices.Sorted(maps.Keys(k.kills)) {
		sum += k.kills[role]
		byRole += fmt.Sprintf(" %s %d,", role, k.kills[role])
	}
	slices.Sort(k.orphans)
	median, longest := time.Duration(0), time.Duration(0)
	if n := len(k.orphans); n > 0 {
		median, longest = k.orphans[n/2], k.orphans[n-1]
	}
	k.t.Logf("%d kills in %v:%s\nslowest back to readiness %v; a worker outlives its helper for %v (median), %v at most; anything outlives the supervisor for %v at most\n"+
		"%d restarts of the supervisor by the test, %d lock-outs, %d whole passes, %d answers at the control socket\nequal both ways %v after the last change",
		sum, took.Round(time.Millisecond), strings.TrimSuffix(byRole, ","), k.slowest.Round(time.Millisecond), median.Round(time.Millisecond), longest.Round(time.Millisecond),
		k.swept.Round(time.Millisecond), k.kills["lockstep"], k.locked, k.passes, answers, quiet.Round(time.Millisecond))
	if sum != kills || k.locked != 0 || k.passes == 0 || answers == 0 {
		k.t.Errorf("%d kills of %d, %d lock-outs, %d passes, %d answers", sum, kills, k.locked, k.passes, answers)
	}
	for role, share := range victims() {
		if k.kills[role] == 0 && share*kills >= 1000 {
			k.t.Errorf("none was of %s", role)
		}
	}
	if median > 100*time.Millisecond || k.swept > 5*time.Second {
		k.t.Error("what has lost its other side stays for too long")
	}
}

// service is a lockstep with two syncs, of which the first has a target on a host that
// is reached by ssh.
func service(t *testing.T) *lockstep {
	t.Helper()
	base := t.TempDir()
	sshd := peer.StartSSHD(t, peer.SSHOptions{})
	for _, dir := range []string{"www/src", "www/near", "www/far", "mail/src", "mail/dst", "outside"} {
		must(t, os.MkdirAll(base+"/"+dir, 0o755))
	}
	l := &lockstep{t: t, base: base, seen: observe.NewWitness(), words: []string{"run", "-c", base + "/lockstep.toml"},
		pairs: []*pair{{"www", base + "/www/src", base + "/www/far"}, {"www", base + "/www/src", base + "/www/near"}, {"mail", base + "/mail/src", base + "/mail/dst"}}}
	common := "delay = \"20ms\"\nretry.initial = \"100ms\"\nretry.max = \"1s\"\n"
	text := fmt.Sprintf("[service]\nruntime_dir = %q\nstate_dir = %q\nlog_format = \"json\"\nstop_timeout = \"5s\"\n", base+"/run", base+"/state") +
		fmt.Sprintf("\n[[sync]]\nname = \"www\"\nsource = %q\ntargets = [%q, %q]\nssh.identity = %q\nssh.known_hosts = %q\nssh.port = %d\n%s",
			base+"/www/src", base+"/www/near", sshd.Target(base+"/www/far"), sshd.Identity, sshd.KnownHosts(t, t.TempDir()), sshd.Port(), common) +
		fmt.Sprintf("\n[[sync]]\nname = \"mail\"\nsource = %q\ntargets = [%q]\nmonitor = \"fanotify\"\n%s", base+"/mail/src", base+"/mail/dst", common)
	must(t, os.WriteFile(base+"/lockstep.toml", []byte(text), 0o600))
	return l
}

// asks keeps somebody at the control socket, so that there is a gate.
func asks(ctx context.Context, at string, answers *atomic.Int64) {
	for ctx.Err() == nil {
		conn, err := net.Dial("unix", at)
		if err != nil {
			pause(20 * time.Millisecond) // no supervisor at the moment
			continue
		}
		lines := bufio.NewReader(conn)
		for ctx.Err() == nil {
			if _, err := fmt.Fprintln(conn, `{"v":1,"command":"version"}`); err != nil {
				break
			}
			if _, err := lines.ReadString('\n'); err != nil {
				break
			}
			answers.Add(1)
			pause(50 * time.Millisecond)
		}
		conn.Close()
	}
}

// one kills one process.
func (k *killer) one() {
	k.t.Helper()
	for {
		role := k.pick()
		if role == "lockstep" {
			k.supervisor()
			break
		}
		if p, ok := k.some(role); ok && k.kill(role, p) {
			break
		}
	}
	pause(time.Duration(k.r.IntN(100)) * time.Millisecond) // so that the next one meets another moment
}

func (k *killer) pick() string {
	all := victims()
	n := k.r.IntN(100)
	for _, role := range slices.Sorted(maps.Keys(all)) {
		if n -= all[role]; n < 0 {
			return role
		}
	}
	return "rsync"
}

// some waits a while for a process of a role: commands come and go.
func (k *killer) some(role string) (observe.Proc, bool) {
	for start := time.Now(); time.Since(start) < 2*time.Second; pause(2 * time.Millisecond) {
		var all []observe.Proc
		for _, p := range observe.Family(k.cmd.Process.Pid) {
			if p.Role == role {
				all = append(all, p)
			}
		}
		if len(all) > 0 {
			return all[k.r.IntN(len(all))], true
		}
		select {
		case <-k.exited:
			k.t.Fatalf("lockstep ended with code %d, and nobody has killed it", k.code)
		default:
		}
	}
	return observe.Proc{}, false
}

// kill kills that very process, and mostly waits until it is replaced.
func (k *killer) kill(role string, p observe.Proc) bool {
	k.t.Helper()
	at, words := k.Mark(), wordsOf(p)
	worker := k.worker(words)
	if !strike(k.t, p) {
		return false
	}
	k.kills[role]++
	start := time.Now()
	if role == "lockstep-helper" && worker.PID != 0 {
		for worker.Alive() && time.Since(start) < limit {
			pause(time.Millisecond)
		}
		k.orphans = append(k.orphans, time.Since(start))
	}
	if k.r.IntN(4) == 0 || len(words) < 2 { // the next one comes while it is being replaced
		return true
	}
	switch role {
	case "lockstep-helper", "lockstep-worker", "lockstep-resolver":
		k.need(at, "readiness after a kill of "+strings.Join(words, " "), isReady(words[1]))
		k.slowest = max(k.slowest, time.Since(start))
	case "lockstep-runner":
		k.until("another "+strings.Join(words, " "), func() bool {
			return slices.ContainsFunc(observe.Family(k.cmd.Process.Pid), func(now observe.Proc) bool {
				return slices.Equal(wordsOf(now), words) && now != p
			})
		})
	}
	return true
}

// worker is that of the same sync as the process of these words.
func (k *killer) worker(words []string) observe.Proc {
	if words[0] == "lockstep-helper" && len(words) > 1 {
		for _, p := range observe.Family(k.cmd.Process.Pid) {
			if w := wordsOf(p); len(w) > 1 && w[0] == "lockstep-worker" && w[1] == words[1] {
				return p
			}
		}
	}
	return observe.Proc{}
}

// wordsOf is a command line.
func wordsOf(p observe.Proc) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// strike kills a process and no other one of its number, and waits for its end; it is
// false when it had ended before.
func strike(t *testing.T, p observe.Proc) bool {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if !p.Alive() || unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
		return false
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Fatalf("process %d (%s) outlives SIGKILL: %v", p.PID, p.Role, err)
		}
		return true
	}
}

// supervisor kills the supervisor, wants all others gone, and starts it again.
func (k *killer) supervisor() {
	k.t.Helper()
	k.seen.Look(k.cmd.Process.Pid)
	must(k.t, k.cmd.Process.Kill())
	start := time.Now()
	<-k.exited // and the log is read to its end: no other process holds the pipe
	k.kills["lockstep"]++
	k.lockstep.swept()
	k.swept = max(k.swept, time.Since(start))
	k.count()
	k.launch()
	for _, p := range k.pairs {
		k.need(0, "readiness after a kill of the supervisor", isReady(p.sync))
	}
}

// count takes what the log tells of one life.
func (k *killer) count() {
	for _, r := range k.Since(0) {
		if observe.Says("whole pass done")(r) {
			k.passes++
		}
		if observe.Says("locked out")(r) {
			k.locked++
		}
	}
}

// strays wants no process that knows a path of this test: the far sides of ssh end by
// themselves when their connection has.
func (k *killer) strays() {
	k.t.Helper()
	for start := time.Now(); ; pause(20 * time.Millisecond) {
		var left []string
		for _, p := range observe.Procs() {
			if words := strings.Join(wordsOf(p), " "); strings.Contains(words, k.base) && p.PID != os.Getpid() {
				left = append(left, words)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Since(start) > limit {
			k.t.Fatalf("still running %v after the end: %q", limit, left)
		}
	}
}
