// Package judge compares what the kernel says of a process with what the process is
// declared to be.
//
// Trust: linked into the supervisor's program; pure, but for what Around asks.
//
// Invariants: each group of checks says that all is as declared, or names each
// deviation, or says that nothing can tell; what a deviation quotes of a process is
// escaped.
package judge

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kernel.org/pub/linux/libs/security/libcap/cap"

	"lockstep/cgroup"
	"lockstep/internal/escape"
	"lockstep/supervise/audit/facts"
	"lockstep/supervise/audit/policy"
)

// State is what a check came to.
type State string

// The states.
const (
	Declared State = "as declared"
	Deviates State = "deviates"
	Unseen   State = "not observable"
)

// Result is what one group of checks came to.
type Result struct {
	Check      string   `json:"check"`
	State      State    `json:"state"`
	What       string   `json:"what"` // what is declared, or why nothing can tell
	Deviations []string `json:"deviations,omitempty"`
}

// Around is what a process is compared with besides its policy.
type Around struct {
	Supervisor facts.Process
	Own        map[string]string // namespaces of this program
	Leases     []int             // uids that this instance has
	Instance   string            // the group below which all of its groups are
	Hierarchy  []Hierarchy
	Taken      map[string]int // by whom: namespaces, and leased uids (User), of those compared before
	Runner     *facts.Process // of a command
	// Devices compares the device filter of a group's directory.
	Devices func(dir string, l cgroup.Limits) error
	// Limits says which limits of a group do not hold in any of its directories.
	Limits func(dirs []string, l cgroup.Limits) []string
	// Image says why an executable is not the installed program; "": it is.
	Image   func(p facts.Process, program string) string
	Missing func(feature string) bool // a person has allowed that it is not there
}

// Hierarchy is one in which the instance has a group.
type Hierarchy struct {
	Controllers string
	Dir         string // the instance's
}

// check is one group of checks.
type check struct {
	name string
	do   func(p facts.Process, is policy.Policy, a Around) Result
}

// checks are all, in the order of a report. A command has its runner's jail and
// fewer rights: its own column.
func checks() []struct {
	check
	command func(p facts.Process, is policy.Policy, a Around) Result
} {
	return []struct {
		check
		command func(p facts.Process, is policy.Policy, a Around) Result
	}{
		{check{"parent", parent}, commandParent},
		{check{"executable", executable}, commandProgram},
		{check{"ids", ids}, ids},
		{check{"capabilities", capabilities}, commandCapabilities},
		{check{"no_new_privs", noNewPrivs}, noNewPrivs},
		{check{"seccomp", seccomp}, commandSeccomp},
		{check{"landlock", landlock}, landlock},
		{check{"namespaces", namespaces}, commandNamespaces},
		{check{"mounts", mounts}, commandMounts},
		{check{"descriptors", descriptors}, commandDescriptors},
		{check{"limits", limits}, commandLimits},
		{check{"control group", group}, commandGroup},
		{check{"devices", devices}, nil}, // its group is its runner's
		{check{"environment", environment}, nil},
		{check{"dumpable", dumpable}, nil}, // execve makes it so again
	}
}

// Process compares one process with one policy.
func Process(p facts.Process, is policy.Policy, a Around) []Result {
	var all []Result
	for _, c := range checks() {
		do := c.do
		if is.Role == policy.Command {
			do = c.command
		}
		if do == nil {
			continue
		}
		r := do(p, is, a)
		r.Check = c.name
		all = append(all, r)
	}
	return all
}

// Count is how many deviations there are.
func Count(all []Result) int {
	n := 0
	for _, r := range all {
		n += len(r.Deviations)
	}
	return n
}

// result is as declared, unless there are deviations.
func result(what string, deviations ...string) Result {
	r := Result{State: Declared, What: what, Deviations: deviations}
	if len(deviations) > 0 {
		r.State = Deviates
	}
	return r
}

