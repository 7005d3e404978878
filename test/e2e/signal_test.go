//go:build e2e

package e2e

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slow makes a mirror with a command under way that takes many seconds.
func slow(t *testing.T, flags ...string) *mirror {
	t.Helper()
	m := newMirror(t, append(flags, "--bwlimit", "600KiB")...).start().ready()
	write(t, m.src+"/big", strings.Repeat("0123456789abcdef", 3<<20/16))
	m.any("rsync")
	m.seen.look(m.cmd.Process.Pid)
	return m
}

// SIGTERM lets the running command finish.
func TestTermDrains(t *testing.T) {
	beside(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			m := slow(t, "--stop-timeout", "60s")
			m.signal(sig)
			if code := m.wait(60 * time.Second); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if b, err := os.ReadFile(m.dst + "/big"); err != nil || len(b) != 3<<20 {
				t.Errorf("the running command was not let finish: %d bytes, %v", len(b), err)
			}
			m.nothingLeft()
		})
	}
}

// The command gets no longer than stop_timeout.
func TestStopTimeout(t *testing.T) {
	m := slow(t, "--stop-timeout", "1s")
	start := time.Now()
	m.signal(syscall.SIGTERM)
	m.wait(15 * time.Second)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to stop with --stop-timeout 1s", took)
	}
	m.nothingLeft()
	noDebris(t, m.dst)
}

// noDebris tells of rsync's temporary files, which a killed one leaves.
func noDebris(t *testing.T, dir string) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), ".big.") {
			t.Logf("left on the target until the next start: %s", n.Name())
		}
	}
}

// A second SIGINT ends it at once.
func TestSecondInt(t *testing.T) {
	m := slow(t, "--stop-timeout", "60s")
	at := m.mark()
	m.signal(syscall.SIGINT)
	m.await(at, "word of the drain", 5*time.Second, says("drain", "stopping", "finish", "SIGINT", "interrupt"))
	pause(time.Second) // at once it would be the same key press, by another way
	start := time.Now()
	m.signal(syscall.SIGINT)
	m.wait(10 * time.Second)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v to end after the second SIGINT", took)
	}
	m.nothingLeft()
}

// What a killed command left on the target is gone after the next start.
func TestDebrisIsRemoved(t *testing.T) {
	beside(t)
	m := slow(t)
	p := m.any("rsync")
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.equal() // nothing may be there that the source lacks
	m.stop()
}

// SIGHUP, where there is no file that could be read anew, is refused with a word and
// changes nothing; USR2 starts a whole pass, which mends what somebody did on the
// target.
func TestHupAndUsr2(t *testing.T) {
	m := newMirror(t)
	write(t, m.src+"/f", "x")
	m.start().ready()
	at := m.mark()
	m.signal(syscall.SIGHUP)
	m.await(at, "word of SIGHUP", 10*time.Second, says("the configuration is not read anew: all goes on as before"))
	write(t, m.dst+"/too-many", "x")
	if err := os.Remove(m.dst + "/f"); err != nil {
		t.Fatal(err)
	}
	m.signal(syscall.SIGUSR2)
	m.equal()
	m.stop()
}

// serviceManager is where lockstep tells a service manager how it is; from there on it
// is told so, and asked for a sign of life every 0.4 s.
func serviceManager(t *testing.T) *net.UnixConn {
	t.Helper()
	name := t.TempDir() + "/notify"
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "400000")
	return conn
}

// sd_notify: READY when in service, STATUS, WATCHDOG, STOPPING.
func TestNotify(t *testing.T) {
	conn := serviceManager(t)
	m := newMirror(t).start()
	var all strings.Builder
	until := func(word string) {
		t.Helper()
		buf := make([]byte, 4096)
		for !strings.Contains(all.String(), word) {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("no %s: %v; so far:\n%s", word, err, all.String())
			}
			all.Write(append(buf[:n], '\n'))
		}
	}
	until("READY=1")
	until("STATUS=")
	until("WATCHDOG=1")
	m.ready()
	m.stop()
	until("STOPPING=1")
}
