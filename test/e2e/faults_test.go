//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/test/peer"
)

// The back-off of these tests.
const (
	retryInitial = 200 * time.Millisecond
	retryMax     = 2 * time.Second
)

func backOff() []string {
	return []string{"--delay", "20ms", "--retry-initial", retryInitial.String(), "--retry-max", retryMax.String(), "--stop-timeout", "2s"}
}

// mostTries is how often something can be tried within a time: at once, and
// after each wait, of which chance takes at most half.
func mostTries(within time.Duration) int {
	n := 1
	for wait := retryInitial; within > 0; wait = min(2*wait, retryMax) {
		within -= wait / 2
		n++
	}
	return n
}

// isBad accepts warnings and errors.
func isBad(r record) bool {
	return slices.Contains([]string{"warn", "warning", "error"}, strings.ToLower(r.str("level")))
}

// bounded wants no warning more often than the back-off allows since a place in
// the log, and nothing in the whole output that a terminal would obey.
func (m *mirror) bounded(place int, since time.Time, badTargets int) {
	m.t.Helper()
	most := mostTries(time.Since(since))
	count, all := map[string]int{}, 0
	for _, r := range m.since(place) {
		if isBad(r) {
			count[r.str("sync")+" "+r.str("msg")]++
			all++
		}
	}
	for text, n := range count {
		if n > most {
			m.t.Errorf("said %d times in %v, at most %d: %s", n, time.Since(since), most, text)
		}
	}
	if all > 4*most*badTargets {
		m.t.Errorf("%d warnings in %v for %d bad targets, at most %d", all, time.Since(since), badTargets, 4*most*badTargets)
	}
	said, control := m.log.Volume()
	if control > 0 {
		m.t.Errorf("%d control characters in the log", control)
	}
	if said > 1<<20 {
		m.t.Errorf("the log has %d bytes", said)
	}
}

// scene is a mirror with two targets: a healthy one here, and one behind a
// relay that something can happen to.
type scene struct {
	m      *mirror
	far    string // the directory behind the relay
	relay  *peer.Relay
	ssh    *peer.SSHD
	rsyncd *peer.Rsyncd
}

func newScene(t *testing.T, kind string) *scene {
	t.Helper()
	m := newMirror(t, append(backOff(), "--timeout", "5s")...)
	s := &scene{m: m, far: m.src + "-far"}
	if err := os.Mkdir(s.far, 0o755); err != nil {
		t.Fatal(err)
	}
	m.more = []string{s.far}
	switch kind {
	case "ssh":
		s.ssh = peer.StartSSHD(t, peer.SSHOptions{})
		s.relay = peer.StartRelay(t, "", s.ssh.Addr())
		m.flags = append(m.flags, sshFlags(t, s.ssh, s.relay.Port(), s.relay.Addr())...)
		m.targets = []string{m.dst, s.ssh.Target(s.far)}
	case "daemon":
		s.rsyncd = peer.StartRsyncd(t, s.far, peer.RsyncdOptions{User: "lockstep", Password: "secret"})
		s.relay = peer.StartRelay(t, "", s.rsyncd.Addr())
		m.flags = append(m.flags, "--password-file", s.rsyncd.PasswordFile(t, t.TempDir()))
		m.targets = []string{m.dst, s.rsyncd.TargetBy(s.relay.Addr(), "")}
	}
	return s
}

// near waits until the healthy target is equal.
func (s *scene) near() {
	s.m.t.Helper()
	more := s.m.more
	s.m.more = nil
	s.m.sameWithin(limit)
	s.m.more = more
}

// fault accepts a warning that names one of the states of a remote target.
func fault(states ...string) func(record) bool {
	return func(r record) bool {
		text := strings.ReplaceAll(r.String(), "--stop-timeout", "")
		return isBad(r) && strings.Contains(text, "127.0.0.1") && slices.ContainsFunc(states, func(s string) bool { return strings.Contains(text, s) })
	}
}

