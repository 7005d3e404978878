//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/test/churn"
)

// terminal is the master's side of a pseudo terminal and what came out of it.
type terminal struct {
	master *os.File
	mu     sync.Mutex
	text   []byte // guarded by mu
}

// newTerminal makes a pseudo terminal of 120 columns and returns its other end.
func newTerminal(t *testing.T) (*terminal, *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 120}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{master: master}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			term.mu.Lock()
			term.text = append(term.text, buf[:n]...)
			term.mu.Unlock()
			if err != nil {
				return // EIO when the last one has closed the other end
			}
		}
	}()
	t.Cleanup(func() { _ = master.Close() })
	return term, slave
}

func (o *terminal) has(words ...string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range words {
		if !strings.Contains(string(o.text), w) {
			return false
		}
	}
	return true
}

// On a terminal there is one live line, redrawn in place, and nothing that a
// name in the tree chose reaches it.
func TestLiveLine(t *testing.T) {
	m := newMirror(t)
	mkdir(t, m.src+"/\x1b]0;title\a\x1b[31m")
	if _, err := churn.Hostile(m.src, 5, 300); err != nil {
		t.Fatal(err)
	}
	term, slave := newTerminal(t)
	cmd := exec.Command(program(t, "lockstep"), "mirror", "--runtime-dir", m.run, "--state-dir", m.state, m.src, m.dst)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.cmd, m.exited = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait()
		m.code = cmd.ProcessState.ExitCode()
		close(m.exited)
	}()
	t.Cleanup(m.cleanup)
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	m.eventually("the live line", func() bool { return term.has("in step", "\r") })
	m.sameWithin(limit)
	write(t, m.src+"/f", "x")
	m.sameWithin(limit)
	// As Ctrl-C does, to the whole foreground group.
	if _, err := term.master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if code := m.wait(limit); code != 0 {
		t.Errorf("exit code %d after Ctrl-C, want 0", code)
	}
	term.mu.Lock()
	defer term.mu.Unlock()
	all := string(term.text)
	if strings.Contains(all, "\x1b]0;") || strings.Contains(all, "\x1b[31m") || strings.Contains(all, "\a") {
		t.Errorf("a name of the tree reached the terminal: %+q", all)
	}
	if !strings.Contains(all, "stopped: ") {
		t.Errorf("no last line: %+q", all)
	}
	t.Logf("%+q", all)
}
