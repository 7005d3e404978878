//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/testenv"
	"lockstep/test/churn"
)

// anyone is a uid and gid of nobody on this host, outside the range of workers.
const anyone = 60999

func asAnyone() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: anyone, Gid: anyone}}
}

// forUsers copies the programs beside a built lockstep to where anyone may run
// them, and nobody but root can exchange them.
func forUsers(t *testing.T, built string) string {
	t.Helper()
	dir := openDir(t, 0)
	for _, name := range []string{"lockstep", "lockstep-helper", "lockstep-worker", "lockstep-runner", "lockstep-resolver"} {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(built), name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "lockstep")
}

// openDir is a directory of uid's into which others may look.
func openDir(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lockstep-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // as t.TempDir does
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, uid, uid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// userSpy watches a directory without root.
func userSpy(t *testing.T, dir string, flags ...string) *spy {
	t.Helper()
	testenv.NeedRoot(t) // to be anyone
	return spyAs(t, asAnyone(), forUsers(t, program(t, "lockstep")), dir, append([]string{"watch", "--format", "json"}, flags...)...)
}

// Without root each process is held by what it can do to itself, and says so.
func TestWatchAsUserIsConfined(t *testing.T) {
	for _, monitor := range []string{"inotify", "dnotify"} {
		t.Run(monitor, func(t *testing.T) {
			s := userSpy(t, openDir(t, anyone), "--stats", "--monitor", monitor)
			write(t, s.src+"/f", "x")
			s.sync(1)
			most := map[string]map[string]int{
				"lockstep-helper": {"socket": 2, "anon_inode:inotify": 1, s.src: 1, "memfd": 1, "pipe": 2},
				"lockstep-worker": {"socket": 2, "anon_inode:inotify": 1, "pipe": 3},
			}
			if monitor == "dnotify" {
				most["lockstep-worker"]["socket"] = 3
				most["lockstep-resolver"] = map[string]int{"socket": 1, "anon_inode:[signalfd]": 1, s.src: 2, s.src + "/.sync-1": 1, "pipe": 2}
			}
			for role, fds := range most {
				heldAsUser(t, s.the(role), fds)
			}
			if all := family(s.cmd.Process.Pid); len(all) != len(most) {
				t.Errorf("there are other processes: %+v", all)
			}
			s.await(0, "what holds", limit, says("started without root"))
			s.stop()
			last := s.lines[len(s.lines)-1]
			for _, want := range []string{`"op":"stats"`, `"profile":"user"`, `"guards":"seccomp,landlock,`, `"need_root":"own_uid,empty_root,namespaces,no_devices,control_group"`} {
				if !strings.Contains(last, want) {
					t.Errorf("the numbers lack %s: %s", want, last)
				}
			}
		})
	}
}

// heldAsUser looks at every thread of a confined process.
func heldAsUser(t *testing.T, p proc, fds map[string]int) {
	t.Helper()
	ids := strings.Repeat(fmt.Sprintf("%d\t", anyone), 4)
	want := map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "Uid": strings.TrimSpace(ids), "Gid": strings.TrimSpace(ids), "Groups": ""}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		want[set] = "0000000000000000"
	}
	for _, path := range tasks(t, p.pid) {
		for name, value := range want {
			if got := field(t, path, name); got != value {
				t.Errorf("%s: %s: %s is %q, want %q", p.role, path, name, got, value)
			}
		}
	}
	dir := fmt.Sprintf("/proc/%d", p.pid)
	info, err := os.Stat(dir + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	if info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("%s is dumpable", p.role)
	}
	if exe, err := os.Readlink(dir + "/exe"); err != nil || !strings.Contains(exe, "memfd:") {
		t.Errorf("%s runs %q (%v), not a sealed image", p.role, exe, err)
	}
	if text, err := os.ReadFile(dir + "/environ"); err != nil || bytes.Contains(text, []byte("PATH=")) || bytes.Contains(text, []byte("HOME=")) {
		t.Errorf("%s: environment %q (%v)", p.role, text, err)
	}
	for kind, n := range descriptors(t, p.pid) {
		runtime := kind == "/dev/null" || strings.HasPrefix(kind, "anon_inode:[event")
		if !runtime && n > fds[kind] {
			t.Errorf("%s holds %d × %s, at most %d", p.role, n, kind, fds[kind])
		}
	}
	for line, want := range map[string]string{"Max core file size": "0", "Max locked memory": "0", "Max msgqueue size": "0"} {
		limits, err := os.ReadFile(dir + "/limits")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(limits), line)
		if f := strings.Fields(rest); len(f) < 2 || f[0] != want || f[1] != want {
			t.Errorf("%s: %s: %q", p.role, line, f[:min(len(f), 2)])
		}
	}
}