// each compares every thread, and tells of the same deviation once.
func each(p facts.Process, what string, differs func(facts.Status) []string) Result {
	seen := map[string]int{}
	var order []string
	for _, s := range p.Threads {
		for _, d := range differs(s) {
			if seen[d]++; seen[d] == 1 {
				order = append(order, d)
			}
		}
	}
	for i, d := range order {
		if n := seen[d]; n < len(p.Threads) {
			order[i] += fmt.Sprintf(" (%d of %d threads)", n, len(p.Threads))
		}
	}
	return result(what, order...)
}

func ids(p facts.Process, is policy.Policy, a Around) Result {
	uid, gid := uint64(is.Spec.UID), uint64(is.Spec.GID)
	what := fmt.Sprintf("uid %d, gid %d, no other group", uid, gid)
	if is.Leased && len(p.Threads) > 0 {
		// Which one is known once it runs; that it is leased, from the kernel's locks.
		own := p.Threads[0]
		uid, gid = own.UIDs[0], own.GIDs[0]
		what = fmt.Sprintf("uid %d, leased to this instance, gid %d, no other group", uid, gid)
		if !slices.Contains(a.Leases, int(uid)) {
			return result(what, fmt.Sprintf("uid %d is not one of those leased to this instance: %s", uid, list(a.Leases)))
		}
		if other, taken := a.Taken[User(uid)]; taken && other != p.PID && is.Role != policy.Command {
			return result(what, fmt.Sprintf("uid %d is that of process %d, declared: one of its own", uid, other))
		}
	}
	return each(p, what, func(s facts.Status) (wrong []string) {
		for _, one := range []struct {
			name string
			have [4]uint64
			want uint64
		}{{"uid", s.UIDs, uid}, {"gid", s.GIDs, gid}} {
			for i, kind := range []string{"real", "effective", "saved", "file-system"} {
				if one.have[i] != one.want {
					wrong = append(wrong, fmt.Sprintf("%s %s %d, declared: %d", kind, one.name, one.have[i], one.want))
				}
			}
		}
		if len(s.Groups) > 0 {
			wrong = append(wrong, fmt.Sprintf("supplementary groups %s, declared: none", list(s.Groups)))
		}
		return wrong
	})
}

// User is a uid as Around.Taken has it.
func User(uid uint64) string { return fmt.Sprintf("uid:[%d]", uid) }

func list[T int | uint64](ids []T) string {
	if len(ids) == 0 {
		return "none"
	}
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatInt(int64(id), 10)
	}
	return strings.Join(words, ", ")
}

// setNames are the sets of capabilities(7), as people call them.
func setNames() map[string]string {
	return map[string]string{"CapInh": "inheritable", "CapPrm": "permitted", "CapEff": "effective", "CapBnd": "bounding", "CapAmb": "ambient"}
}

