package meter

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticks a second in /proc/PID/stat: fixed in the ABI (USER_HZ).
const userHZ = 100

// Proc is one process.
type Proc struct {
	PID   int
	PPID  int
	Start string // in ticks: with PID, who it is
	Name  string // the first word of its command line, without folder
	CPU   time.Duration
}

// Family lists pid and all that descends from it.
func Family(pid int) []Proc {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var all []Proc
	for _, dir := range names {
		if p, ok := readProc(dir); ok {
			all = append(all, p)
		}
	}
	in := map[int]bool{}
	var out []Proc
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !in[p.PID] && (p.PID == pid || in[p.PPID]) {
				in[p.PID], grown = true, true
				out = append(out, p)
			}
		}
	}
	return out
}

func readProc(dir string) (Proc, bool) {
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Proc{}, false // it has ended
	}
	p, ok := parseStat(string(text))
	if !ok {
		return Proc{}, false
	}
	if cmd, err := os.ReadFile(dir + "/cmdline"); err == nil {
		first, _, _ := strings.Cut(string(cmd), "\x00")
		p.Name = filepath.Base(first)
	}
	return p, true
}

// parseStat reads /proc/PID/stat; false for a zombie.
func parseStat(text string) (Proc, bool) {
	i := strings.LastIndexByte(text, ')') // the name in parentheses may hold anything
	if i < 0 {
		return Proc{}, false
	}
	f := strings.Fields(text[i+1:])
	if len(f) < 20 || f[0] == "Z" {
		return Proc{}, false
	}
	first, _, _ := strings.Cut(text, " ")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return Proc{}, false
	}
	num := func(at int) int64 { n, _ := strconv.ParseInt(f[at], 10, 64); return n }
	return Proc{PID: pid, PPID: int(num(1)), Start: f[19], CPU: time.Duration(num(11)+num(12)) * time.Second / userHZ}, true
}

// LongLived sums the CPU that processes which are in both lists used between
// them: the daemon itself, without the commands it starts.
func LongLived(before, after []Proc) time.Duration {
	type id struct {
		pid   int
		start string
	}
	was := map[id]time.Duration{}
	for _, p := range before {
		was[id{p.PID, p.Start}] = p.CPU
	}
	var sum time.Duration
	for _, p := range after {
		if cpu, ok := was[id{p.PID, p.Start}]; ok {
			sum += p.CPU - cpu
		}
	}
	return sum
}

// Memory of processes, in bytes.
type Memory struct {
	RSS, PSS int64
	Procs    int
}

// MemoryOf sums over pid and its descendants.
func MemoryOf(pid int) (Memory, error) {
	var m Memory
	for _, p := range Family(pid) {
		if one, err := Own(p.PID); err == nil { // else it has ended
			m.RSS += one.RSS
			m.PSS += one.PSS
			m.Procs++
		}
	}
	if m.Procs == 0 {
		return m, fmt.Errorf("process %d has ended", pid)
	}
	return m, nil
}

// Own is the memory of one process.
func Own(pid int) (Memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	return Memory{field(string(text), "Rss") << 10, field(string(text), "Pss") << 10, 1}, err
}

// Slab is the kernel's memory for its own objects, in bytes.
type Slab struct{ Unreclaimable, Reclaimable int64 }

// SlabNow reads /proc/meminfo.
func SlabNow() (Slab, error) {
	text, err := os.ReadFile("/proc/meminfo")
	return Slab{field(string(text), "SUnreclaim") << 10, field(string(text), "SReclaimable") << 10}, err
}

// Switches are the voluntary context switches of pid and each of its
// descendants, all threads summed, by process name and id.
func Switches(pid int) map[string]int64 {
	out := map[string]int64{}
	for _, p := range Family(pid) {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.PID))
		if err != nil {
			continue
		}
		var n int64
		for _, t := range tasks {
			if text, err := os.ReadFile(t); err == nil {
				n += field(string(text), "voluntary_ctxt_switches")
			}
		}
		out[fmt.Sprintf("%s %d", p.Name, p.PID)] = n
	}
	return out
}

// field reads the number after "NAME:" at the beginning of a line; 0 when
// there is none.
func field(text, name string) int64 {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			if f := strings.Fields(v); len(f) > 0 {
				n, _ := strconv.ParseInt(f[0], 10, 64)
				return n
			}
		}
	}
	return 0
}
