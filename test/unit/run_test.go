//go:build e2e

package unit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
	"lockstep/test/compare"
	"lockstep/test/peer"
)

// TestMain: the test binary is also what systemd's executor is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "enter" {
		fmt.Fprintln(os.Stderr, "cannot be entered:", enter(os.Args[2]))
		os.Exit(200)
	}
	os.Exit(m.Run())
}

// order is what the process is told that becomes the unit's.
type order struct {
	Host     Host
	Name     string // of the unit
	Settings []Setting
	Env      []string
}

func enter(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	p, err := NewPlan(o.Name, o.Settings)
	if err != nil {
		return err
	}
	return p.Enter(o.Host, o.Env)
}

const (
	patience = 30 * time.Second
	own      = "lockstep@test.service"
	clsyncs  = "lockstep-clsync@test.service"
)

// service is lockstep, installed on a host and run under its unit.
type service struct {
	t        *testing.T
	name     string
	host     Host
	settings []Setting
	plan     *Plan
	notify   *net.UnixConn

	filled uint64 // how often
	opts   compare.Options

	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	log  []string // guarded by mu
}

// install makes a host with lockstep on it. A unit of that name is read with these
// drop-ins.
func install(t *testing.T, name string, dropIns ...string) *service {
	t.Helper()
	testenv.NeedRoot(t)
	for _, tool := range []string{"systemd-analyze", "rsync", "make"} {
		testenv.NeedTool(t, tool)
	}
	s := &service{t: t, name: name, host: Host{Dir: t.TempDir()}}
	for _, dir := range []string{"usr", "etc", "etc/lockstep", "run", "run/systemd", "run/systemd/unit", "lib", "srv", "srv/source", "srv/target", "work-usr", "work-etc"} {
		if err := os.Mkdir(filepath.Join(s.host.Dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	words := []string{"-C", "../..", "install", "DESTDIR=" + s.host.Dir}
	if dir := os.Getenv("LOCKSTEP_BIN"); dir != "" {
		words = append(words, "BIN="+dir)
	}
	if out, err := exec.Command("make", words...).CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	files := []string{filepath.Join(s.host.Dir, "usr/lib/systemd/system", strings.Replace(name, "@test", "@", 1))}
	for i, text := range dropIns {
		file := filepath.Join(t.TempDir(), fmt.Sprintf("%d.conf", i))
		s.write(file, text)
		files = append(files, file)
	}
	var err error
	if s.settings, err = Parse("test", files...); err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(s.host.Dir, "run/systemd/notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.notify = conn
	return s
}

func (s *service) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// configure writes the instance's configuration. This host may have controllers
// in cgroup v1, where the unit's cannot have them.
func (s *service) configure(text string) {
	s.t.Helper()
	missing := []string{}
	offered, err := os.ReadFile(filepath.Join(s.host.Group(s.plan), "cgroup.controllers"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range []string{"memory", "pids"} {
		if !slices.Contains(strings.Fields(string(offered)), c) {
			missing = append(missing, strconv.Quote("cgroup-"+c))
		}
	}
	s.write(filepath.Join(s.host.Dir, "etc/lockstep/test.toml"), "[service]\nallow_missing = ["+strings.Join(missing, ", ")+"]\n"+text)
}

// prepare makes the plan and the groups.
func (s *service) prepare() {
	s.t.Helper()
	var err error
	if s.plan, err = NewPlan(s.name, s.settings); err != nil {
		s.t.Fatal(err)
	}
	remove, err := s.plan.MakeGroups(&s.host)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := remove(); err != nil {
			s.t.Error(err)
		}
	})
}

// start starts the unit.
func (s *service) start(extra ...string) {
	s.t.Helper()
	o := order{Host: s.host, Name: s.name, Settings: slices.Clone(s.settings), Env: []string{"NOTIFY_SOCKET=/run/systemd/notify"}}
	if len(extra) > 0 {
		o.Settings = append(o.Settings, Setting{"Service", "ExecStart", ""}, Setting{"Service", "ExecStart", strings.Join(append(slices.Clone(s.plan.Exec), extra...), " ")})
	}
	text, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command("/proc/self/exe", "enter", string(text))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Stdout = s.cmd.Stderr
	s.done = make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.mu.Lock()
			s.log = append(s.log, lines.Text())
			s.mu.Unlock()
		}
		_ = s.cmd.Wait()
		close(s.done)
	}()
	s.t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.done
		if s.t.Failed() {
			s.t.Log(s.said())
		}
	})
}

