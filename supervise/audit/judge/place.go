package judge

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lockstep/cgroup"
	"lockstep/internal/escape"
	"lockstep/internal/mountinfo"
	"lockstep/sandbox"
	"lockstep/supervise/audit/facts"
	"lockstep/supervise/audit/policy"
	"lockstep/supervise/jail"
)

// spaces are the namespaces, and the flag that asks for one of its own.
func spaces() map[string]uintptr {
	return map[string]uintptr{"mnt": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS,
		"cgroup": unix.CLONE_NEWCGROUP, "pid": unix.CLONE_NEWPID, "user": unix.CLONE_NEWUSER, "time": unix.CLONE_NEWTIME}
}

func namespaces(p facts.Process, is policy.Policy, a Around) Result {
	var own, shared, wrong []string
	all := spaces()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		have, theirs := p.Spaces[name], a.Supervisor.Spaces[name]
		switch {
		case theirs == "": // the kernel has none
		case is.Spec.Namespaces&all[name] == 0:
			if shared = append(shared, name); have != theirs {
				wrong = append(wrong, fmt.Sprintf("namespace %s is %s, declared: the supervisor's, %s", name, have, theirs))
			}
		default:
			own = append(own, name)
			if have == theirs {
				wrong = append(wrong, fmt.Sprintf("namespace %s is the supervisor's, declared: one of its own", name))
			} else if have == a.Own[name] {
				wrong = append(wrong, fmt.Sprintf("namespace %s is the host's, declared: one of its own", name))
			} else if other, shared := a.Taken[have]; shared && other != p.PID {
				wrong = append(wrong, fmt.Sprintf("namespace %s is that of process %d, declared: one of its own", name, other))
			}
		}
	}
	return result("own: "+strings.Join(own, " ")+"; the supervisor's: "+strings.Join(shared, " "), wrong...)
}

// commandNamespaces are its runner's.
func commandNamespaces(p facts.Process, _ policy.Policy, a Around) Result {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(p.Spaces)) {
		if have, want := p.Spaces[name], a.Runner.Spaces[name]; have != want {
			wrong = append(wrong, fmt.Sprintf("namespace %s is %s, declared: its runner's, %s", name, have, want))
		}
	}
	return result("its runner's", wrong...)
}

// commandMounts: in its runner's mount namespace there is nothing else; and
// another root is what it could not make.
func commandMounts(p facts.Process, is policy.Policy, a Around) Result {
	r := mounts(p, is, a)
	r.What = "its runner's"
	return r
}

// Where is the mount that shows a path, and what of its file system is there: as
// the kernel would name the root of a mount that was bound from it.
func Where(table []mountinfo.Mount, file string) (dev, root string, ok bool) {
	best := -1
	for i, m := range table {
		inside := m.Point == "/" || file == m.Point || strings.HasPrefix(file, m.Point+"/")
		if inside && (best < 0 || len(m.Point) >= len(table[best].Point)) {
			best = i
		}
	}
	if best < 0 {
		return "", "", false
	}
	m := table[best]
	return m.Dev, path.Join(m.Root, strings.TrimPrefix(file, m.Point)), true
}

// flagsOf are those that a bind's mount must have. (Others it may have from the
// host's; but rw must not be refused where it is declared, unless the host does.)
func flagsOf(b sandbox.Bind) []string {
	flags := []string{"nosuid"}
	if !b.Writable {
		flags = append(flags, "ro")
	}
	if !b.Devices {
		flags = append(flags, "nodev")
	}
	if !b.Exec {
		flags = append(flags, "noexec")
	}
	return flags
}

// declaredMounts are the mount points of a specification, with their flags.
func declaredMounts(s sandbox.Spec) map[string][]string {
	want := map[string][]string{"/": {"ro", "nosuid", "nodev", "noexec"}}
	for _, b := range s.Binds {
		want[b.Target] = flagsOf(b)
	}
	if s.Image != "" {
		want[path.Dir(s.Image)] = []string{"ro", "nosuid", "nodev"}
	}
	return want
}

