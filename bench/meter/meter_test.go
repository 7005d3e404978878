package meter

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/internal/testenv"
)

const hybrid = `30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`

func TestCgroupMount(t *testing.T) {
	for controller, want := range map[string]string{"cpuacct": "/sys/fs/cgroup/cpu,cpuacct", "": "/sys/fs/cgroup/unified", "pids": ""} {
		if got := cgroupMount(hybrid, controller); got != want {
			t.Errorf("%q is mounted at %q, want %q", controller, got, want)
		}
	}
	const groups = "4:cpu,cpuacct:/a/b\n0::/c\n"
	for controller, want := range map[string]string{"cpuacct": "/a/b", "": "/c", "pids": "/"} {
		if got := ownGroup(groups, controller); got != want {
			t.Errorf("the group of %q is %q, want %q", controller, got, want)
		}
	}
}

func TestParseStat(t *testing.T) {
	const line = "42 (a) b) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 9 9 20 0 1 0 12345 1 1"
	got, ok := parseStat(line)
	want := Proc{PID: 42, PPID: 7, Start: "12345", CPU: 2 * time.Second}
	if !ok || got != want {
		t.Errorf("%+v (%v), want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "42 (a", "42 (a) Z 7 42 42 0 -1 4194304 1 2 3 4 150 50 9 9 20 0 1 0 12345 1 1"} {
		if p, ok := parseStat(bad); ok {
			t.Errorf("%q is %+v", bad, p)
		}
	}
}

func TestLongLived(t *testing.T) {
	before := []Proc{{PID: 1, Start: "a", CPU: 5}, {PID: 2, Start: "b", CPU: 100}, {PID: 3, Start: "c", CPU: 1}}
	after := []Proc{{PID: 1, Start: "a", CPU: 8}, {PID: 2, Start: "z", CPU: 400}, {PID: 4, Start: "d", CPU: 50}}
	if got := LongLived(before, after); got != 3 {
		t.Errorf("%v, want 3: another process that has the id of one that ended does not count", got)
	}
}

func TestField(t *testing.T) {
	const text = "Rss:  12 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t9\n"
	if field(text, "Rss") != 12 || field(text, "voluntary_ctxt_switches") != 7 || field(text, "none") != 0 {
		t.Error("fields are not what stands there")
	}
}

func TestOwnMemoryAndSwitches(t *testing.T) {
	m, err := MemoryOf(os.Getpid())
	if err != nil || m.Procs < 1 || m.RSS < 1<<20 || m.PSS > m.RSS {
		t.Errorf("%+v, %v", m, err)
	}
	if len(Switches(os.Getpid())) < 1 {
		t.Error("no process of ours")
	}
}

// burn uses about a tenth of a second of CPU in a child that ends.
const burn = `i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done`

// What a child used counts in its group after it has ended, in both versions.
func TestGroupCountsWhatHasEnded(t *testing.T) {
	testenv.NeedRoot(t)
	found, err := FindHierarchy()
	if err != nil {
		testenv.Lacks(t, err.Error())
	}
	all := []*Hierarchy{found}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil && found.v1 {
		if top := cgroupMount(string(mounts), ""); top != "" {
			all = append(all, &Hierarchy{top: top, base: filepath.Join(top, groupName)})
		}
	}
	for _, h := range all {
		g, err := h.Group(fmt.Sprintf("%d-counts", os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sh", "-c", "("+burn+"); exit 0")
		runIn(t, g, cmd)
		cpu, err := g.CPU()
		used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if err != nil || cpu < used/2 || cpu > 2*used+20*time.Millisecond {
			t.Errorf("v1 %v: the group has used %v, the process %v: %v", h.v1, cpu, used, err)
		}
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(g.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", g.dir, err)
		}
	}
}

func runIn(t *testing.T, g *Group, cmd *exec.Cmd) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if fd := g.FD(); fd >= 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		return
	}
	leave, err := g.Enter()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Start()
	if err := errors.Join(err, leave()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Remove ends what is left in a group.
func TestRemoveKills(t *testing.T) {
	testenv.NeedRoot(t)
	h, err := FindHierarchy()
	if err != nil {
		testenv.Lacks(t, err.Error())
	}
	g, err := h.Group(fmt.Sprintf("%d-kill", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "sleep 600 & echo; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if fd := g.FD(); fd >= 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
			err = cmd.Start()
			return
		}
		leave, err2 := g.Enter()
		if err2 != nil {
			err = err2
			return
		}
		err = errors.Join(cmd.Start(), leave())
	}()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
}

func TestSysctlIsRestored(t *testing.T) {
	testenv.NeedRoot(t)
	const name = "fs.inotify.max_user_instances" // a value above it disturbs nobody
	s := NewSysctls(filepath.Join(t.TempDir(), "lock"))
	before := Sysctl(name)
	restore, err := s.Set(t.Context(), name, before+1)
	if err != nil {
		testenv.Lacks(t, err.Error())
	}
	if got := Sysctl(name); got != before+1 {
		t.Errorf("%d, want %d", got, before+1)
	}
	if err := restore(); err != nil || Sysctl(name) != before {
		t.Errorf("not restored: %d, was %d: %v", Sysctl(name), before, err)
	}
	var st unix.Utsname
	if err := unix.Uname(&st); err != nil || ThisMachine("/").Kernel == "" {
		t.Error("the kernel has no name")
	}
}
