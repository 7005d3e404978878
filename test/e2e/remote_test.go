//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
	"lockstep/test/peer"
)

// sshFlags are what a mirror to an sshd needs; by other addresses (relays) too.
func sshFlags(t *testing.T, s *peer.SSHD, port uint16, others ...string) []string {
	t.Helper()
	return []string{"--ssh-identity", s.Identity, "--ssh-known-hosts", s.KnownHosts(t, t.TempDir(), others...), "--ssh-port", fmt.Sprint(port)}
}

// overSSH prepares a mirror to a directory behind an sshd.
func overSSH(t *testing.T, s *peer.SSHD, flags ...string) *mirror {
	t.Helper()
	m := newMirror(t, append(flags, sshFlags(t, s, s.Port())...)...)
	m.targets = []string{s.Target(m.dst)}
	return m
}

// overDaemon prepares a mirror to a directory that an rsync daemon serves.
func overDaemon(t *testing.T, flags ...string) *mirror {
	t.Helper()
	m := newMirror(t, flags...)
	r := peer.StartRsyncd(t, m.dst, peer.RsyncdOptions{User: "lockstep", Password: "secret"})
	m.flags = append(m.flags, "--password-file", r.PasswordFile(t, t.TempDir()))
	m.targets = []string{r.Target("")}
	return m
}

// overNetwork runs a test with both kinds of remote targets.
func overNetwork(t *testing.T, test func(t *testing.T, prepare func(t *testing.T, flags ...string) *mirror)) {
	testenv.NeedTool(t, "ssh")
	t.Run("ssh", func(t *testing.T) {
		beside(t)
		s := peer.StartSSHD(t, peer.SSHOptions{})
		test(t, func(t *testing.T, flags ...string) *mirror { return overSSH(t, s, flags...) })
	})
	t.Run("daemon", func(t *testing.T) {
		beside(t)
		test(t, overDaemon)
	})
}

// Every single change, to both kinds of remote targets.
func TestRemoteScripts(t *testing.T) {
	beside(t)
	overNetwork(t, func(t *testing.T, prepare func(t *testing.T, flags ...string) *mirror) {
		scripts(t, scaled().someScripts, func(t *testing.T) *mirror { return prepare(t) })
	})
}

// The burst, to both kinds.
func TestRemoteBurst(t *testing.T) {
	beside(t)
	s := scaled()
	overNetwork(t, func(t *testing.T, prepare func(t *testing.T, flags ...string) *mirror) {
		seeded(t, min(s.burstSeeds, 3), func(t *testing.T, seed uint64) {
			beside(t)
			m := prepare(t).start().ready()
			if err := churn.Burst(m.src, seed, s.burstDirs, s.burstFiles); err != nil {
				t.Fatal(err)
			}
			took := m.equal()
			r := m.report()
			t.Logf("%d files in %d directories: equal %v after the last; %d commands", s.burstFiles, s.burstDirs, took, r.num("jobs"))
			m.stop()
		})
	})
}

// Directories that move, vanish, come back and exchange names, to both kinds.
func TestRemoteChurn(t *testing.T) {
	beside(t)
	s := scaled()
	overNetwork(t, func(t *testing.T, prepare func(t *testing.T, flags ...string) *mirror) {
		seeded(t, min(s.churnSeeds, 3), func(t *testing.T, seed uint64) {
			beside(t)
			m := prepare(t).start().ready()
			m.churn(seed)
			m.stop()
		})
	})
}

// A remote target that is nearly right at the start: wrong content, things too
// many, things missing.
func TestRemoteInitialMends(t *testing.T) {
	beside(t)
	overNetwork(t, func(t *testing.T, prepare func(t *testing.T, flags ...string) *mirror) {
		m := prepare(t)
		for _, root := range []string{m.src, m.dst} {
			if err := churn.Burst(root, 1, 20, 400); err != nil {
				t.Fatal(err)
			}
		}
		if err := churn.Dirs(m.dst, t.TempDir(), 2, 400); err != nil {
			t.Fatal(err)
		}
		m.start().ready()
		m.stop()
	})
}

// --once to a remote target, as a person would try it first.
func TestRemoteOnce(t *testing.T) {
	beside(t)
	overNetwork(t, func(t *testing.T, prepare func(t *testing.T, flags ...string) *mirror) {
		m := prepare(t)
		write(t, m.src+"/f", "x")
		if code := m.once("--once"); code != 0 {
			t.Errorf("exit code %d", code)
		}
		same(t, m)
		m.nothingLeft()
	})
}

// The guard of deletions holds for targets that cannot be counted from here,
// too: a source that was emptied while nobody watched deletes nothing.
func TestRemoteEmptySourceIsHeld(t *testing.T) {
	beside(t)
	overNetwork(t, func(t *testing.T, prepare func(t *testing.T, flags ...string) *mirror) {
		m := prepare(t)
		if err := churn.Burst(m.src, 1, 5, 50); err != nil {
			t.Fatal(err)
		}
		m.start().ready()
		m.stop()
		emptyDir(t, m.src)
		was := snapshot(t, m.dst, m.opts)
		m.start()
		m.await(0, "word of the empty source", limit, isHeld)
		m.stop()
		m.untouched(was)
		if code := m.once("--once", "--accept-root"); code != 0 {
			t.Errorf("--once --accept-root ends with %d, want 0", code)
		}
		if left := snapshot(t, m.dst, m.opts); len(left) != 1 {
			t.Errorf("%d entries left after --accept-root", len(left)-1)
		}
	})
}

// kill -9 of whatever serves a remote target, in the middle of changes: nothing
// is lost, and nothing of it stays.
func TestRemoteKill(t *testing.T) {
	beside(t)
	s := peer.StartSSHD(t, peer.SSHOptions{})
	m := overSSH(t, s, "--retry-initial", "100ms", "--retry-max", "500ms", "--bwlimit", "2MiB").start().ready()
	for i, victim := range []string{"ssh", "rsync", "lockstep-runner", "lockstep-worker", "lockstep-helper"} {
		if err := os.Mkdir(fmt.Sprintf("%s/round%d", m.src, i), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := churn.Burst(fmt.Sprintf("%s/round%d", m.src, i), uint64(i), 5, 100); err != nil {
			t.Fatal(err)
		}
		write(t, fmt.Sprintf("%s/round%d/big", m.src, i), string(make([]byte, 3<<20)))
		m.any("ssh") // in the middle
		p := m.any(victim)
		m.seen.look(m.cmd.Process.Pid)
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
		t.Logf("kill of %s: equal after %v", victim, m.equal())
	}
	m.stop()
}

// A stop in the middle of a copy to a remote target ends in time, and so does
// the other side of the connection.
func TestRemoteStopTimeout(t *testing.T) {
	s := peer.StartSSHD(t, peer.SSHOptions{})
	m := overSSH(t, s, "--stop-timeout", "1s", "--bwlimit", "300KiB").start().ready()
	write(t, m.src+"/big", string(make([]byte, 8<<20)))
	m.any("ssh")
	m.seen.look(m.cmd.Process.Pid)
	start := time.Now()
	m.signal(syscall.SIGTERM)
	m.wait(15 * time.Second)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to stop with --stop-timeout 1s", took)
	}
	m.nothingLeft()
}