func mounts(p facts.Process, is policy.Policy, a Around) Result {
	want := declaredMounts(is.Spec)
	what := fmt.Sprintf("%d, each with its flags", len(want))
	if len(want) == 1 {
		what = "an empty, read-only root"
	}
	var wrong []string
	seen := map[string]int{}
	for _, m := range p.Mounts {
		flags, known := want[m.Point]
		if known {
			seen[m.Point]++
		} else if flags, known = within(is.Spec, m.Point); !known {
			wrong = append(wrong, fmt.Sprintf("mount %s (%s) is not declared", escape.Name(m.Point), strings.Join(m.Flags, ",")))
			continue
		}
		for _, f := range flags {
			if !slices.Contains(m.Flags, f) {
				wrong = append(wrong, fmt.Sprintf("mount %s is %s, declared: %s", escape.Name(m.Point), strings.Join(m.Flags, ","), strings.Join(flags, ",")))
				break
			}
		}
		if may, known := is.Trees[m.Point]; known && len(may) > 0 && !shows(m, may, a) {
			wrong = append(wrong, fmt.Sprintf("mount %s shows %s of device %s, which is not %s", escape.Name(m.Point), escape.Name(m.Root), m.Dev, escape.Name(strings.Join(may, " or "))))
		}
	}
	for _, at := range slices.Sorted(maps.Keys(want)) {
		if n := seen[at]; n != 1 && (n > 0 || !is.Held || is.Trees[at] == nil) {
			wrong = append(wrong, fmt.Sprintf("mount %s is there %d times, declared: once", escape.Name(at), n))
		}
	}
	return result(what, bounded(wrong)...)
}

// within are the flags of what is mounted inside a bind that shows such mounts.
func within(s sandbox.Spec, at string) (flags []string, ok bool) {
	for _, b := range s.Binds {
		if b.Recursive && strings.HasPrefix(at, b.Target+"/") {
			return flagsOf(b), true
		}
	}
	return nil, false
}

// shows says whether a mount shows one of these paths of the supervisor's.
func shows(m mountinfo.Mount, paths []string, a Around) bool {
	return slices.ContainsFunc(paths, func(file string) bool {
		dev, root, ok := Where(a.Supervisor.Mounts, file)
		return ok && dev == m.Dev && root == m.Root
	})
}

// limitNames are the resources as /proc names them.
func limitNames() map[int]string {
	return map[int]string{unix.RLIMIT_CORE: "Max core file size", unix.RLIMIT_MEMLOCK: "Max locked memory", unix.RLIMIT_MSGQUEUE: "Max msgqueue size",
		unix.RLIMIT_NOFILE: "Max open files", unix.RLIMIT_NPROC: "Max processes"}
}

func limits(p facts.Process, is policy.Policy, _ Around) Result {
	var what, wrong []string
	for _, r := range is.Spec.Rlimits {
		name, known := limitNames()[r.Resource]
		if !known {
			wrong = append(wrong, fmt.Sprintf("resource %d has no name here", r.Resource))
			continue
		}
		words := strings.ToLower(strings.TrimPrefix(name, "Max "))
		what = append(what, fmt.Sprintf("%s %d", words, r.Hard))
		have := p.Limits[name]
		if want := (facts.Limit{Soft: strconv.FormatUint(r.Soft, 10), Hard: strconv.FormatUint(r.Hard, 10)}); have != want {
			wrong = append(wrong, fmt.Sprintf("limit of %s is %s (hard %s), declared: %s (hard %s)", words, escape.Name(have.Soft), escape.Name(have.Hard), want.Soft, want.Hard))
		}
	}
	return result(strings.Join(what, ", "), wrong...)
}

// commandLimits: each may lower its own.
func commandLimits(p facts.Process, is policy.Policy, a Around) Result {
	r := result("at most " + limits(p, is, a).What)
	for _, l := range is.Spec.Rlimits {
		name := limitNames()[l.Resource]
		have := p.Limits[name].Hard
		if n, err := strconv.ParseUint(have, 10, 64); err != nil || n > l.Hard {
			r.State = Deviates
			r.Deviations = append(r.Deviations, fmt.Sprintf("limit of %s is %s, declared: at most %d", strings.ToLower(strings.TrimPrefix(name, "Max ")), escape.Name(have), l.Hard))
		}
	}
	return r
}

// leafOf is the name of a process's group below the instance's, in one hierarchy.
func leafOf(p facts.Process, h Hierarchy, a Around) (name, seen string) {
	for _, g := range p.Groups {
		if g.Controllers != h.Controllers {
			continue
		}
		dir, leaf := path.Split(g.Path)
		if path.Base(dir) == a.Instance && path.Base(path.Dir(path.Clean(dir))) == "lockstep" {
			return leaf, g.Path
		}
		return "", g.Path
	}
	return "", "none"
}

// Leaf is the name of a process's group below the instance's, in the first
// hierarchy that has one.
func Leaf(p facts.Process, a Around) string {
	for _, h := range a.Hierarchy {
		if leaf, _ := leafOf(p, h, a); leaf != "" {
			return leaf
		}
	}
	return ""
}

