package audit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/cgroup"
	"lockstep/internal/escape"
	"lockstep/supervise/audit/facts"
	"lockstep/supervise/audit/judge"
	"lockstep/supervise/audit/policy"
)

// instance compares all processes of one.
func (a *auditor) instance(s snapshot, f found) (Instance, error) {
	in := Instance{RuntimeDir: escape.Name(f.runtime), Group: f.name, Processes: []Process{}, Notes: []string{}}
	d, known := s.dirs[f.supervisor]
	if !known {
		for _, pid := range a.members(s, f) {
			in.Processes = append(in.Processes, stranger(s.procs[pid], fmt.Sprintf("its supervisor, process %d, is not there", f.supervisor)))
		}
		return in, nil
	}
	super, err := d.Read()
	if err != nil {
		return in, err
	}
	t := a.tell(super, d)
	around := judge.Around{
		Supervisor: super, Own: a.own.Spaces, Leases: leases(d), Instance: f.name, Hierarchy: f.hierarchy,
		Devices: cgroup.InspectDevices,
		Limits: func(dirs []string, l cgroup.Limits) []string {
			return cgroup.InspectLimits(dirs, l, t.declared.Missing)
		},
		Missing: t.declared.Missing, Taken: map[string]int{},
	}
	in.Processes = append(in.Processes, a.supervisor(super, d, f, t))
	members := a.members(s, f)
	if t.err != nil {
		members = nil // nobody knows what they should be, as is told of the supervisor
	}
	used := map[int]bool{}
	var runners []runner
	for _, pid := range members {
		p, err := s.dirs[pid].Read()
		if errors.Is(err, facts.ErrGone) {
			continue
		}
		around.Image = func(p facts.Process, program string) string { return a.images.differs(s.dirs[p.PID], p, program) }
		in.Processes = append(in.Processes, a.member(p, err, t, around, &runners, used))
	}
	for _, n := range t.declared.Notes {
		in.Notes = append(in.Notes, escape.Name(n))
	}
	in.Notes = append(in.Notes, absent(t, used)...)
	return in, nil
}

// runner is one that was found, with its policy: its commands are compared with it.
type runner struct {
	process facts.Process
	is      policy.Policy
}

// members are the descendants of the supervisor, and what else is in its groups.
func (a *auditor) members(s snapshot, f found) []int {
	all := s.below(f.supervisor)
	for _, pid := range slices.Sorted(maps.Keys(s.procs)) {
		if p := s.procs[pid]; groupOf(p) == f.name && pid != f.supervisor && !slices.Contains(all, pid) {
			all = append(all, pid)
		}
	}
	return all
}

// member compares one process: with the policy of a role, if the supervisor started
// it, or of what a runner starts.
func (a *auditor) member(p facts.Process, unread error, t told, around judge.Around, runners *[]runner, used map[int]bool) Process {
	if unread != nil {
		return stranger(p, "it cannot be looked at: "+unread.Error())
	}
	if at := slices.IndexFunc(*runners, func(r runner) bool { return p.PPID == r.process.PID }); at >= 0 {
		r := (*runners)[at]
		around.Runner = &r.process
		*runners = append(*runners, runner{p, r.is}) // its children are commands as well
		is := r.is.Commands()
		return process(p, is, judge.Process(p, is, around))
	}
	best, checks := nearest(p, t.policies, around, used)
	if best < 0 {
		return stranger(p, "it executes "+escape.Name(cut(p.Exe.Link))+", which is no program of a role")
	}
	is := t.policies[best]
	used[best] = true
	for _, space := range p.Spaces {
		around.Taken[space] = p.PID
	}
	if is.Leased {
		around.Taken[judge.User(p.Threads[0].UIDs[0])] = p.PID
	}
	if is.Role == "runner" {
		*runners = append(*runners, runner{p, is})
	}
	return process(p, is, checks)
}

func process(p facts.Process, is policy.Policy, checks []judge.Result) Process {
	return Process{PID: p.PID, Parent: p.PPID, Role: is.Role, Sync: escape.Name(is.Sync), Target: escape.Name(is.Target), Checks: checks, start: p.Start}
}

// stranger is one that is of no role.
func stranger(p facts.Process, why string) Process {
	return Process{PID: p.PID, Parent: p.PPID, Role: "unknown", start: p.Start, Checks: []judge.Result{
		{Check: "role", State: judge.Deviates, What: "one of the roles", Deviations: []string{why}},
	}}
}

