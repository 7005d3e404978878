//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
	"lockstep/internal/testenv/observe"
	"lockstep/test/peer"
)

// audited is what lockstep audit self says as JSON.
type audited struct {
	Result     string            `json:"result"`
	Deviations int               `json:"deviations"`
	Looks      int               `json:"looks"`
	Instances  []auditedInstance `json:"instances"`
}

type auditedInstance struct {
	RuntimeDir string           `json:"runtime_dir"`
	Processes  []auditedProcess `json:"processes"`
	Notes      []string         `json:"notes"`
}

type auditedProcess struct {
	PID    int    `json:"pid"`
	Role   string `json:"role"`
	Checks []struct {
		Check      string   `json:"check"`
		State      string   `json:"state"`
		Deviations []string `json:"deviations"`
	} `json:"checks"`
}

// deviating are the deviations of one process (0: of all), each with its check.
func (a audited) deviating(pid int) []string {
	var all []string
	for _, in := range a.Instances {
		for _, p := range in.Processes {
			for _, c := range p.Checks {
				for _, d := range c.Deviations {
					if pid == 0 || pid == p.PID {
						all = append(all, c.Check+": "+d)
					}
				}
			}
		}
	}
	return all
}

// roles counts the processes of each.
func (a audited) roles() map[string]int {
	all := map[string]int{}
	for _, in := range a.Instances {
		for _, p := range in.Processes {
			all[p.Role]++
		}
	}
	return all
}

// audit runs lockstep audit self, and returns what it says and its exit code. Without
// a word all that runs on the machine is looked at: other tests too.
func audit(t *testing.T, words ...string) (out string, code int) {
	t.Helper()
	cmd := exec.Command(program(t, "lockstep"), append([]string{"audit", "self"}, words...)...)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}

// auditOf audits the one lockstep that runs with this runtime directory.
func auditOf(t *testing.T, run string) (audited, int) {
	t.Helper()
	out, code := audit(t, "--json", "--runtime-dir", run)
	var all audited
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(all.Instances) != 1 || all.Instances[0].RuntimeDir != run {
		t.Fatalf("not the instance in %s: %s", run, out)
	}
	return all, code
}

// clean wants no deviation, and these processes.
func clean(t *testing.T, run string, roles map[string]int) audited {
	t.Helper()
	a, code := auditOf(t, run)
	if d := a.deviating(0); len(d) > 0 || code != 0 {
		t.Errorf("code %d, deviations:\n  %s", code, strings.Join(d, "\n  "))
	}
	for role, n := range roles {
		if a.roles()[role] != n {
			t.Errorf("%d of %s, want %d: %v", a.roles()[role], role, n, a.roles())
		}
	}
	return a
}

// A service with a local target, one on another host and a handler is as declared:
// idle, and while its commands run; with each way to hear of changes.
func TestAuditAsDeclared(t *testing.T) {
	beside(t)
	testenv.NeedTool(t, "ssh")
	s := peer.StartSSHD(t, peer.SSHOptions{})
	f := newFleet(t, "local", "remote", "told")
	f.part("local").flags = []string{`monitor = "fanotify"`, `exclude = ["*.tmp"]`}
	remote := f.part("remote")
	remote.targets = []string{s.Target(remote.dst), filepath.Dir(remote.dst) + "/second"}
	mkdir(t, filepath.Dir(remote.dst)+"/second")
	remote.flags = []string{fmt.Sprintf("ssh.identity = %q", s.Identity), fmt.Sprintf("ssh.known_hosts = %q", s.KnownHosts(t, t.TempDir())),
		fmt.Sprintf("ssh.port = %d", s.Port()), `monitor = "dnotify"`, `bwlimit = "300KiB"`}
	told := f.part("told")
	words := handler(t, "direct", strings.ReplaceAll("#!/bin/sh\ncp -a ./. DST/\n", "DST", told.dst))
	told.flags = []string{fmt.Sprintf("mode = %q", words[1]), fmt.Sprintf("handler = %q", words[3])}
	for _, p := range f.parts {
		write(t, p.src+"/f", "x")
	}
	f.start().ready()
	roles := map[string]int{"supervisor": 1, "helper": 3, "worker": 3, "resolver": 2, "runner": 4, "unknown": 0}
	clean(t, f.run, roles)

	// While somebody asks at the control socket.
	gate, conn := f.gate()
	if a := clean(t, f.run, roles); a.roles()["gate"] != 1 || len(a.deviating(gate.pid)) > 0 {
		t.Errorf("the gate: %v", a.roles())
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}

	// While rsync and ssh are at work.
	write(t, remote.src+"/big", string(make([]byte, 6<<20)))
	f.any("ssh")
	a := clean(t, f.run, roles)
	if a.roles()["command"] < 2 {
		t.Errorf("no commands were seen: %v", a.roles())
	}
	// The one that its file names; another one does not run.
	if out, code := audit(t, "-c", f.file); code != 0 || !strings.Contains(out, "all as declared") || !strings.Contains(out, "1 instance(s)") {
		t.Errorf("code %d: %s", code, out)
	}
	f.stop()
	if out, code := audit(t, "-c", f.file); code != 1 || !strings.Contains(out, "no lockstep runs with the runtime directory") {
		t.Errorf("code %d: %s", code, out)
	}
}

