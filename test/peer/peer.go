// Package peer gives a test real peers on this machine: an sshd and an rsync
// daemon of its own, and ones that misbehave: that stall, are deaf, make noise,
// or are cut off.
//
// Trust: linked into tests only. It shares no code with the product.
//
// Invariants: every peer ends with its test, and so does all it started: a
// daemon is the first process of a pid namespace, so that its end is the end
// of its sessions, and it dies with the thread that started it. Keys, ports
// and files are the test's own and go with it; the one thing that stays is
// the empty directory /run/sshd, which sshd asks for.
package peer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a peer may take for what it does at once.
const patience = 20 * time.Second

// daemon is a server program on one port, started and stopped by its test.
type daemon struct {
	argv []string
	host string
	port uint16
	log  string // its file

	process *os.Process   // nil while it is stopped
	ended   chan struct{} // closed when the process was reaped
	failure error         // what Wait said; valid after ended
}

// Host is the address it listens on.
func (d *daemon) Host() string { return d.host }

// Port is its port, the same one after a restart.
func (d *daemon) Port() uint16 { return d.port }

// Addr is host:port.
func (d *daemon) Addr() string { return address(d.host, d.port) }

// Pid is the process id of the running daemon, as the test sees it.
func (d *daemon) Pid() int {
	if d.process == nil {
		return 0
	}
	return d.process.Pid
}

// Log is all that it has logged.
func (d *daemon) Log() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return fmt.Sprintf("its log: %v", err)
	}
	return string(text)
}

// AwaitLog waits until it has logged text n times.
func (d *daemon) AwaitLog(t testing.TB, text string, n int) {
	t.Helper()
	until(t, fmt.Sprintf("%d × %q in the log of %s", n, text, d.argv[0]), func() bool {
		return strings.Count(d.Log(), text) >= n
	})
}

// Start starts it (again), and returns when it listens.
func (d *daemon) Start(t testing.TB) {
	t.Helper()
	if err := d.start(); err != nil {
		t.Fatalf("%s on %s: %v\n%s", d.argv[0], d.Addr(), err, d.Log())
	}
}

// Stop ends it and all its sessions at once, as a host does that loses power;
// its port is closed afterwards.
func (d *daemon) Stop() {
	if d.process == nil {
		return
	}
	_ = d.process.Kill() // if it has just ended by itself, so much the better
	<-d.ended
	d.process = nil
}

func (d *daemon) start() error {
	if d.process != nil {
		return errors.New("it runs already")
	}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.argv[0], d.argv[1:]...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	d.ended = make(chan struct{})
	go func() {
		// The death signal is of this thread's end: it stays until the daemon
		// is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			d.failure = cmd.Wait()
			close(d.ended)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	d.process = cmd.Process
	return d.awaitPort()
}

// awaitPort waits until the process itself listens, or has ended.
func (d *daemon) awaitPort() error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; {
		if listens(d.process.Pid, d.port) {
			return nil
		}
		select {
		case <-d.ended:
			d.process = nil
			return fmt.Errorf("it ended: %v", d.failure)
		case <-tick.C:
		}
		if time.Since(start) > patience {
			d.Stop()
			return fmt.Errorf("it does not listen after %v", patience)
		}
	}
}

// launch starts a daemon for the first time: a port that was free a moment ago
// may be another one's by now.
func (d *daemon) launch(t testing.TB, configure func(port uint16) error) {
	t.Helper()
	t.Cleanup(func() {
		d.Stop()
		if t.Failed() {
			t.Logf("log of %s on %s:\n%s", filepath.Base(d.argv[0]), d.Addr(), tail(d.Log(), 30))
		}
	})
	var err error
	for range 5 {
		d.port = freePort(t, d.host)
		if err = configure(d.port); err != nil {
			t.Fatal(err)
		}
		if err = d.start(); err == nil {
			return
		}
	}
	t.Fatalf("%s on %s: %v\n%s", d.argv[0], d.Addr(), err, d.Log())
}

// listens says whether a process holds the listening socket of an IPv4 port.
func listens(pid int, port uint16) bool {
	text, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return false
	}
	sockets := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			sockets["socket:["+f[9]+"]"] = true
		}
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && sockets[to] {
			return true
		}
	}
	return false
}

// freePort finds a port below those that the kernel hands out by itself, so
// that nobody gets it while its peer is stopped, nor another test of ours until
// this one ends: a socket without a file, by the port's name, says that it is
// taken.
func freePort(t testing.TB, host string) uint16 {
	t.Helper()
	var failure error
	for range 200 {
		port := uint16(20000 + rand.IntN(12000))
		claim, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("@lockstep-test-port-%d", port), Net: "unix"})
		if err != nil {
			failure = err
			continue
		}
		l, err := net.Listen("tcp4", address(host, port))
		if err == nil {
			err = l.Close()
		}
		if err != nil {
			failure = errors.Join(err, claim.Close())
			continue
		}
		t.Cleanup(func() {
			if err := claim.Close(); err != nil {
				t.Error(err)
			}
		})
		return port
	}
	t.Fatalf("no free port on %s: %v", host, failure)
	return 0
}

func address(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// until waits for something that shows in a file or a counter.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); !ok(); <-tick.C {
		if time.Since(start) > patience {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func writeFile(path, text string, mode os.FileMode) error {
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask, and for a file that was there
}
