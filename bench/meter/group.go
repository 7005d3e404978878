// Package meter measures processes from outside: CPU by control group, memory
// and context switches by /proc, and what the machine is.
//
// Trust: linked into the benchmark only; runs as root.
//
// Invariants: CPU of a group counts every process that was ever in it, also
// those that ended before it was read; what is set on the machine is restored
// by the function that the setter returns.
package meter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// groupName is the directory of all our control groups.
const groupName = "lockstep-bench"

// Hierarchy is where CPU is accounted on this machine: the v1 controller
// cpuacct where it is mounted, else cgroup v2, whose cpu.stat every group has.
type Hierarchy struct {
	v1   bool
	base string // the directory that holds our groups
	home string // v1: the group that this process is in
	top  string // the mount point
}

// FindHierarchy looks at what is mounted.
func FindHierarchy() (*Hierarchy, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	if top := cgroupMount(string(mounts), "cpuacct"); top != "" {
		return &Hierarchy{v1: true, top: top, base: filepath.Join(top, groupName), home: filepath.Join(top, ownGroup(string(own), "cpuacct"))}, nil
	}
	if top := cgroupMount(string(mounts), ""); top != "" {
		return &Hierarchy{top: top, base: filepath.Join(top, groupName)}, nil
	}
	return nil, errors.New("no control group accounts CPU here: neither cpuacct nor cgroup v2 is mounted; mount one of them")
}

// cgroupMount finds in mountinfo where a v1 controller ("" for v2) is mounted.
func cgroupMount(mountinfo, controller string) string {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		b, a := strings.Fields(before), strings.Fields(after)
		if len(b) < 5 || len(a) < 3 {
			continue
		}
		if controller == "" && a[0] == "cgroup2" || controller != "" && a[0] == "cgroup" && slices.Contains(strings.Split(a[2], ","), controller) {
			return b[4]
		}
	}
	return ""
}

// ownGroup finds in /proc/PID/cgroup the path in a v1 controller's hierarchy
// ("" for v2).
func ownGroup(text, controller string) string {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && (controller == "" && f[1] == "" || controller != "" && slices.Contains(strings.Split(f[1], ","), controller)) {
			return f[2]
		}
	}
	return "/"
}

// Group is one daemon's.
type Group struct {
	h     *Hierarchy
	dir   string
	v2    *os.File        // v2: for CLONE_INTO_CGROUP
	extra map[string]bool // v2: groups that its processes made for themselves
}

// Group makes a control group. A name that is in use is an error: the last run
// was killed, and its processes may still be there.
func (h *Hierarchy) Group(name string) (*Group, error) {
	if err := os.Mkdir(h.base, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	g := &Group{h: h, dir: filepath.Join(h.base, name), extra: map[string]bool{}}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("control group: %w (left by a killed run? end its processes and remove it with rmdir)", err)
	}
	if !h.v1 {
		f, err := os.Open(g.dir)
		if err != nil {
			return nil, err
		}
		g.v2 = f
	}
	return g, nil
}

// FD is for CLONE_INTO_CGROUP; -1 where Enter has to be used instead.
func (g *Group) FD() int {
	if g.v2 == nil {
		return -1
	}
	return int(g.v2.Fd())
}

// Enter moves the calling thread, which must be locked, into the group, so that
// its next child is born there. v1 only; the function that is returned moves it
// back.
func (g *Group) Enter() (leave func() error, err error) {
	tid := []byte(strconv.Itoa(unix.Gettid()))
	if err := os.WriteFile(filepath.Join(g.dir, "tasks"), tid, 0); err != nil {
		return nil, err
	}
	return func() error { return os.WriteFile(filepath.Join(g.h.home, "tasks"), tid, 0) }, nil
}

// CPU is what all processes of the group have used.
func (g *Group) CPU() (time.Duration, error) {
	if g.h.v1 {
		text, err := os.ReadFile(filepath.Join(g.dir, "cpuacct.usage"))
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return time.Duration(ns), err
	}
	sum, err := statUsage(g.dir)
	if err != nil {
		return 0, err
	}
	for dir := range g.extra {
		if d, err := statUsage(dir); err == nil {
			sum += d
		}
	}
	return sum, nil
}

// Adopt looks for groups that descendants of pid have entered outside of this
// one: a daemon that makes groups of its own leaves ours in v2. CPU counts the
// directory above theirs, which outlives them.
func (g *Group) Adopt(pid int) {
	if g.h.v1 {
		return // cpuacct is nobody's but ours
	}
	for _, p := range Family(pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID))
		if err != nil {
			continue
		}
		dir := filepath.Join(g.h.top, ownGroup(string(text), ""))
		if dir != g.dir && !strings.HasPrefix(dir, g.dir+"/") {
			g.extra[filepath.Dir(dir)] = true
		}
	}
}

func statUsage(dir string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return time.Duration(us) * time.Microsecond, err
		}
	}
	return 0, fmt.Errorf("%s/cpu.stat has no usage_usec", dir)
}

// pids are the processes that are in the group now.
func (g *Group) pids() []int {
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for f := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(f); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// Remove kills what is left in the group and removes it.
func (g *Group) Remove() error {
	if g.v2 != nil {
		defer g.v2.Close()
	}
	var err error
	for range 500 {
		for _, pid := range g.pids() {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended by itself
		}
		if err = unix.Rmdir(g.dir); err == nil || errors.Is(err, unix.ENOENT) {
			_ = unix.Rmdir(g.h.base) // the last group's
			return nil
		}
		time.Sleep(10 * time.Millisecond) // a v1 group tells nobody that it is empty
	}
	return fmt.Errorf("control group %s: %w", g.dir, err)
}
