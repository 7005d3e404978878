//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
)

// ctl asks a running lockstep as a person does: exit code, and what is said.
func (f *fleet) ctl(code int, words ...string) string {
	f.t.Helper()
	out, got := runs(f.t, nil, append([]string{"ctl", "-c", f.file}, words...)...)
	if got != code {
		f.t.Errorf("ctl %q: exit code %d, want %d: %s", words, got, code, out)
	}
	return out
}

// shown is what status says, as far as tests ask.
type shown struct {
	Syncs []struct {
		Name, State string
		Paused      bool
		Numbers     map[string]uint64
		Targets     []struct {
			Target, State string
			Numbers       map[string]uint64
		}
	}
}

func (f *fleet) shown(words ...string) (s shown) {
	f.t.Helper()
	text := f.ctl(0, append([]string{"--json", "status"}, words...)...)
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		f.t.Fatalf("%v: %s", err, text)
	}
	return s
}

// Each command does what it says, for one sync or all, while lockstep runs.
func TestControl(t *testing.T) {
	beside(t)
	f := newFleet(t, "www", "mail")
	f.start().ready()
	for _, want := range []string{"version: ", "build: "} {
		if out := f.ctl(0, "version"); !strings.Contains(out, want) {
			t.Errorf("version: %q", out)
		}
	}
	var info struct {
		PID   int
		Files []struct{ Path, SHA256 string }
		Syncs []struct {
			Name     string
			Settings map[string]any
		}
	}
	if err := json.Unmarshal([]byte(f.ctl(0, "--json", "info", "mail")), &info); err != nil || info.PID != f.cmd.Process.Pid ||
		len(info.Files) != 1 || len(info.Files[0].SHA256) != 64 || len(info.Syncs) != 1 || info.Syncs[0].Name != "mail" || info.Syncs[0].Settings["delay"] != "200ms" {
		t.Errorf("info: %+v, %v", info, err)
	}
	s := f.shown()
	if len(s.Syncs) != 2 || s.Syncs[1].Name != "mail" || s.Syncs[1].State != "in step" || len(s.Syncs[1].Targets) != 1 ||
		s.Syncs[1].Targets[0].Target != f.part("mail").dst || s.Syncs[1].Targets[0].State != "in step" || s.Syncs[1].Targets[0].Numbers["initials"] == 0 {
		t.Errorf("status: %+v", s)
	}
	if out := f.ctl(0, "status", "www"); !strings.Contains(out, "www: in step") || strings.Contains(out, "mail") {
		t.Errorf("status www: %q", out)
	}

	at := f.mark()
	f.ctl(0, "resync", "www")
	f.await(at, "a whole pass of www", limit, f.part("www").about("whole pass done"))
	f.equal()
	for _, r := range f.since(at) {
		if f.part("mail").about("whole pass")(r) {
			t.Errorf("resync www: %s", r)
		}
	}

	f.refusedCommands()
	f.pauses()
	f.dumps()

	at = f.mark()
	f.ctl(0, "reload")
	f.await(at, "an answer to reload", limit, inForce)
	f.ctl(0, "quit")
	if code := f.wait(limit); code != 0 {
		t.Errorf("exit code %d after quit", code)
	}
	f.nothingLeft()
	f.ctl(1, "status")
}

// What is read anew is what the control socket knows; a pause outlasts it, also of a
// sync that begins afresh.
func TestControlAfterReload(t *testing.T) {
	beside(t)
	f := newFleet(t, "www", "mail", "fresh")
	all, mail := f.parts, f.part("mail")
	f.parts = all[:2]
	f.start().ready()
	f.ctl(0, "pause", "mail")
	f.ctl(2, "status", "fresh")
	mail.flags = []string{`delay = "100ms"`}
	f.parts = all
	write(t, f.file, f.toml())
	at := f.mark()
	f.ctl(0, "reload")
	if r := f.await(at, "the new configuration", limit, inForce); r.str("changed") != "mail" || r.str("begin") != "fresh" {
		t.Errorf("%v", r)
	}
	f.await(at, "readiness of fresh", limit, f.part("fresh").isReady)
	write(t, mail.src+"/held", "x")
	f.eventually("mail is paused, and fresh is there", func() bool {
		paused := map[string]bool{}
		for _, s := range f.shown().Syncs {
			paused[s.Name] = s.Paused
		}
		return len(paused) == 3 && paused["mail"] && !paused["fresh"]
	})
	absent(t, mail.dst+"/held")
	f.ctl(0, "resume", "mail")
	f.equal()
	f.stop()
	f.nothingLeft()
}