// planted is a deviation that a test makes in a process that runs.
type planted struct {
	name string
	role string
	make func(t *testing.T, m *mirror, p proc) (undo func())
	want string // check and deviation
}

func plants() []planted {
	return []planted{
		{"limit", "lockstep-helper", plantLimit, "limits: limit of open files is 1000 (hard 1024), declared: 1024 (hard 1024)"},
		{"group", "lockstep-worker", plantGroup, "control group: control group "},
		{"devices", "lockstep-helper", plantDevices, "devices: "},
		{"mount", "lockstep-runner", plantMount, "mounts: mount / is rw"},
		{"tracer", "lockstep-worker", plantTracer, "parent: it is traced by process "},
	}
}

// What is changed in a process that runs is told by its name, and is the end with 1.
func TestAuditPlanted(t *testing.T) {
	m := newMirror(t)
	write(t, m.src+"/f", "x")
	m.start().ready()
	clean(t, m.run, map[string]int{"supervisor": 1, "helper": 1, "worker": 1, "runner": 1})
	for _, one := range plants() {
		t.Run(one.name, func(t *testing.T) {
			p := m.the(one.role)
			undo := one.make(t, m, p)
			a, code := auditOf(t, m.run)
			undo()
			got := a.deviating(p.pid)
			if code != 1 || a.Looks < 2 || !slices.ContainsFunc(got, func(d string) bool { return strings.HasPrefix(d, one.want) }) {
				t.Errorf("code %d after %d looks, want %q in:\n  %s", code, a.Looks, one.want, strings.Join(got, "\n  "))
			}
			clean(t, m.run, nil)
		})
	}
	m.stop()
}

// plantLimit changes a limit by prlimit(2).
func plantLimit(t *testing.T, _ *mirror, p proc) func() {
	var old unix.Rlimit
	if err := unix.Prlimit(p.pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1000, Max: 1024}, &old); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(p.pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
			t.Error(err)
		}
	}
}

