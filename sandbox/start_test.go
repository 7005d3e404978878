package sandbox

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

// TestDeathSignal: killing the supervisor's process ends the jailed one, also
// one that has changed its ids and is process 1 of its namespace.
func TestDeathSignal(t *testing.T) {
	testenv.NeedRoot(t)
	image, err := probePath()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "supervise", image)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	mustDo(t, err)
	mustDo(t, cmd.Start())
	lines := bufio.NewReader(out)
	pid := 0
	// The probe's report and the supervisor's line come in any order.
	for range 2 {
		line, err := lines.ReadString('\n')
		mustDo(t, err)
		if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
			pid = n
		} else if !strings.HasPrefix(line, "{") {
			t.Fatalf("unexpected line %q", line)
		}
	}
	mustDo(t, unix.Kill(pid, 0))
	mustDo(t, cmd.Process.Kill())
	_ = cmd.Wait() // "signal: killed"
	waitGone(t, pid)
}

// TestParentGone: a supervisor that died before the death signal was asked for
// is noticed.
func TestParentGone(t *testing.T) {
	j := newJail(t)
	cmd := exec.Command("true")
	mustDo(t, cmd.Start())
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	mustDo(t, err)
	mustDo(t, cmd.Wait())
	mustDo(t, j.launcher.parent.Close())
	j.launcher.parent = os.NewFile(uintptr(fd), "ended")
	if text := j.fails(workerSpec(), nil, 71); !strings.Contains(text, "death signal: the supervisor has ended") {
		t.Error(text)
	}
}