func (s *service) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, "\n")
}

// hear waits for a word of sd_notify.
func (s *service) hear(word string) {
	s.t.Helper()
	heard := make(chan error, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := s.notify.Read(buf)
			if err != nil || string(buf[:n]) == word {
				heard <- err
				return
			}
		}
	}()
	if err := s.notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-heard:
		if err != nil {
			s.t.Fatalf("no %s: %v\n%s", word, err, s.said())
		}
	case <-s.done:
		s.t.Fatalf("it ended before %s:\n%s", word, s.said())
	}
}

// wait is the exit code.
func (s *service) wait() int {
	s.t.Helper()
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		s.t.Fatalf("it does not end:\n%s", s.said())
		return -1
	}
}

func (s *service) source() string { return filepath.Join(s.host.Dir, "srv/source") }
func (s *service) target() string { return filepath.Join(s.host.Dir, "srv/target") }

// equal waits until a directory is what the source is.
func (s *service) equal(dir string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		diff, err := compare.Equal(s.source(), dir, s.opts)
		if err == nil && len(diff) == 0 {
			return
		}
		if time.Since(start) > patience {
			s.t.Fatalf("%s differs: %v %v\n%s", dir, err, diff, s.said())
		}
	}
}

// fill makes a tree with all that takes a right to copy.
func (s *service) fill() {
	s.t.Helper()
	root := s.source()
	s.filled++
	within := filepath.Join(root, fmt.Sprint("more", s.filled))
	if err := errors.Join(os.Mkdir(within, 0o755), churn.Burst(within, s.filled, 20, 200)); err != nil {
		s.t.Fatal(err)
	}
	for i, do := range []func(path string) error{
		func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Chmod(p, 0o4755)) }, // no RestrictSUIDSGID=
		func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Chown(p, 12345, 54321)) },
		func(p string) error {
			return errors.Join(os.Mkdir(p, 0o700), os.Chown(p, 12345, 54321), os.WriteFile(p+"/private", []byte("x"), 0o400), os.Chown(p+"/private", 12345, 54321))
		},
		func(p string) error { return unix.Mkfifo(p, 0o640) },
		func(p string) error {
			return errors.Join(os.WriteFile(p, nil, 0o600), unix.Setxattr(p, "user.x", []byte("y"), 0))
		},
		func(p string) error { return os.Symlink("/etc/passwd", p) },
	} {
		if err := do(filepath.Join(root, fmt.Sprintf("odd%d.%d", s.filled, i))); err != nil {
			s.t.Fatal(err)
		}
	}
}

const oneSync = "[[sync]]\nsource = \"/srv/source\"\ntargets = [\"/srv/target\"]\n"

const mayWrite = "[Service]\nReadWritePaths=/srv/target\n"

// lockstep does its work under all restrictions of its unit: it mirrors to this
// host and to another, follows changes, tells the service manager, and ends.
func TestUnderUnit(t *testing.T) {
	s := install(t, own, mayWrite)
	sshd := peer.StartSSHD(t, peer.SSHOptions{})
	remote := t.TempDir()
	for from, to := range map[string]string{sshd.Identity: "id", sshd.KnownHosts(t, t.TempDir()): "known_hosts"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		s.write(filepath.Join(s.host.Dir, "etc/lockstep", to), string(data))
	}
	s.prepare()
	s.configure(fmt.Sprintf("[[sync]]\nsource = \"/srv/source\"\ntargets = [\"/srv/target\", %q]\n"+
		"ssh = { identity = \"/etc/lockstep/id\", known_hosts = \"/etc/lockstep/known_hosts\", port = %d }\n", sshd.Target(remote), sshd.Port()))
	s.fill()
	s.start()
	s.hear("READY=1")
	both := func() { s.equal(s.target()); s.equal(remote) }
	both()
	s.confined()
	s.fill()
	both()
	if err := os.RemoveAll(filepath.Join(s.source(), "odd1.2")); err != nil {
		t.Fatal(err)
	}
	both()
	s.hear("WATCHDOG=1")
	s.stop()
	s.calm()
}

