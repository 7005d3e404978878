package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// client runs a program that must end by itself, and returns what it said.
func client(t *testing.T, words ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%q: %v %v\n%s", words, err, ctx.Err(), &errs)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func ssh(s *SSHD, knownHosts string, port uint16) []string {
	return []string{"ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10",
		"-o", "UserKnownHostsFile=" + knownHosts, "-o", "GlobalKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes",
		"-o", "IdentityAgent=none", "-i", s.Identity, "-p", fmt.Sprint(port), "root@127.0.0.1"}
}

// wants runs a client and wants an exit code, and a text in its errors.
func wants(t *testing.T, what string, code int, text string, words ...string) {
	t.Helper()
	_, errs, got := client(t, words...)
	if got != code || !strings.Contains(errs, text) {
		t.Errorf("%s: exit code %d, want %d and %q:\n%s", what, got, code, text, errs)
	}
}

func TestSSHD(t *testing.T) {
	testenv.NeedTool(t, "ssh")
	s := StartSSHD(t, SSHOptions{})
	known := s.KnownHosts(t, t.TempDir())
	login := func(what string, code int, text string) {
		t.Helper()
		wants(t, what, code, text, append(ssh(s, known, s.Port()), "true")...)
	}
	login("usual", 0, "")
	if out, _, _ := client(t, append(ssh(s, known, s.Port()), "echo hello $(id -u)")...); out != "hello 0\n" {
		t.Errorf("a command says %q", out)
	}
	restore := s.ChangeHostKey(t)
	login("changed host key", 255, "REMOTE HOST IDENTIFICATION HAS CHANGED")
	restore()
	login("old host key", 0, "")
	restore = s.RefuseKey(t)
	login("refused key", 255, "Permission denied")
	restore()
	login("known key", 0, "")
	s.Stop()
	login("stopped", 255, "Connection refused")
	s.Start(t)
	login("started again", 0, "")
	s.AwaitLog(t, "Accepted publickey for root", 5)
	restore = s.Force(t, `echo "$SSH_ORIGINAL_COMMAND" 'for "it"'; exit 7`)
	if out, _, code := client(t, append(ssh(s, known, s.Port()), "x y")...); out != "x y for \"it\"\n" || code != 7 {
		t.Errorf("a forced command says %q with code %d", out, code)
	}
	restore()
	login("no forced command", 0, "")
}

// A session ends with its sshd, and so does what it has put into the
// background.
func TestSessionsEnd(t *testing.T) {
	testenv.NeedTool(t, "ssh")
	s := StartSSHD(t, SSHOptions{})
	known := s.KnownHosts(t, t.TempDir())
	mark := fmt.Sprintf("86400.%d", os.Getpid())
	wants(t, "background", 0, "", append(ssh(s, known, s.Port()), "setsid sleep "+mark+" </dev/null >/dev/null 2>&1 &")...)
	running := func() bool {
		out, _, _ := client(t, "pgrep", "-f", "^sleep "+mark)
		return out != ""
	}
	until(t, "process in the background", running)
	pid := s.Pid()
	s.Stop()
	if running() {
		t.Error("what a session started is still there after Stop")
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("sshd is still there: %v", err)
	}
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		c.Close()
		t.Error("its port still answers")
	}
}

// Everything is gone when a test ends, also when it stopped nothing itself.
func TestNothingStays(t *testing.T) {
	var pids []int
	var addrs []string
	t.Run("peers", func(t *testing.T) {
		s := StartSSHD(t, SSHOptions{})
		r := StartRsyncd(t, t.TempDir(), RsyncdOptions{})
		relay := StartRelay(t, "127.0.0.2", s.Addr())
		stall := Stall(t, SSHBanner)
		c, err := net.Dial("tcp", relay.Addr()) // and leaves it open
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		relay.Hold()
		pids = []int{s.Pid(), r.Pid()}
		addrs = []string{s.Addr(), r.Addr(), relay.Addr(), stall.Addr()}
	})
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d is still there: %v", pid, err)
		}
	}
	for _, addr := range addrs {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Errorf("%s still answers", addr)
		}
	}
}