// TestSignalAndCode: Wait tells how a process ended, any number of times.
func TestSignalAndCode(t *testing.T) {
	j := newJail(t)
	r := j.start(workerSpec(), nil)
	mustDo(t, r.Kill())
	for range 2 {
		if code, sig, err := r.Wait(); code != -1 || sig != syscall.SIGKILL || err != nil {
			t.Errorf("ended with %d, %v, %v", code, sig, err)
		}
	}
	mustDo(t, r.Kill())
	fds := []unix.PollFd{{Fd: int32(r.PIDFD()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n != 1 || err != nil {
		t.Errorf("the pidfd is not readable: %d, %v", n, err)
	}
}

// TestStageOneFails: each step that fails ends with 71 and says which it was.
func TestStageOneFails(t *testing.T) {
	j := newJail(t)
	dir := realDir(t)
	mustDo(t, os.Symlink("/etc", filepath.Join(dir, "link")))
	mustDo(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	for step, change := range map[string]func(*Spec){
		"prove the device filter: /dev/null was opened": func(s *Spec) { s.DeviceProbe = ProbeNone },
		"prove the device filter: /dev/full was opened": func(s *Spec) { s.DeviceProbe = ProbeBasic },
		"no such file":           func(s *Spec) { s.Binds = []Bind{{Source: dir + "/none", Target: "/a"}} },
		"symbolic links":         func(s *Spec) { s.Binds = []Bind{{Source: dir + "/link/apt", Target: "/a"}} },
		"directory false":        func(s *Spec) { s.Binds = []Bind{{Source: dir + "/file", Target: "/a"}} },
		"directory true":         func(s *Spec) { s.Binds = []Bind{{Source: dir, Target: "/a", File: true}} },
		"fill the root: ":        func(s *Spec) { s.Files = []File{{Path: "/a"}, {Path: "/a"}} },
		"open: /none: no such":   func(s *Spec) { s.Opens = []Open{{Name: "none", Path: "/none"}} },
		"limit: resource 99":     func(s *Spec) { s.Rlimits = []Rlimit{{99, 1, 1}} },
		"landlock: rule for":     func(s *Spec) { s.Landlock = []Rule{{Path: "/none", Access: 4}} },
		"ids and capabilities: ": func(s *Spec) { s.Caps = 1<<64 - 1 },
		"mount point /a/b: no such": func(s *Spec) {
			s.Binds = []Bind{{Source: dir, Target: "/a"}, {Source: dir, Target: "/a/b"}}
		},
	} {
		spec := workerSpec()
		change(&spec)
		if text := j.fails(spec, nil, 71); !strings.Contains(text, step) {
			t.Errorf("want %q: %s", step, text)
		}
	}
}

// TestStageOneAlone: nobody but the supervisor can start stage one.
func TestStageOneAlone(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", StageOneArg, "worker")
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 71 || !strings.Contains(string(out), "LOCKSTEP_FDS is not set") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestSpecRefused: what cannot be meant is not started.
func TestSpecRefused(t *testing.T) {
	for why, change := range map[string]func(*Spec){
		"CLONE_NEWNS":    func(s *Spec) { s.Namespaces = unix.CLONE_NEWNET },
		"role":           func(s *Spec) { s.Argv = nil },
		"uid -1":         func(s *Spec) { s.UID = -1 },
		"gid 4294967296": func(s *Spec) { s.GID = 1 << 32 },
		"LOCKSTEP_FDS":   func(s *Spec) { s.Env = []string{"LOCKSTEP_FDS=x=1"} },
		"device probe":   func(s *Spec) { s.DeviceProbe = 9 },
		`"a" is not`:     func(s *Spec) { s.Dirs = []string{"a"} },
		`"/a/" is not`:   func(s *Spec) { s.Binds = []Bind{{Source: "/a/", Target: "/b"}} },
		`"/../a" is`:     func(s *Spec) { s.Files = []File{{Path: "/../a"}} },
		`"/a\x00" is`:    func(s *Spec) { s.Opens = []Open{{Name: "a", Path: "/a\x00"}} },
		"root itself":    func(s *Spec) { s.Binds = []Bind{{Source: "/a", Target: "/"}} },
		"no target":      func(s *Spec) { s.Links = []Link{{"/a", ""}} },
		"descriptor":     func(s *Spec) { s.Landlock = []Rule{{Path: "/", FD: 3}} },
		`"rule" is not`:  func(s *Spec) { s.Landlock = []Rule{{Path: "rule"}} },
	} {
		spec := workerSpec()
		change(&spec)
		if _, err := spec.encode(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("want %q: %v", why, err)
		}
	}
	for why, change := range map[string]func(*Spec){
		"take root":        func(s *Spec) { s.Namespaces = unix.CLONE_NEWNET },
		"capabilities":     func(s *Spec) { s.Caps = 1 },
		"devices":          func(s *Spec) { s.DeviceProbe = ProbeNone },
		"files":            func(s *Spec) { s.Binds = []Bind{{Source: "/a", Target: "/a"}} },
		"Landlock":         func(s *Spec) { s.AllowNoLandlock = true },
		"what is opened":   func(s *Spec) { s.Landlock = []Rule{{Path: "/", Access: 1}} },
		"grants":           func(s *Spec) { s.Unrestricted = unix.LANDLOCK_ACCESS_FS_READ_DIR },
		"whatever it is":   func(s *Spec) { s.Opens = []Open{{Name: "a", Path: "/a"}} },
		"is not an absolu": func(s *Spec) { s.Opens = []Open{{Name: "a", Path: "a", Ino: 1}} },
	} {
		spec := Spec{Role: "worker", Argv: []string{"probe"}, Unprivileged: true, UID: 1, GID: 1}
		change(&spec)
		if _, err := spec.encode(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("want %q: %v", why, err)
		}
	}
	good := workerSpec()
	good.Dirs = append(good.Dirs, "/not UTF-8: \xff")
	data, err := good.encode()
	mustDo(t, err)
	if back, err := decodeSpec(data); err != nil || !slices.Equal(back.Dirs, good.Dirs) {
		t.Errorf("%q came back as %+v, %v", good.Dirs, back, err)
	}
}

// TestNamesRefused: a donation cannot pass for stage one's own, nor twice.
func TestNamesRefused(t *testing.T) {
	j := newJail(t)
	for _, names := range [][]string{{"image"}, {"join0"}, {"a", "a"}, {"a=b"}, {"a,b"}, {""}} {
		var fds []Donation
		for _, name := range names {
			fds = append(fds, Donation{name, os.Stdin})
		}
		if p, err := j.launcher.Start(workerSpec(), j.probe, fds, os.Stderr, nil); err == nil {
			t.Errorf("%q was accepted", names)
			mustDo(t, p.Kill())
			_, _, err = p.Wait()
			mustDo(t, err)
		}
	}
}

// TestHostUntouched: the host's mounts and working directory are what they were.
func TestHostUntouched(t *testing.T) {
	j := newJail(t)
	before, err := os.ReadFile("/proc/self/mountinfo")
	mustDo(t, err)
	r := j.start(workerSpec(), nil)
	after, err := os.ReadFile("/proc/self/mountinfo")
	mustDo(t, err)
	if string(before) != string(after) {
		t.Errorf("mounts before:\n%s\nafter:\n%s", before, after)
	}
	mustDo(t, r.Kill())
}