// stop ends it as systemd does.
func (s *service) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.hear("STOPPING=1")
	if code := s.wait(); code != 0 {
		s.t.Errorf("exit code %d\n%s", code, s.said())
	}
	// The supervisor's own group is systemd's to remove.
	for _, procs := range s.host.Groups {
		if pids, err := os.ReadFile(procs); err != nil || len(pids) > 0 {
			s.t.Errorf("processes are left in %s: %v %s", procs, err, pids)
		}
	}
}

// calm wants no word of trouble but of what this host lacks.
func (s *service) calm() {
	s.t.Helper()
	for line := range strings.SplitSeq(s.said(), "\n") {
		if (strings.Contains(line, "warning: ") || strings.Contains(line, "error: ")) && !strings.Contains(line, "--allow-missing cgroup-") {
			s.t.Error(line)
		}
	}
}

// confined looks from outside whether the restrictions are in force.
func (s *service) confined() {
	s.t.Helper()
	pid := s.cmd.Process.Pid
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		s.t.Fatal(err)
	}
	var caps uint64
	for _, c := range s.plan.Caps {
		caps |= 1 << c
	}
	for _, want := range []string{fmt.Sprintf("CapBnd:\t%016x\n", caps), fmt.Sprintf("CapEff:\t%016x\n", caps), "NoNewPrivs:\t1\n", "Seccomp:\t2\n",
		fmt.Sprintf("Seccomp_filters:\t%d\n", len(s.plan.Filters)), "Umask:\t0077\n"} {
		if !strings.Contains(string(status), want) {
			s.t.Errorf("the supervisor's status has no %q:\n%s", want, status)
		}
	}
	root := fmt.Sprintf("/proc/%d/root", pid)
	closed := []string{"/usr", "/etc", "/srv/source", "/proc/sys/kernel/hostname", "/home", "/root", "/boot"}
	open := []string{"/srv/target", "/run/lockstep", "/var/lib/lockstep", "/tmp"}
	if !s.host.V1 {
		closed, open = append(closed, "/sys/fs/cgroup"), append(open, "/sys/fs/cgroup/system.slice/"+s.name)
	}
	for _, path := range closed {
		if err := unix.Access(root+path, unix.W_OK); !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ENOENT) {
			s.t.Errorf("%s can be written to: %v", path, err)
		}
	}
	for _, path := range open {
		if err := unix.Access(root+path, unix.W_OK); err != nil {
			s.t.Errorf("%s: %v", path, err)
		}
	}
}

// Without a network it does what needs none.
func TestUnderLocalUnit(t *testing.T) {
	text, err := os.ReadFile(dist + "local.conf")
	if err != nil {
		t.Fatal(err)
	}
	s := install(t, own, mayWrite, string(text))
	s.prepare()
	s.configure(oneSync)
	s.fill()
	s.start()
	s.hear("READY=1")
	s.equal(s.target())
	s.confined()
	ours, err1 := os.Readlink("/proc/self/ns/net")
	its, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", s.cmd.Process.Pid))
	if err := errors.Join(err1, err2); err != nil || ours == its {
		t.Errorf("it has the host's network: %v", err)
	}
	s.stop()
	s.calm()
}

// The unit for who comes from clsync does what a block of its file says; and, with
// a drop-in, where cgroup v1 is.
func TestUnderClsyncUnit(t *testing.T) {
	text, err := os.ReadFile(dist + "cgroup-v1.conf")
	if err != nil {
		t.Fatal(err)
	}
	s := install(t, clsyncs, mayWrite, string(text))
	s.host.V1, s.opts.NoXattr = true, true // clsync keeps none without being asked
	s.prepare()
	if err := os.Mkdir(filepath.Join(s.host.Dir, "etc/clsync"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(filepath.Join(s.host.Dir, "etc/clsync/clsync.conf"),
		"[test]\nmode = rsyncdirect\nwatch-dir = /srv/source\ndestination-dir = /srv/target\ndelay-collect = 1\n")
	s.fill()
	if err := unix.Mknod(s.source()+"/device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 7))); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.hear("READY=1")
	s.equal(s.target())
	s.confined()
	s.stop()
}