// Belongs takes the name of a group apart: what comes before the role, and the
// role. The number of a watch's root, or of a
// trial, is left out.
func Belongs(leaf string) (prefix, role string) {
	before := leaf
	for range 2 { // "-N-NNN"
		at := strings.LastIndexByte(before, '-')
		if at < 0 {
			return "", ""
		}
		before = before[:at]
	}
	at := strings.LastIndexByte(before, '.')
	prefix, role = before[:at+1], before[at+1:]
	for _, numbered := range []string{"root", "trial."} {
		if digits, ok := strings.CutPrefix(strings.TrimSuffix(prefix, "."), numbered); ok && digits != "" && strings.Trim(digits, "0123456789") == "" {
			prefix = strings.TrimSuffix(numbered, ".") + "."
		}
	}
	return prefix, role
}

func group(p facts.Process, is policy.Policy, a Around) Result {
	var wrong, dirs []string
	first := Leaf(p, a)
	if prefix, role := Belongs(first); first != "" && (role != is.Spec.Role || prefix != is.Prefix) {
		wrong = append(wrong, fmt.Sprintf("group %s is that of another role or sync, declared: %s%s", escape.Name(first), is.Prefix, is.Spec.Role))
	}
	for _, h := range a.Hierarchy {
		leaf, seen := leafOf(p, h, a)
		if leaf == "" || leaf != first {
			wrong = append(wrong, fmt.Sprintf("control group %s of %s, declared: one of its own below lockstep/%s", escape.Name(short(seen)), hierarchy(h), a.Instance))
			continue
		}
		dirs = append(dirs, filepath.Join(h.Dir, leaf))
	}
	if len(a.Hierarchy) == 0 {
		return Result{State: Unseen, What: "there are no control groups"}
	}
	if len(wrong) == 0 {
		wrong = a.Limits(dirs, is.Limits)
	}
	return result(fmt.Sprintf("%s, memory %d MiB, %d processes", escape.Name(first), is.Limits.Memory>>20, is.Limits.Pids), wrong...)
}

func hierarchy(h Hierarchy) string {
	if h.Controllers == "" {
		return "version 2"
	}
	return "the hierarchy of " + h.Controllers
}

// commandGroup is its runner's.
func commandGroup(p facts.Process, _ policy.Policy, a Around) Result {
	var wrong []string
	for _, h := range a.Hierarchy {
		mine, seen := leafOf(p, h, a)
		if theirs, _ := leafOf(*a.Runner, h, a); mine == "" || mine != theirs {
			wrong = append(wrong, fmt.Sprintf("control group %s of %s, declared: its runner's", escape.Name(short(seen)), hierarchy(h)))
		}
	}
	return result("its runner's", wrong...)
}

// devices: at least one hierarchy refuses, and each that can does it as declared.
func devices(p facts.Process, is policy.Policy, a Around) Result {
	what := "none can be opened"
	if is.Limits.Devices == cgroup.DevicesBasic {
		what = "null, zero, random, urandom"
	}
	if is.Limits.Mknod {
		what += "; any can be made"
	}
	var wrong []string
	filters := 0
	for _, h := range a.Hierarchy {
		leaf, _ := leafOf(p, h, a)
		if leaf == "" || h.Controllers != "" && !slices.Contains(strings.Split(h.Controllers, ","), "devices") {
			continue
		}
		switch err := a.Devices(filepath.Join(h.Dir, leaf), is.Limits); {
		case err == nil:
			filters++
		case !errors.Is(err, cgroup.ErrNoFilter):
			wrong = append(wrong, hierarchy(h)+": "+err.Error())
		}
	}
	if filters == 0 && len(wrong) == 0 {
		if a.Missing("cgroup-devices") {
			return Result{State: Unseen, What: "no filter, as allow_missing says"}
		}
		wrong = append(wrong, "no device filter holds the process")
	}
	return result(fmt.Sprintf("%s (%d filter(s))", what, filters), wrong...)
}

func parent(p facts.Process, _ policy.Policy, a Around) Result {
	var wrong []string
	if p.PPID != a.Supervisor.PID {
		wrong = append(wrong, fmt.Sprintf("its parent is process %d, declared: the supervisor, %d", p.PPID, a.Supervisor.PID))
	}
	return result("the supervisor", append(wrong, traced(p)...)...)
}

// commandParent: who looked for it has found it below a runner.
func commandParent(p facts.Process, _ policy.Policy, a Around) Result {
	return result(fmt.Sprintf("below the runner %d", a.Runner.PID), traced(p)...)
}

func traced(p facts.Process) []string {
	for _, s := range p.Threads {
		if s.Tracer != 0 {
			return []string{fmt.Sprintf("it is traced by process %d", s.Tracer)}
		}
	}
	return nil
}