// A directory that its user may not list is told, and counted, and watched as
// soon as he may.
func TestWatchAsUserUnreadable(t *testing.T) {
	beside(t)
	for _, monitor := range []string{"inotify", "poll", "dnotify"} {
		t.Run(monitor, func(t *testing.T) {
			dir := openDir(t, anyone)
			mkdir(t, dir+"/open", dir+"/shut", dir+"/shut/below", dir+"/dark")
			write(t, dir+"/dark/in", "x")
			for path, mode := range map[string]os.FileMode{"/shut": 0o700, "/dark": 0o744} { // of root; dark can be listed, not entered
				if err := os.Chmod(dir+path, mode); err != nil {
					t.Fatal(err)
				}
			}
			s := userSpy(t, dir, "--stats", "--monitor", monitor, "--poll-every", "200ms")
			s.await(0, "the first", limit, says("cannot watch or list shut: permission denied"))
			s.await(0, "the second", limit, says("cannot watch or list dark: permission denied"))
			s.await(0, "how many", limit, says("ready, but 2 directories are not watched"))
			write(t, dir+"/open/f", "x")
			s.until("a change elsewhere", hasOp("create"))
			s.signal(syscall.SIGUSR1)
			s.until("the numbers", func(l []string) bool { return strings.Contains(strings.Join(l, "\n"), `"unwatched":2`) })
			if err := errors.Join(os.Chmod(dir+"/shut", 0o755), os.Chmod(dir+"/dark", 0o755)); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"shut", "dark"} {
				s.until("a rescan of "+name, func(l []string) bool {
					return strings.Contains(strings.Join(l, "\n"), `"op":"rescan","type":"dir","path":"`+name+`","cause":"it is watched again"`)
				})
			}
			write(t, dir+"/shut/below/g", "x")
			s.until("a change below it", func(l []string) bool {
				return strings.Contains(strings.Join(l, "\n"), `"path":"shut/below/g"`)
			})
			s.stop()
			if last := s.lines[len(s.lines)-1]; !strings.Contains(last, `"unwatched":0`) {
				t.Errorf("the last numbers: %s", last)
			}
		})
	}
}

// A tree of another user is watched as far as it may be read.
func TestWatchAsUserTreeOfAnother(t *testing.T) {
	dir := openDir(t, 0)
	mkdir(t, dir+"/a")
	s := userSpy(t, dir)
	write(t, dir+"/a/f", "x")
	rename(t, dir+"/a/f", dir+"/g")
	for _, want := range []string{"create", "move"} {
		s.until(want, hasOp(want))
	}
	s.stop()
}

// Who applies the lines has the names, without root as well.
func TestWatchAsUserChurn(t *testing.T) {
	watchChurn(t, "inotify", func() *spy { return userSpy(t, openDir(t, anyone)) })
}