// plantGroup moves a process out of its group, where its devices are forbidden.
func plantGroup(t *testing.T, _ *mirror, p proc) func() {
	groups := deviceGroups(t, p.pid)
	if len(groups) == 0 {
		testenv.Lacks(t, "no cgroup hierarchy that can forbid devices is mounted")
	}
	move := func(dir string) {
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(p.pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	top, _, _ := strings.Cut(groups[0], "/lockstep/")
	move(top)
	return func() { move(groups[0]) }
}

// plantDevices allows a device to a group of version 1.
func plantDevices(t *testing.T, _ *mirror, p proc) func() {
	at := slices.IndexFunc(deviceGroups(t, p.pid), func(dir string) bool {
		_, err := os.Stat(dir + "/devices.allow")
		return err == nil
	})
	if at < 0 {
		testenv.Lacks(t, "no cgroup hierarchy of version 1 that forbids devices is mounted")
	}
	dir := deviceGroups(t, p.pid)[at]
	put := func(file string) {
		if err := os.WriteFile(dir+"/"+file, []byte("c 1:3 rwm"), 0); err != nil {
			t.Fatal(err)
		}
	}
	put("devices.allow")
	return func() { put("devices.deny") }
}

// onItsOwnThread runs f on a thread that ends with it. The first thread of a process
// would not, and is what /proc/self shows.
func onItsOwnThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() {
		f()
		return // locked: the thread ends
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		onItsOwnThread(f)
	}()
	<-ended
	runtime.UnlockOSThread()
}

// plantMount makes the root of a jail writable, from inside its mount namespace.
func plantMount(t *testing.T, _ *mirror, p proc) func() {
	set := func(attr unix.MountAttr) {
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", p.pid))
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		done := make(chan error)
		go onItsOwnThread(func() {
			err := unix.Unshare(unix.CLONE_FS)
			if err == nil {
				err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)
			}
			if err == nil {
				err = unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr)
			}
			done <- err
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	set(unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
	return func() { set(unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}) }
}

// plantTracer traces a process without stopping it.
func plantTracer(t *testing.T, _ *mirror, p proc) func() {
	traced, release, released := make(chan error), make(chan struct{}), make(chan struct{})
	go onItsOwnThread(func() {
		defer close(released)
		_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(p.pid), 0, 0, 0, 0)
		if errno != 0 {
			traced <- errno
			return
		}
		traced <- nil
		<-release // what was seized is let go of when its tracer, the thread, ends
	})
	if err := <-traced; err != nil {
		t.Fatal(err)
	}
	return func() {
		close(release)
		<-released
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for start := time.Now(); field(t, fmt.Sprintf("/proc/%d/status", p.pid), "TracerPid") != "0"; <-tick.C {
			if time.Since(start) > limit {
				t.Fatal("it is still traced")
			}
		}
	}
}

// Names that hold what a terminal or a browser would obey are shown and not obeyed.
func TestAuditHostileNames(t *testing.T) {
	m := newMirror(t)
	const hostile = "/<script>alert(1)<\x1b[31m\n\u202e"
	for _, p := range []*string{&m.src, &m.dst} {
		*p += hostile
		if err := os.MkdirAll(*p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, m.src+"/f", "x")
	m.start().ready()
	page := filepath.Join(t.TempDir(), "page.html")
	out, code := audit(t, "--html", page, "--runtime-dir", m.run)
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 || observe.Controls(strings.ReplaceAll(out, "\n", "")) > 0 || !strings.Contains(out, `<script>alert(1)<\x1b[31m\x0a\xe2\x80\xae`) {
		t.Errorf("code %d: %q", code, out)
	}
	if bytes.Contains(html, []byte("<script")) || bytes.ContainsAny(html, "\x1b\u202e") || !bytes.Contains(html, []byte("&lt;script&gt;alert(1)&lt;")) ||
		bytes.Contains(html, []byte("src=")) || bytes.Contains(html, []byte("url(")) {
		t.Errorf("the page is\n%s", html)
	}
	if info, err := os.Stat(page); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	m.stop()
}

// The runner of a hook, and the hook, are as declared while it runs.
func TestAuditHook(t *testing.T) {
	m := newMirror(t)
	fifo := m.src + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	m.start("--hooks-pre-exit", hookScript(t, "#!/bin/sh\nread -r line <"+fifo+"\n")).ready()
	m.signal(unix.SIGQUIT)
	m.awaitProc("the hook", func(p proc) bool { return p.role == "sh" })
	a := clean(t, m.run, map[string]int{"supervisor": 1, "helper": 1, "worker": 1, "runner": 2, "unknown": 0})
	if a.roles()["command"] == 0 {
		t.Errorf("the hook was not seen: %v", a.roles())
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Error(err)
	}
	m.await(0, "the end of the hook", limit, says("has ended"))
	if code := m.wait(limit); code != 0 {
		t.Errorf("code %d", code)
	}
}

// A handler without a target, with the host's network and files beside, is as declared
// while it waits to be told more.
func TestAuditHandlerWithNetwork(t *testing.T) {
	m := untargeted(t, "shell", "#!/bin/sh\ncat \"$3\"\n")
	key := t.TempDir() + "/key"
	write(t, key, "x")
	write(t, m.src+"/f", "x")
	m.start("--network", "--handler-reads", key)
	m.await(0, "readiness", limit, m.isReady)
	clean(t, m.run, map[string]int{"supervisor": 1, "helper": 1, "worker": 1, "runner": 1, "unknown": 0})
	m.stop()
}

// A watch is as declared; and what is no process of a role is told.
func TestAuditWatch(t *testing.T) {
	s := newSpy(t)
	write(t, s.src+"/f", "x")
	s.sync(1)
	helper := s.the("lockstep-helper")
	find := func() (run string) {
		out, _ := audit(t, "--json")
		var all audited
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, in := range all.Instances {
			for _, p := range in.Processes {
				if p.PID == helper.pid {
					run = in.RuntimeDir
				}
			}
		}
		return run
	}
	run := find()
	clean(t, run, map[string]int{"supervisor": 1, "helper": 1, "worker": 1, "runner": 0})

	stranger := exec.Command("/bin/sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	groups := deviceGroups(t, helper.pid)
	for _, dir := range groups {
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(stranger.Process.Pid)), 0); err != nil {
			t.Error(err)
		}
	}
	a, code := auditOf(t, run)
	if err := errors.Join(stranger.Process.Kill(), ignore(stranger.Wait())); err != nil {
		t.Error(err)
	}
	got := strings.Join(a.deviating(stranger.Process.Pid), "\n  ")
	if code != 1 || !strings.Contains(got, "executable: it executes") || !strings.Contains(got, "seccomp: no system-call filter") || !strings.Contains(got, "mounts: mount / is") {
		t.Errorf("code %d:\n  %s", code, got)
	}
	clean(t, run, nil)
	s.stop()
}

// ignore is for the end of what was killed.
func ignore(error) error { return nil }