func executable(p facts.Process, is policy.Policy, a Around) Result {
	what := is.Image + ", a sealed image"
	var wrong []string
	if p.Exe.Link != "/memfd:"+is.Image+" (deleted)" {
		wrong = append(wrong, fmt.Sprintf("it executes %s, declared: the image of %s", escape.Name(short(p.Exe.Link)), is.Image))
	} else if !p.Exe.Sealed() {
		wrong = append(wrong, "the image is not sealed")
	}
	if len(wrong) == 0 {
		if why := a.Image(p, is.Image); why != "" {
			wrong = append(wrong, why)
		}
	}
	return result(what, wrong...)
}

// commandProgram: what runs is one of the programs, or below one of the directories
// of programs; between fork and execve it is the runner's own image.
func commandProgram(p facts.Process, is policy.Policy, a Around) Result {
	what := strings.Join(is.Programs, ", ")
	if len(is.Dirs) > 0 {
		what += ", and what is below " + strings.Join(is.Dirs, ", ")
	}
	exe := p.Exe.Link
	ok := slices.Contains(is.Programs, exe) || exe == a.Runner.Exe.Link ||
		slices.ContainsFunc(is.Dirs, func(dir string) bool { return strings.HasPrefix(exe, dir+"/") })
	if ok {
		return result(escape.Name(what))
	}
	return result(escape.Name(what), fmt.Sprintf("it executes %s, which is not declared", escape.Name(short(exe))))
}

// capacity is how many of each kind the rows allow; a row of several kinds counts
// for whichever is there.
func capacity(is policy.Policy) (rows []jail.Descriptor, any map[string]bool) {
	any = map[string]bool{}
	for _, d := range is.Descriptors {
		n := 1
		if d.PerTarget > 0 {
			n = d.PerTarget * is.Targets
		}
		if at := slices.IndexFunc(rows, func(r jail.Descriptor) bool { return d.Instead != "" && r.Name == d.Instead }); at >= 0 {
			rows[at].Kinds = slices.Concat(rows[at].Kinds, d.Kinds)
			continue
		}
		for range n {
			if d.Origin == jail.Used {
				continue
			}
			if d.Any {
				any[d.Kinds[0]] = true
			}
			rows = append(rows, d)
		}
	}
	slices.SortStableFunc(rows, func(a, b jail.Descriptor) int { return len(a.Kinds) - len(b.Kinds) })
	return rows, any
}

// kind is what a descriptor is, where a name below the jail's mounts is a file.
func kind(to string, is policy.Policy) string {
	k := strings.TrimSuffix(facts.Kind(to), " (deleted)")
	if !strings.HasPrefix(k, "/") || strings.HasPrefix(k, "/dev/") {
		return k
	}
	if is.Kept != "" && strings.HasPrefix(k, is.Kept+"/") {
		return jail.KindKept
	}
	for _, b := range is.Spec.Binds {
		if k == b.Target || strings.HasPrefix(k, b.Target+"/") {
			return jail.KindFile
		}
	}
	return k
}

func descriptors(p facts.Process, is policy.Policy, _ Around) Result {
	rows, any := capacity(is)
	var wrong []string
	for _, to := range p.Holds {
		k := kind(to, is)
		at := slices.IndexFunc(rows, func(d jail.Descriptor) bool { return slices.Contains(d.Kinds, k) })
		if at >= 0 {
			rows = slices.Delete(rows, at, at+1)
		} else if !any[k] {
			wrong = append(wrong, fmt.Sprintf("a descriptor beyond those declared: %s", escape.Name(short(to))))
		}
	}
	return result(fmt.Sprintf("%d, each of a declared kind", len(p.Holds)), bounded(wrong)...)
}

// commandDescriptors: pipes, lists, sockets between processes, files of the jail. A
// handler makes what its filter lets it; a module's host too.
func commandDescriptors(p facts.Process, is policy.Policy, _ Around) Result {
	own := []string{jail.KindPipe, jail.KindMemfd, jail.KindSocket, jail.KindFile, "/dev/null"}
	if len(is.Dirs) > 0 {
		own = append(own, "eventpoll", "eventfd", "signalfd", "timerfd", "/dev/zero", "/dev/urandom")
	}
	var wrong []string
	for _, to := range p.Holds {
		if k := kind(to, is); !slices.Contains(own, k) && k != "/" {
			wrong = append(wrong, fmt.Sprintf("a descriptor beyond those declared: %s", escape.Name(short(to))))
		}
	}
	return result(strings.Join(own, ", ")+" of the jail", bounded(wrong)...)
}