// stopsIn wants an end within a time, whatever is under way.
func (m *mirror) stopsIn(most time.Duration) {
	m.t.Helper()
	start := time.Now()
	m.stop()
	if took := time.Since(start); took > most {
		m.t.Errorf("it took %v to stop, at most %v", took, most)
	}
}

// faultCase is one thing that happens to a peer, and the names of the state in
// which the target is then.
type faultCase struct {
	kind   string
	states []string
	happen func(t *testing.T, s *scene) (mend func())
}

func faultCases() map[string]faultCase {
	pointTo := func(banner string) func(*testing.T, *scene) func() {
		return func(t *testing.T, s *scene) func() {
			before := s.peer()
			s.relay.Point(peer.Stall(t, banner).Addr())
			s.relay.Reset()
			return func() { s.relay.Point(before); s.relay.Reset() }
		}
	}
	cut := func(t *testing.T, s *scene) func() { s.relay.Cut(); return func() { s.relay.Restore(t) } }
	hold := func(t *testing.T, s *scene) func() { s.relay.Hold(); return func() { s.relay.Restore(t) } }
	force := func(script string) func(*testing.T, *scene) func() {
		return func(t *testing.T, s *scene) func() { return s.ssh.Force(t, script) }
	}
	return map[string]faultCase{
		"host key changed": {"ssh", []string{"host key changed"}, func(t *testing.T, s *scene) func() { return s.ssh.ChangeHostKey(t) }},
		"key refused":      {"ssh", []string{"permission denied"}, func(t *testing.T, s *scene) func() { return s.ssh.RefuseKey(t) }},
		"password refused": {"daemon", []string{"permission denied"}, func(t *testing.T, s *scene) func() { return s.rsyncd.RefusePassword(t) }},
		"module unknown":   {"daemon", []string{"module unknown"}, func(t *testing.T, s *scene) func() { return s.rsyncd.HideModule(t) }},

		"port closed, ssh":    {"ssh", []string{"unreachable"}, cut},
		"port closed, daemon": {"daemon", []string{"unreachable"}, cut},

		"silent after the banner, ssh":    {"ssh", []string{"timeout"}, pointTo(peer.SSHBanner)},
		"silent after the banner, daemon": {"daemon", []string{"timeout"}, pointTo(peer.RsyncBanner)},
		"silent from the start, ssh":      {"ssh", []string{"timeout"}, hold},
		"silent from the start, daemon":   {"daemon", []string{"timeout"}, hold},
		"silent after the login":          {"ssh", []string{"timeout"}, force("exec sleep 86400")},

		// Whatever it is called: it fails, and must not flood the log.
		"escape sequences": {"ssh", []string{""}, force(peer.NoiseScript())},
	}
}

// peer is where the relay leads.
func (s *scene) peer() string {
	if s.ssh != nil {
		return s.ssh.Addr()
	}
	return s.rsyncd.Addr()
}

// What can happen to a peer: the state has a name and is said, the healthy
// target goes on, the output is bounded, a stop ends in time, a start in the
// middle of it works, and what is mended comes in step by itself.
func TestFaults(t *testing.T) {
	beside(t)
	testenv.NeedTool(t, "ssh")
	for name, c := range faultCases() {
		t.Run(name, func(t *testing.T) {
			beside(t)
			s := newScene(t, c.kind)
			m := s.m
			write(t, m.src+"/before", "x")
			m.start().ready()

			at, began := m.mark(), time.Now()
			mend := c.happen(t, s)
			write(t, m.src+"/first", "x")
			t.Logf("%s", m.await(at, "word of the fault", limit, fault(c.states...)))
			s.near()
			m.bounded(at, began, 1)
			m.stopsIn(10 * time.Second)

			write(t, m.src+"/while-stopped", "x")
			began = time.Now()
			m.start()
			m.await(0, "word of the fault at the start", limit, fault(c.states...))
			s.near()
			write(t, m.src+"/second", "x")
			s.near()
			m.bounded(0, began, 1)
			mend()
			t.Logf("equal %v after it was mended", m.equalWithin(2*limit))
			m.stop()
		})
	}
}