// Capabilities names those of a set.
func Capabilities(set uint64) string {
	var names []string
	for bit := range 64 {
		if set&(1<<bit) == 0 {
			continue
		}
		name := fmt.Sprintf("capability %d", bit)
		if cap.Value(bit) < cap.NamedCount {
			name = strings.ToUpper(cap.Value(bit).String())
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

func capabilities(p facts.Process, is policy.Policy, _ Around) Result {
	want := is.Spec.Caps
	return each(p, Capabilities(want)+" in all five sets", func(s facts.Status) (wrong []string) {
		for _, set := range facts.Sets() {
			if more := s.Caps[set] &^ want; more != 0 {
				wrong = append(wrong, fmt.Sprintf("%s set: %s beyond what is declared", setNames()[set], Capabilities(more)))
			}
			if less := want &^ s.Caps[set]; less != 0 {
				wrong = append(wrong, fmt.Sprintf("%s set lacks %s", setNames()[set], Capabilities(less)))
			}
		}
		return wrong
	})
}

// commandCapabilities: at most its runner's; ssh has none but in the bounding set,
// which no_new_privs makes idle.
func commandCapabilities(p facts.Process, is policy.Policy, _ Around) Result {
	most := map[string]uint64{}
	for _, set := range facts.Sets() {
		most[set] = is.Spec.Caps
		if is.SSH != "" && p.Exe.Link == is.SSH && set != "CapBnd" {
			most[set] = 0
		}
	}
	return each(p, "at most "+Capabilities(most["CapEff"]), func(s facts.Status) (wrong []string) {
		for _, set := range facts.Sets() {
			if more := s.Caps[set] &^ most[set]; more != 0 {
				wrong = append(wrong, fmt.Sprintf("%s set: %s beyond what is declared", setNames()[set], Capabilities(more)))
			}
		}
		return wrong
	})
}

func noNewPrivs(p facts.Process, _ policy.Policy, _ Around) Result {
	return each(p, "set", func(s facts.Status) []string {
		if s.NoNewPrivs {
			return nil
		}
		return []string{"no_new_privs is not set"}
	})
}

// seccomp: the filter of its own, and those that the supervisor was started under.
func seccomp(p facts.Process, _ policy.Policy, a Around) Result { return filters(p, a, false) }

// commandSeccomp: a filter can be added, and none be taken away.
func commandSeccomp(p facts.Process, _ policy.Policy, a Around) Result { return filters(p, a, true) }

func filters(p facts.Process, a Around, more bool) Result {
	want := uint64(1)
	if len(a.Supervisor.Threads) > 0 {
		want += a.Supervisor.Threads[0].Filters
	}
	return each(p, fmt.Sprintf("mode 2 (filter), %d filter(s)", want), func(s facts.Status) (wrong []string) {
		const filter = 2
		if s.Seccomp != filter {
			wrong = append(wrong, fmt.Sprintf("no system-call filter: seccomp mode %d, declared: 2", s.Seccomp))
		}
		if s.Filters < want || s.Filters > want && !more {
			wrong = append(wrong, fmt.Sprintf("%d system-call filters, declared: %d", s.Filters, want))
		}
		return wrong
	})
}

func landlock(_ facts.Process, _ policy.Policy, _ Around) Result {
	return Result{State: Unseen, What: "the kernel does not tell which rules hold a process"}
}

func dumpable(p facts.Process, _ policy.Policy, _ Around) Result {
	if len(p.Threads) > 0 && p.Threads[0].UIDs[1] == 0 {
		return Result{State: Unseen, What: "of a process of root's nothing tells"}
	}
	if p.MemoryOf != 0 {
		return result("not dumpable", fmt.Sprintf("it is dumpable: its memory's file belongs to uid %d, declared: root", p.MemoryOf))
	}
	return result("not dumpable")
}

func environment(p facts.Process, is policy.Policy, _ Around) Result {
	const fds = "LOCKSTEP_FDS"
	want := append(slices.Clone(is.Spec.Env), fds+"=")
	names := map[string]bool{}
	for _, w := range want {
		name, _, _ := strings.Cut(w, "=")
		names[name] = true
	}
	what := strings.Join(slices.Sorted(maps.Keys(names)), " ")
	var wrong []string
	have := map[string]bool{}
	for _, w := range p.Env {
		name, _, _ := strings.Cut(w, "=")
		switch {
		case !names[name]:
			wrong = append(wrong, "variable "+escape.Name(short(name))+" is not declared")
		case name != fds && !slices.Contains(want, w):
			wrong = append(wrong, "variable "+escape.Name(name)+" has another value than declared")
		}
		have[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !have[name] {
			wrong = append(wrong, "variable "+name+" is missing")
		}
	}
	return result(what, bounded(wrong)...)
}

// short cuts what a process can make long.
func short(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// bounded keeps a report readable that a process could make long.
func bounded(wrong []string) []string {
	const most = 20
	if len(wrong) <= most {
		return wrong
	}
	return append(wrong[:most:most], fmt.Sprintf("and %d more", len(wrong)-most))
}