// nearest is the policy from which a process deviates least: of those of its program
// that no other process has, first those of its group. (None is known by a name: a
// process that is as declared for none deviates from each.)
func nearest(p facts.Process, all []policy.Policy, around judge.Around, used map[int]bool) (best int, checks []judge.Result) {
	prefix, role := judge.Belongs(judge.Leaf(p, around))
	var order []int
	for i, is := range all {
		if p.Exe.Link == "/memfd:"+is.Image+" (deleted)" {
			order = append(order, i)
		}
	}
	if len(order) == 0 { // another program, in the group of a role
		for i, is := range all {
			if role != "" && is.Role == role && is.Prefix == prefix {
				order = append(order, i)
			}
		}
	}
	distance := func(i int) int {
		is, n := all[i], 0
		if is.Prefix != prefix || is.Role != role {
			n++
		}
		if used[i] && is.Prefix != "root." {
			n += 2
		}
		return n
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(distance(i), distance(j)) })
	best, least := -1, 0
	for _, i := range order {
		if best >= 0 && least == 0 || best >= 0 && distance(i) > distance(best) {
			break
		}
		is := all[i]
		if is.Trial != "" {
			is = between2(p, is)
		}
		now := judge.Process(p, is, around)
		if n := judge.Count(now); best < 0 || n < least {
			best, least, checks = i, n, now
		}
	}
	if best >= 0 && used[best] && all[best].Prefix != "root." {
		checks = append(checks, judge.Result{Check: "role", State: judge.Deviates, What: "one process of each",
			Deviations: []string{"another process is the " + escape.Name(all[best].String()) + " already"}})
	}
	return best, checks
}

// between2 is the policy of a trial between the two trees that it has mounted, if
// they are in the trial's own directory.
func between2(p facts.Process, is policy.Policy) policy.Policy {
	var source, target string
	for _, m := range p.Mounts {
		if !strings.HasPrefix(m.Point, is.Trial) {
			continue
		}
		if slices.Contains(m.Flags, "ro") {
			source = m.Point
		} else {
			target = m.Point
		}
	}
	return is.Between(source, target)
}

// absent names roles of which there is no process: that is no deviation. (A hook and
// a gate are there while they are asked for.)
func absent(t told, used map[int]bool) []string {
	var all []string
	for i, is := range t.policies {
		if !used[i] && is.Trial == "" && !is.Held && is.Role != "gate" && is.Prefix != "root." {
			all = append(all, "no process is the "+escape.Name(is.String())+": it is held, or about to start")
		}
	}
	return all
}

// supervisor compares what others stand on: it is not confined.
func (a *auditor) supervisor(p facts.Process, d facts.Dir, f found, t told) Process {
	one := Process{PID: p.PID, Parent: p.PPID, Role: "supervisor", start: p.Start}
	add := func(check, what string, wrong ...string) {
		r := judge.Result{Check: check, State: judge.Declared, What: what, Deviations: wrong}
		if len(wrong) > 0 {
			r.State = judge.Deviates
		}
		one.Checks = append(one.Checks, r)
	}
	var wrong []string
	if f.runtime == "" {
		wrong = []string{"no lock on the runtime directory of " + f.name + " is held by the parent of its processes"}
	}
	add("lock", "holds that of its runtime directory", wrong...)
	wrong = nil
	if t.err != nil {
		wrong = []string{escape.Name(t.err.Error())}
	} else if dir := t.declared.Set.RuntimeDir; dir != "" && dir != f.runtime && f.runtime != "" {
		wrong = []string{"its configuration names the runtime directory " + escape.Name(dir)}
	}
	add("configuration", "can be read, and names the runtime directory", wrong...)
	wrong = nil
	if why := a.images.own(d); why != "" {
		wrong = []string{why}
	}
	add("executable", "the program that looks", wrong...)
	what, wrong := a.heldFilters(d)
	add("filters", what, wrong...)
	wrong = nil
	if len(p.Threads) > 0 {
		for _, id := range p.Threads[0].UIDs {
			if id != 0 {
				wrong = []string{fmt.Sprintf("uid %d, declared: 0", id)}
			}
		}
	}
	add("ids", "uid 0", wrong...)
	return one
}

// tell finds out what a supervisor was told, once.
func (a *auditor) tell(p facts.Process, d facts.Dir) told {
	key := strconv.Itoa(p.PID) + " " + strconv.FormatUint(p.Start, 10)
	if t, known := a.told[key]; known {
		return t
	}
	// Sources and targets are looked at, of which one may be on a dead disk.
	answer := make(chan told, 1)
	go func() { answer <- a.ask(p, d) }()
	var t told
	select {
	case t = <-answer:
	case <-time.After(patience):
		t.err = policy.Error(fmt.Errorf("a source, a target or a file of the configuration does not answer within %v", patience))
	}
	a.told[key] = t
	return t
}

// patience is for the look at the files of a configuration.
const patience = 30 * time.Second

func (a *auditor) ask(p facts.Process, d facts.Dir) (t told) {
	if len(p.Args) == 0 {
		t.err = errors.New("the supervisor has no command line")
	} else {
		t.declared, t.err = a.o.Told(p.Args, filepath.Join(proc, strconv.Itoa(d.PID), "cwd"))
	}
	if t.err == nil {
		m := a.machine
		m.NoDevices = t.declared.Missing("cgroup-devices")
		t.policies, t.err = t.declared.Of(m)
	}
	if t.err != nil {
		t.err = policy.Error(t.err)
	}
	return t
}

func cut(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Running says whether somebody holds the lock of a runtime directory.
func Running(r Report, dir string) bool {
	return slices.ContainsFunc(r.Instances, func(in Instance) bool { return in.RuntimeDir == escape.Name(dir) })
}