// A worker or helper that is killed is there again, one that is stopped does not
// outlive the supervisor, and Ctrl-C ends all.
func TestWatchAsUserKills(t *testing.T) {
	s := userSpy(t, openDir(t, anyone))
	for _, role := range []string{"lockstep-worker", "lockstep-helper"} {
		before := len(s.until("", func([]string) bool { return true }))
		if err := syscall.Kill(s.the(role).pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		lines := s.until("a rescan", func(l []string) bool { return hasOp("rescan")(l[before:]) })
		write(t, s.src+"/"+role, "x")
		s.until("a change after it", func(l []string) bool { return hasOp("create")(l[len(lines):]) })
	}
	s.seen.look(s.cmd.Process.Pid)
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil { // the terminal's group
		t.Fatal(err)
	}
	if code := s.wait(limit); code != 0 {
		t.Errorf("exit code %d after SIGINT", code)
	}
	s.nothingLeft()

	s = userSpy(t, openDir(t, anyone))
	s.seen.look(s.cmd.Process.Pid)
	for _, p := range family(s.cmd.Process.Pid) {
		if err := syscall.Kill(p.pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	s.signal(syscall.SIGKILL)
	s.wait(limit)
	s.sweepWait()
	s.nothingLeft()
}

// The prompt needs no root.
func TestWatchAsUserPrompt(t *testing.T) {
	testenv.NeedRoot(t)
	dir, other := openDir(t, anyone), openDir(t, anyone)
	mkdir(t, dir+"/a", other+"/c")
	file := filepath.Join(other, "list")
	out, code := asUser(t, forUsers(t, program(t, "lockstep")), strings.Join([]string{"list", "verify", "add " + other, "rebuild", "write " + file, "add /root", "quit"}, "\n")+"\n", asAnyone(), "--interactive", dir)
	list, err := os.ReadFile(file)
	if err != nil || code != 0 {
		t.Errorf("code %d, %v", code, err)
	}
	for _, want := range []string{"ready\n", dir + "/a\n", " verified=1 stale=0 missing=0 "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if !strings.Contains(string(list), other+"/c\n") {
		t.Errorf("the list is %s", list)
	}
}

// asUser runs a watch to its end.
func asUser(t *testing.T, program, input string, attr *syscall.SysProcAttr, words ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"watch"}, words...)...)
	cmd.SysProcAttr, cmd.Stdin = attr, strings.NewReader(input)
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// What cannot be had without root, and rights that are neither root's nor
// nobody's, are refused with a reason.
func TestWatchAsUserRefuses(t *testing.T) {
	testenv.NeedRoot(t)
	dir := openDir(t, anyone)
	good := forUsers(t, program(t, "lockstep"))
	setuid := forUsers(t, program(t, "lockstep"))
	theirs := forUsers(t, program(t, "lockstep"))
	written := forUsers(t, program(t, "lockstep"))
	err := errors.Join(os.Chmod(setuid, 0o755|os.ModeSetuid), os.Chown(filepath.Join(filepath.Dir(theirs), "lockstep-helper"), anyone+1, anyone+1),
		os.Chmod(filepath.Join(filepath.Dir(written), "lockstep-worker"), 0o777), os.Mkdir(dir+"/shut", 0o700))
	if err != nil {
		t.Fatal(err)
	}
	ambient := asAnyone()
	const dacReadSearch = 2
	ambient.AmbientCaps = []uintptr{dacReadSearch}
	for name, c := range map[string]struct {
		program string
		attr    *syscall.SysProcAttr
		words   []string
		want    string
	}{
		"fanotify":        {good, asAnyone(), []string{"--monitor", "fanotify", dir}, "--monitor fanotify: it needs root"},
		"unreadable":      {good, asAnyone(), []string{dir + "/shut"}, "cannot be listed: permission denied"},
		"setuid":          {setuid, asAnyone(), []string{dir}, "started with another's rights"},
		"capabilities":    {good, ambient, []string{dir}, "started with capabilities (0x4)"},
		"another's":       {theirs, asAnyone(), []string{dir}, fmt.Sprintf("lockstep-helper belongs to uid %d", anyone+1)},
		"others write it": {written, asAnyone(), []string{dir}, "lockstep-worker can be written by others"},
	} {
		out, code := asUser(t, c.program, "", c.attr, c.words...)
		if code != 2 || !strings.Contains(out, c.want) {
			t.Errorf("%s: code %d, want 2 and %q:\n%s", name, code, c.want, out)
		}
	}
}

// A user who has all event queues that he may have is told what to set, and changes
// are found without.
func TestWatchAsUserQueues(t *testing.T) {
	testenv.NeedRoot(t)
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || most > 1000 {
		testenv.Lacks(t, fmt.Sprintf("%d event queues a user are too many to be taken (%v)", most, err))
	}
	// The limit is not lowered: it is that of all users of this host. A thread that
	// is the user takes all of them, and ends.
	var queues []int
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, anyone, anyone, anyone); e != 0 {
			done <- e
			return
		}
		for {
			fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
			if err != nil {
				done <- nil
				return
			}
			queues = append(queues, fd)
		}
	}()
	err = <-done
	defer func() {
		for _, fd := range queues {
			_ = syscall.Close(fd) // the test's end would do it
		}
	}()
	if err != nil || len(queues) != most {
		t.Fatalf("%d of %d queues: %v", len(queues), most, err)
	}
	out, code := asUser(t, forUsers(t, program(t, "lockstep")), "", asAnyone(), "--monitor", "inotify", openDir(t, anyone))
	if want := fmt.Sprintf("set sysctl fs.inotify.max_user_instances to at least %d", most+1); code != 1 || !strings.Contains(out, want) {
		t.Errorf("code %d, want 1 and %q:\n%s", code, want, out)
	}
	// Where nobody has asked for inotify, listings are compared instead.
	dir := openDir(t, anyone)
	s := userSpy(t, dir)
	s.await(0, "the reason", limit, says("the kernel has no event queue left"))
	s.await(0, "the monitor", limit, says("changes are heard of by poll"))
	write(t, dir+"/new", "x")
	s.untilLine(1, "a change", func(l line) bool { return l.Op == "create" && l.Path == "new" })
	s.stop()
}

// A user who has no more watches is told so.
func TestWatchAsUserLimits(t *testing.T) {
	testenv.NeedRoot(t)
	dir := openDir(t, anyone)
	if err := churn.Burst(dir, 1, 60, 60); err != nil {
		t.Fatal(err)
	}
	sysctl(t, "fs.inotify.max_user_watches", "20")
	s := userSpy(t, dir)
	s.await(0, "advice", limit, says("Set sysctl fs.inotify.max_user_watches to at least"))
	s.stop()
}

// Files that an unprivileged user may open are more than enough for a helper, and
// a lower limit of his is not raised.
func TestWatchAsUserLowLimit(t *testing.T) {
	testenv.NeedRoot(t)
	dir := openDir(t, anyone)
	program := forUsers(t, program(t, "lockstep"))
	s := spyAs(t, asAnyone(), "/bin/sh", dir, "-c", `ulimit -n 200; exec "$0" "$@"`, program, "watch", "--format", "json")
	text, err := os.ReadFile("/proc/" + strconv.Itoa(s.the("lockstep-helper").pid) + "/limits")
	if err != nil || !strings.Contains(string(text), "Max open files            200                  200") {
		t.Errorf("%v\n%s", err, text)
	}
	s.sync(1)
	s.stop()
}