func (f *fleet) refusedCommands() {
	f.t.Helper()
	if out := f.ctl(1, "set", "delay", "1s"); !strings.Contains(out, "configuration") {
		f.t.Errorf("set: %q", out)
	}
	f.ctl(2, "exec")
	f.ctl(2, "status", "nobody")
	f.ctl(2, "quit", "www")
	f.ctl(2)
}

// pauses holds one sync back, and not the other.
func (f *fleet) pauses() {
	t, www, mail := f.t, f.part("www"), f.part("mail")
	f.ctl(0, "pause", "www")
	write(t, www.src+"/held", "x")
	write(t, mail.src+"/goes", "x")
	mail.sameWithin(limit)
	if s := f.shown(); !s.Syncs[0].Paused || s.Syncs[0].State != "paused" || s.Syncs[1].Paused {
		t.Errorf("in a pause: %+v", s)
	}
	f.eventually("the change waits", func() bool {
		n := f.shown("www").Syncs[0].Targets[0].Numbers
		return n["queue"]+n["in_flight"] > 0
	})
	absent(t, www.dst+"/held")
	f.ctl(0, "resume")
	f.equal()
}

// dumps asks twice, and once by the signal of clsync's.
func (f *fleet) dumps() {
	t := f.t
	dirs := map[string]bool{}
	for range 2 {
		dir := strings.TrimSpace(f.ctl(0, "dump"))
		if filepath.Dir(dir) != f.run || dirs[dir] {
			t.Errorf("the dump is %q", dir)
		}
		dirs[dir] = true
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o750 {
			t.Errorf("%v, %v", info, err)
		}
		for _, name := range []string{"instance", "www/instance", "mail/queue/1", "mail/threads/1"} {
			if text := string(contents(t, dir+"/"+name)); name != "instance" && !strings.Contains(text, "status == in step\n") {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
	at := f.mark()
	f.signal(syscall.SIGIO)
	r := f.await(at, "a dump by signal", limit, func(r record) bool { return r.str("dump") != "" })
	dirs[r.str("dump")] = true
	if len(dirs) != 3 {
		t.Errorf("%v", dirs)
	}
	for range 10 {
		dirs[strings.TrimSpace(f.ctl(0, "dump", "mail"))] = true
	}
	kept, err := filepath.Glob(f.run + "/dump-*")
	if err != nil || len(kept) != 8 {
		t.Errorf("%d dumps are kept: %v", len(kept), err)
	}
	for _, dir := range kept {
		if !dirs[dir] {
			t.Errorf("%s is no dump of ours", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}

// die ends it at once, though a command is under way.
func TestControlDie(t *testing.T) {
	m := newMirror(t, "--bwlimit", "600KiB", "--stop-timeout", "1h")
	m.flags = append(m.flags, "--control-socket", m.run+"/control")
	m.start().ready()
	write(t, m.src+"/big", strings.Repeat("0123456789abcdef", 3<<20/16))
	m.any("rsync")
	m.seen.look(m.cmd.Process.Pid)
	if out, code := runs(t, nil, "ctl", "-s", m.run+"/control", "die"); code != 0 {
		t.Fatalf("%d: %s", code, out)
	}
	m.wait(30 * time.Second)
	m.nothingLeft()
}

// Who may not ask is refused by the socket's mode, and, where that was changed, by
// the gate; who may, by uid, group or one more group, is answered.
func TestControlPermits(t *testing.T) {
	testenv.NeedRoot(t)
	const ours = 60998
	f := newFleet(t, "www")
	dir := openDir(t, 0)
	at := dir + "/control"
	f.service = []string{fmt.Sprintf("control_socket = %q", at)}
	f.start().ready()
	as := func(gid uint32, groups ...uint32) *syscall.SysProcAttr {
		a := asAnyone()
		a.Credential.Gid, a.Credential.Groups = gid, groups
		return a
	}
	bin := forUsers(t, program(t, "lockstep"))
	ask := func(attr *syscall.SysProcAttr) (string, int) {
		t.Setenv("LOCKSTEP_BIN", filepath.Dir(bin))
		return runs(t, attr, "ctl", "-s", at, "status")
	}
	want := func(attr *syscall.SysProcAttr, code int, text string) {
		t.Helper()
		if out, got := ask(attr); got != code || !strings.Contains(out, text) {
			t.Errorf("exit code %d, want %d: %s", got, code, out)
		}
	}
	want(as(anyone), 1, "control_owner")
	if err := os.Chmod(at, 0o666); err != nil {
		t.Fatal(err)
	}
	want(as(anyone), 1, fmt.Sprintf("uid %d may not ask", anyone))
	want(as(ours, ours), 1, "may not ask")
	want(nil, 0, "www: in step")
	f.stop()

	f.service = append(f.service, fmt.Sprintf("control_owner = %q", fmt.Sprint(":", ours)), `control_mode = "0660"`)
	f.start().ready()
	want(as(anyone), 1, "control_owner")
	want(as(ours), 0, "www: in step")
	want(as(anyone, anyone, ours), 0, "www: in step")
	f.stop()

	f.service = []string{f.service[0], fmt.Sprintf("control_owner = %q", fmt.Sprint(anyone))}
	f.start().ready()
	want(as(anyone), 0, "www: in step")
	f.stop()
	absent(t, at)
}

// gate starts the gate by a client that stays, and returns it.
func (f *fleet) gate() (proc, net.Conn) {
	f.t.Helper()
	conn := client(f.t, f.run+"/control")
	return f.the("lockstep-gate"), conn
}

// client is a client that has been answered.
func client(t *testing.T, socket string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, `{"v":1,"command":"version"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 4096)); err != nil || n == 0 {
		t.Fatalf("no answer: %v", err)
	}
	return conn
}

// The gate is there while somebody asks, and no longer. Its death concerns nobody
// else; and what a killed lockstep left is no hindrance.
func TestGateKilled(t *testing.T) {
	beside(t)
	f := newFleet(t, "www")
	f.start().ready()
	if n := len(f.role("lockstep-gate")); n != 0 {
		t.Errorf("%d gates though nobody asks", n)
	}
	worker := f.the("lockstep-worker")
	for i := range 3 {
		gate, conn := f.gate()
		write(t, f.part("www").src+fmt.Sprint("/f", i), "x")
		if err := syscall.Kill(gate.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the client was not told")
		}
		if out := f.ctl(0, "status"); !strings.Contains(out, "www: ") {
			t.Errorf("after the kill: %q", out)
		}
		f.equal()
	}
	if f.the("lockstep-worker") != worker {
		t.Error("the worker is another one")
	}
	f.eventually("the gate ends when nobody asks", func() bool { return len(f.role("lockstep-gate")) == 0 })

	f.gate()
	f.seen.look(f.cmd.Process.Pid)
	if err := f.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	f.wait(limit)
	f.sweepWait()
	if _, err := os.Lstat(f.run + "/control"); err != nil {
		t.Errorf("the socket of a killed lockstep: %v", err)
	}
	f.start().ready()
	f.ctl(0, "status")
	f.stop()
}

// Five forbidden calls of the gate end the control socket, and nothing else; the
// exit code tells.
func TestGateLockOut(t *testing.T) {
	f := newFleet(t, "www")
	f.start().ready()
	for i := range 5 {
		at := f.mark()
		gate, _ := f.gate()
		forbiddenCall(t, gate.pid)
		f.await(at, fmt.Sprint("death ", i+1), limit, says("forbidden system call"))
	}
	f.eventually("the socket is gone", func() bool {
		_, err := os.Lstat(f.run + "/control")
		return os.IsNotExist(err)
	})
	write(t, f.part("www").src+"/f", "x")
	f.equal()
	f.signal(syscall.SIGTERM)
	if code := f.wait(limit); code != 78 {
		t.Errorf("exit code %d, want 78", code)
	}
	f.nothingLeft()
}

// Clients who do all that they should not keep neither changes from being copied nor
// others from being answered.
func TestControlFlood(t *testing.T) {
	f := newFleet(t, "www")
	f.start().ready()
	worker := f.the("lockstep-worker")
	stop := make(chan struct{})
	var all sync.WaitGroup
	flood := func(text string, read bool) {
		for {
			select {
			case <-stop:
				return
			default:
			}
			conn, err := net.Dial("unix", f.run+"/control")
			if err != nil {
				time.Sleep(time.Millisecond) // too many wait, and nothing tells when one does no longer
				continue
			}
			_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
			for range 100 {
				if _, err := io.WriteString(conn, text); err != nil {
					break
				}
			}
			if read {
				_, _ = io.Copy(io.Discard, conn)
			}
			_ = conn.Close()
		}
	}
	for _, text := range []string{"", "{", "\x00\xff\n", strings.Repeat("x", 1<<16), `{"v":1,"command":"status"}` + "\n", `{"v":1,"command":"info"}` + "\n",
		`{"v":1,"command":"dump"}` + "\n", `{"v":1,"command":"reload"}` + "\n", strings.Repeat("[", 4000) + "\n"} {
		all.Go(func() { flood(text, false) })
		all.Go(func() { flood(text, true) })
	}
	for i := range 20 {
		write(t, f.part("www").src+fmt.Sprintf("/f%02d", i), "x")
		f.part("www").sameWithin(limit)
	}
	close(stop)
	all.Wait()
	f.eventually("it is asked again", func() bool {
		_, code := runs(t, nil, "ctl", "-c", f.file, "status")
		return code == 0
	})
	if f.the("lockstep-worker") != worker {
		t.Error("the worker is another one")
	}
	f.equal()
	kept, err := filepath.Glob(f.run + "/dump-*")
	if err != nil || len(kept) > 8 {
		t.Errorf("%d dumps, %v", len(kept), err)
	}
	for _, dir := range kept {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	f.stop()
}

// A socket in the place of another's file, in a tree or in a directory of others is
// refused.
func TestControlSocketIsRefused(t *testing.T) {
	m := newMirror(t)
	write(t, m.state+".file", "x")
	for _, flags := range [][]string{
		{"--control-socket", m.state + ".file"}, {"--control-socket", m.src + "/control"}, {"--control-socket", "/tmp/x.lockstep"},
		{"--control-socket", "relative"}, {"--control-mode", "0666"}, {"--control-mode", "rw"},
		{"--control-socket", m.run + "/control", "--control-owner", "nosuchuser"}, {"--control-socket", m.run + "/control", "--control-owner", fmt.Sprint(anyone)},
		{"--control-socket", m.run + "/" + strings.Repeat("x", 108)},
	} {
		m.flags = flags
		if code := m.once(); code != 2 {
			t.Errorf("%q: exit code %d", flags, code)
		}
	}
	if string(contents(t, m.state+".file")) != "x" {
		t.Error("the file of another was touched")
	}
}

// The clients among the examples are clients.
func TestControlClients(t *testing.T) {
	f := newFleet(t, "www")
	f.start().ready()
	for _, c := range []struct{ needs, script string }{{"python3", "ask.py"}, {"socat", "ask.sh"}} {
		if _, err := exec.LookPath(c.needs); err != nil {
			t.Logf("%s is not run: there is no %s", c.script, c.needs)
			continue
		}
		script := filepath.Join("../../examples/control", c.script)
		if out, err := exec.Command(script, f.run+"/control", "status", "www").CombinedOutput(); err != nil || !strings.Contains(string(out), `"in step"`) {
			t.Errorf("%s: %v: %s", c.script, err, out)
		}
		if out, _ := exec.Command(script, f.run+"/control", "exec").CombinedOutput(); !strings.Contains(string(out), "there is no such command") {
			t.Errorf("%s exec: %s", c.script, out)
		}
	}
	f.stop()
}
