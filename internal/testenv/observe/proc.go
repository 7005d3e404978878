package observe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Proc is one process as /proc shows it.
type Proc struct {
	PID, PPID int
	Start     string // start time in ticks: with PID, who it is
	Role      string // first word of its command line, without folder
}

// Procs lists every process of the machine that has not ended.
func Procs() []Proc {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var all []Proc
	for _, dir := range names {
		if p, ok := read(dir); ok {
			all = append(all, p)
		}
	}
	return all
}

func read(dir string) (p Proc, ok bool) {
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return p, false // it has ended
	}
	// The name in parentheses may hold anything.
	i := strings.LastIndexByte(string(stat), ')')
	if i < 0 {
		return p, false
	}
	f := strings.Fields(string(stat[i+1:]))
	if len(f) < 20 || f[0] == "Z" {
		return p, false
	}
	p.PID, _ = strconv.Atoi(filepath.Base(dir))
	p.PPID, _ = strconv.Atoi(f[1])
	p.Start = f[19]
	if cmd, err := os.ReadFile(dir + "/cmdline"); err == nil {
		first, _, _ := strings.Cut(string(cmd), "\x00")
		p.Role = filepath.Base(first)
	}
	return p, true
}

// Alive says that the process is there, and no other one of its number.
func (p Proc) Alive() bool {
	now, ok := read(fmt.Sprint("/proc/", p.PID))
	return ok && now.Start == p.Start
}

// OfTrial says that the process is of the trial of rsync, which goes on beside
// the start of the others and has a runner and commands as they have.
func (p Proc) OfTrial() bool {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p.PID))
	return err == nil && strings.Contains(string(groups), "/trial.")
}

// Family lists what descends from pid, without pid itself.
func Family(pid int) []Proc {
	all := Procs()
	in := map[int]bool{pid: true}
	var out []Proc
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !in[p.PID] && in[p.PPID] {
				in[p.PID], grown = true, true
				out = append(out, p)
			}
		}
	}
	return out
}

// Cgroups are the directories of a process's groups, below every hierarchy that is
// mounted.
func Cgroups(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 {
			if at := Hierarchy(f[1]); at != "" {
				out = append(out, filepath.Join(at, f[2]))
			}
		}
	}
	return out
}

// Hierarchy is where a v1 controller ("" for v2) is mounted, else "".
func Hierarchy(controllers string) string {
	for _, line := range Mounts() {
		before, after, _ := strings.Cut(line, " - ")
		b, a := strings.Fields(before), strings.Fields(after)
		if len(b) < 5 || len(a) < 3 {
			continue
		}
		if controllers == "" && a[0] == "cgroup2" {
			return b[4]
		}
		if controllers != "" && a[0] == "cgroup" {
			opts := strings.Split(a[2], ",")
			first, _, _ := strings.Cut(controllers, ",")
			if slices.Contains(opts, first) {
				return b[4]
			}
		}
	}
	return ""
}

// Mounts are the lines of the mount table of this process.
func Mounts() []string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
