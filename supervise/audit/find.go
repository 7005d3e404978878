package audit

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/internal/mountinfo"
	"lockstep/rootid"
	"lockstep/supervise/audit/facts"
	"lockstep/supervise/audit/judge"
)

// found is an instance.
type found struct {
	name       string // of its group: mirror-KEY
	supervisor int
	runtime    string // its runtime directory
	hierarchy  []judge.Hierarchy
}

// groupOf is the name of the instance in whose groups a process is; "": none.
func groupOf(p facts.Process) string {
	for _, g := range p.Groups {
		dir, name := path.Split(path.Dir(g.Path))
		if path.Base(dir) == "lockstep" && strings.HasPrefix(name, "mirror-") {
			return name
		}
	}
	return ""
}

// find finds the instances: by their groups, and by the locks on runtime
// directories, which are held where there are no groups, or nothing runs in them.
// Both name the supervisor: as the parent of what is in the groups, and as the
// holder of the lock, whose directory has to be the one after which the group is
// called.
func (a *auditor) find(s snapshot) ([]found, error) {
	holders, err := held()
	if err != nil {
		return nil, err
	}
	byPID := map[int]found{}
	for _, pid := range holders {
		d, known := s.dirs[pid]
		if !known {
			continue
		}
		if dir := runtimeDir(d); dir != "" {
			byPID[pid] = found{name: "mirror-" + rootid.Key(dir, ""), supervisor: pid, runtime: dir}
		}
	}
	names := map[string]bool{}
	for _, f := range byPID {
		names[f.name] = true
	}
	for _, pid := range slices.Sorted(maps.Keys(s.procs)) {
		p := s.procs[pid]
		name := groupOf(p)
		if name == "" || names[name] {
			continue
		}
		names[name] = true
		// Nobody holds its lock: whoever started it is what is looked at.
		byPID[p.PPID] = found{name: name, supervisor: p.PPID}
	}
	var all []found
	for _, pid := range slices.Sorted(maps.Keys(byPID)) {
		f := byPID[pid]
		if f.hierarchy, err = hierarchies(f.name, s.procs[pid]); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// held are the processes that hold a lock of flock(2), by the kernel's table.
func held() ([]int, error) {
	f, err := os.Open(filepath.Join(proc, "locks"))
	if err != nil {
		return nil, fmt.Errorf("the table of locks: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, 64<<20))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("the table of locks: %w", err)
	}
	return parseLocks(string(text)), nil
}

// parseLocks parses /proc/locks (proc_locks(5)): "1: FLOCK ADVISORY WRITE 123
// 00:1b:456 0 EOF". A line of who waits has an arrow.
func parseLocks(text string) []int {
	var all []int
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[3] != "WRITE" {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 && !slices.Contains(all, pid) {
			all = append(all, pid)
		}
	}
	return all
}

// locked says that a process holds a lock by this descriptor.
func locked(d facts.Dir, name string) bool {
	lines, err := d.Info(name)
	return err == nil && slices.ContainsFunc(lines, func(line string) bool {
		rest, is := strings.CutPrefix(line, "lock:")
		return is && len(parseLocks(rest)) > 0
	})
}

// runtimeDir is the runtime directory that a process has locked: a file "lock" of
// root's that holds its number, as host.LockRuntime makes it.
func runtimeDir(d facts.Dir) string {
	dir := ""
	_ = d.EachFD(func(name, to string) {
		if dir != "" || path.Base(to) != "lock" || !strings.HasPrefix(to, "/") || !locked(d, name) {
			return
		}
		f, err := d.Held("fd/" + name)
		if err != nil {
			return
		}
		defer f.Close()
		var st unix.Stat_t
		text := make([]byte, 32)
		n, _ := f.ReadAt(text, 0)
		if unix.Fstat(int(f.Fd()), &st) == nil && st.Uid == 0 && st.Mode&0o022 == 0 && strings.TrimSpace(string(text[:n])) == strconv.Itoa(d.PID) {
			dir = path.Dir(to)
		}
	})
	return dir
}

// hierarchies are those in which an instance has a group. With systemd it is below
// the supervisor's own, where that was delegated.
func hierarchies(name string, supervisor facts.Process) ([]judge.Hierarchy, error) {
	table, err := mountinfo.Read()
	if err != nil {
		return nil, err
	}
	var all []judge.Hierarchy
	for _, g := range supervisor.Groups {
		for _, m := range table {
			if !isHierarchy(m, g.Controllers) {
				continue
			}
			own := strings.TrimPrefix(strings.TrimSuffix(g.Path, "/lockstep-supervisor"), strings.TrimSuffix(m.Root, "/"))
			bases := []string{filepath.Join(m.Point, own), m.Point}
			at := slices.IndexFunc(bases, func(base string) bool {
				info, err := os.Lstat(filepath.Join(base, "lockstep", name))
				return err == nil && info.IsDir()
			})
			if at >= 0 {
				all = append(all, judge.Hierarchy{Controllers: g.Controllers, Dir: filepath.Join(bases[at], "lockstep", name)})
				break
			}
		}
	}
	return all, nil
}

func isHierarchy(m mountinfo.Mount, controllers string) bool {
	if controllers == "" {
		return m.Type == "cgroup2"
	}
	first, _, _ := strings.Cut(controllers, ",")
	return m.Type == "cgroup" && slices.Contains(m.Options, first)
}

// uidDir is the registry of uids: one for the whole host.
const uidDir = "/run/lockstep/uids"

// leases are the uids whose files a supervisor has locked.
func leases(d facts.Dir) []int {
	var all []int
	_ = d.EachFD(func(name, to string) {
		uid, err := strconv.Atoi(path.Base(to))
		if err == nil && path.Dir(to) == uidDir && locked(d, name) {
			all = append(all, uid)
		}
	})
	slices.Sort(all)
	return all
}