func TestRsyncd(t *testing.T) {
	content, source := t.TempDir(), t.TempDir()
	r := StartRsyncd(t, content, RsyncdOptions{User: "lockstep", Password: "secret"})
	if err := os.WriteFile(source+"/f", []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(source+"/f", 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", source+"/link"); err != nil {
		t.Fatal(err)
	}
	password := "--password-file=" + r.PasswordFile(t, t.TempDir())
	send := func(what string, code int, text string) {
		t.Helper()
		wants(t, what, code, text, "rsync", "-aHAX", "--numeric-ids", password, source+"/", r.Target(""))
	}
	send("usual", 0, "")
	info, err := os.Lstat(content + "/f")
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 1234 {
		t.Errorf("the owner is %d", st.Uid)
	}
	if to, err := os.Readlink(content + "/link"); err != nil || to != "/etc/passwd" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	restore := r.RefusePassword(t)
	send("refused password", 5, "auth failed")
	restore()
	restore = r.HideModule(t)
	send("hidden module", 5, "Unknown module")
	restore()
	send("restored", 0, "")
	r.Stop()
	send("stopped", 10, "Connection refused")
	r.Start(t)
	send("started again", 0, "")
}

func TestRsyncdOptions(t *testing.T) {
	source := t.TempDir()
	if err := os.WriteFile(source+"/f", []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	r := StartRsyncd(t, t.TempDir(), RsyncdOptions{Module: "other", ReadOnly: true})
	if r.Target("a/b") != fmt.Sprintf("rsync://127.0.0.1:%d/other/a/b", r.Port()) {
		t.Errorf("target %s", r.Target("a/b"))
	}
	wants(t, "read-only", 1, "read only", "rsync", "-a", source+"/", r.Target(""))

	r = StartRsyncd(t, t.TempDir(), RsyncdOptions{MaxConnections: 1})
	c, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\ndata\n")); err != nil {
		t.Fatal(err)
	}
	r.AwaitLog(t, "rsync allowed access", 1)
	buf := make([]byte, 1000)
	for got := ""; !strings.Contains(got, "@RSYNCD: OK"); {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got += string(buf[:n])
	}
	wants(t, "the second one", 5, "max connections (1) reached", "rsync", "-a", source+"/", r.Target(""))
}

// A relay passes on, is cut, and is restored.
func TestRelay(t *testing.T) {
	testenv.NeedTool(t, "ssh")
	s := StartSSHD(t, SSHOptions{})
	relay := StartRelay(t, "", s.Addr())
	known := s.KnownHosts(t, t.TempDir(), relay.Addr())
	login := func(what string, code int, text string) {
		t.Helper()
		wants(t, what, code, text, append(ssh(s, known, relay.Port()), "true")...)
	}
	login("usual", 0, "")
	relay.Cut()
	login("cut", 255, "Connection refused")
	relay.Restore(t)
	login("restored", 0, "")
	relay.Point(address("127.0.0.1", ClosedPort(t)))
	login("pointed to nothing", 255, "")
	relay.Point(s.Addr())
	login("pointed back", 0, "")
}

// What a relay holds comes through when it is restored; what it resets ends.
func TestRelayHolds(t *testing.T) {
	testenv.NeedTool(t, "ssh")
	s := StartSSHD(t, SSHOptions{})
	relay := StartRelay(t, "", s.Addr())
	known := s.KnownHosts(t, t.TempDir(), relay.Addr())
	relay.Hold()
	wants(t, "held", 255, "timed out", append(ssh(s, known, relay.Port()), "true")...)
	relay.Restore(t)

	cmd := exec.Command("ssh", append(ssh(s, known, relay.Port())[1:], "cat; exit 9")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	echo := func(text string) <-chan string {
		if _, err := in.Write([]byte(text)); err != nil {
			t.Error(err)
		}
		got := make(chan string, 1)
		go func() {
			buf := make([]byte, 100)
			n, _ := out.Read(buf)
			got <- string(buf[:n])
		}()
		return got
	}
	if got := <-echo("one"); got != "one" {
		t.Errorf("it answers %q", got)
	}
	relay.Hold()
	got := echo("two")
	select {
	case text := <-got:
		t.Errorf("through a held relay came %q", text)
	case <-time.After(200 * time.Millisecond):
	}
	relay.Restore(t)
	if text := <-got; text != "two" {
		t.Errorf("after it was restored came %q", text)
	}
	relay.Reset()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 255 {
		t.Errorf("after a reset ssh ends with %v", err)
	}
}

func TestStall(t *testing.T) {
	testenv.NeedTool(t, "ssh")
	s := StartSSHD(t, SSHOptions{})
	known := s.KnownHosts(t, t.TempDir())
	stall := Stall(t, SSHBanner)
	// After the banner ssh itself waits for ever: ConnectTimeout is over.
	words := ssh(s, known, stall.Port())
	wants(t, "ssh", 30, "timeout", "rsync", "--timeout=1", "-e", strings.Join(words[:len(words)-1], " "), t.TempDir()+"/", "root@127.0.0.1:/none")
	stall.AwaitAccepted(t, 1)
	daemon := Stall(t, RsyncBanner)
	wants(t, "rsync", 30, "timeout", "rsync", "--timeout=1", t.TempDir()+"/", "rsync://"+daemon.Addr()+"/m")
	if n := daemon.Accepted(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestDeafAndClosed(t *testing.T) {
	addr := address("127.0.0.1", Deaf(t))
	c, err := net.DialTimeout("tcp", addr, time.Second)
	var failed net.Error
	if !errors.As(err, &failed) || !failed.Timeout() {
		t.Errorf("the deaf port: %v, %v", c, err)
	}
	if _, err := net.Dial("tcp", address("127.0.0.1", ClosedPort(t))); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the closed port: %v", err)
	}
}

func TestNoise(t *testing.T) {
	testenv.NeedTool(t, "ssh")
	s := Noise(t)
	known := s.KnownHosts(t, t.TempDir())
	cmd := exec.Command("ssh", append(ssh(s, known, s.Port())[1:], "true")...)
	var said counter
	cmd.Stderr = &said
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("it ends with %v", err)
	}
	if said.bytes < NoiseSize || !said.escape || !said.mark {
		t.Errorf("it says %+v", said)
	}
}

type counter struct {
	bytes        int
	escape, mark bool
}

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += len(b)
	c.escape = c.escape || bytes.Contains(b, []byte("\x1b["))
	c.mark = c.mark || bytes.Contains(b, []byte(NoiseMark))
	return len(b), nil
}