// A hundred megabytes of escape sequences, again and again: the log stays
// small, and so does the memory of all that handle them.
func TestNoiseIsBounded(t *testing.T) {
	beside(t)
	s := newScene(t, "ssh")
	write(t, s.m.src+"/before", "x")
	s.m.start().ready()
	at, began := s.m.mark(), time.Now()
	mend := s.ssh.Force(t, peer.NoiseScript())
	for i := range 3 {
		write(t, fmt.Sprintf("%s/f%d", s.m.src, i), "x")
		logins := strings.Count(s.ssh.Log(), "Accepted publickey")
		s.m.eventually("another session with noise", func() bool {
			return strings.Count(s.ssh.Log(), "Accepted publickey") > logins
		})
	}
	s.near()
	s.m.bounded(at, began, 1)
	if most := footprint(t, s.m.cmd.Process.Pid).pss; most > 300<<20 {
		t.Errorf("the processes take %d MiB", most>>20)
	}
	mend()
	s.m.equalWithin(2 * limit)
	s.m.stop()
}

// A full disk behind a remote target is named as such, and what is freed is
// used.
func TestRemoteDiskFull(t *testing.T) {
	overNetwork(t, func(t *testing.T, prepare func(t *testing.T, flags ...string) *mirror) {
		m := prepare(t, backOff()...)
		disk(t, m.dst)
		if err := os.Remove(m.dst + "/lost+found"); err != nil {
			t.Fatal(err)
		}
		write(t, m.src+"/before", "x")
		m.start().ready()
		at, began := m.mark(), time.Now()
		// At once: of a part that fits and fills the disk, no second copy could be
		// made, and what is smaller could not take its place.
		write(t, m.src+".huge", strings.Repeat("0123456789abcdef", 64<<20/16))
		if err := os.Rename(m.src+".huge", m.src+"/huge"); err != nil {
			t.Fatal(err)
		}
		m.await(at, "word of the full disk", limit, func(r record) bool { return isBad(r) && says("disk full")(r) })
		m.bounded(at, began, 1)
		if err := os.Truncate(m.src+"/huge", 1<<20); err != nil {
			t.Fatal(err)
		}
		m.equalWithin(2 * limit)
		m.stop()
	})
}

// Hosts that are not there: a name that nobody knows, a port on which nobody
// answers. The healthy target does not wait for them, and a stop ends in time.
func TestHostsThatAreNotThere(t *testing.T) {
	beside(t)
	s := peer.StartSSHD(t, peer.SSHOptions{})
	cases := map[string]struct {
		target string
		port   uint16
		states []string
	}{
		"ssh, name unknown":    {"root@no-such-host.invalid:/srv", s.Port(), []string{"host unknown"}},
		"daemon, name unknown": {"rsync://no-such-host.invalid/data", s.Port(), []string{"host unknown"}},
		"ssh, nobody answers":  {"root@127.0.0.1:/srv", peer.Deaf(t), []string{"timeout", "unreachable"}},
		"ssh, port closed":     {"root@127.0.0.1:/srv", peer.ClosedPort(t), []string{"unreachable"}},
		"daemon, port closed":  {fmt.Sprintf("rsync://127.0.0.1:%d/data", peer.ClosedPort(t)), s.Port(), []string{"unreachable"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			beside(t)
			flags := append(backOff(), "--timeout", "5s")
			if !strings.HasPrefix(c.target, "rsync:") {
				flags = append(flags, sshFlags(t, s, c.port)...)
			}
			m := newMirror(t, flags...)
			m.targets = []string{m.dst, c.target}
			write(t, m.src+"/f", "x")
			began := time.Now()
			m.start()
			m.await(0, "word of the fault", limit, func(r record) bool {
				return isBad(r) && says(c.states...)(r) && says("127.0.0.1", "no-such-host.invalid")(r)
			})
			m.sameWithin(limit)
			write(t, m.src+"/g", "x")
			m.sameWithin(limit)
			m.bounded(0, began, 1)
			m.stopsIn(10 * time.Second)
		})
	}
}
