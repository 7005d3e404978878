// Package audit finds the lockstep instances that run on this host, and compares
// each of their processes with what it is declared to be: `lockstep audit self`.
//
// Trust: linked into the supervisor's program; runs as root, and changes nothing.
// Of what runs it reads what the kernel says, and of that names and arguments are
// hostile. What a supervisor was told comes from its command line and its
// configuration, which are root's.
//
// Invariants: an instance is known by its control group and by the lock on its
// runtime directory, never by a name alone; what cannot be found out is a
// deviation, and never passed over; what is seen once, while processes begin and
// end, is looked at again before it is told.
package audit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"lockstep/internal/buildinfo"
	"lockstep/supervise/audit/facts"
	"lockstep/supervise/audit/judge"
	"lockstep/supervise/audit/policy"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
)

const proc = "/proc"

// Options are what is asked.
type Options struct {
	// Told says what a supervisor with these words was told, in that directory.
	Told func(words []string, dir string) (policy.Declared, error)
	// Only is the runtime directory of the one instance that is asked for.
	Only string
}

// Process is the report on one process. The names in JSON are stable.
type Process struct {
	PID    int            `json:"pid"`
	Parent int            `json:"parent"`
	Role   string         `json:"role"`
	Sync   string         `json:"sync,omitempty"`
	Target string         `json:"target,omitempty"`
	Checks []judge.Result `json:"checks"`

	start uint64
}

// Deviates says that something is not as declared.
func (p Process) Deviates() bool { return judge.Count(p.Checks) > 0 }

// Instance is the report on one running lockstep.
type Instance struct {
	RuntimeDir string    `json:"runtime_dir"`
	Group      string    `json:"control_group"`
	Processes  []Process `json:"processes"` // the supervisor first
	Notes      []string  `json:"notes"`
}

// Report is all.
type Report struct {
	Version    string     `json:"version"`
	Build      string     `json:"build"`
	Result     string     `json:"result"` // of judge's states
	Deviations int        `json:"deviations"`
	Looks      int        `json:"looks"`
	Took       float64    `json:"milliseconds"`
	Instances  []Instance `json:"instances"`
	Notes      []string   `json:"notes"`
}

const (
	mostLooks = 6
	between   = 250 * time.Millisecond
)

// Run looks at what runs, again while something deviates that was not there before.
func Run(o Options) (Report, error) {
	begun := time.Now()
	r := Report{Version: buildinfo.Version, Build: buildinfo.ID, Instances: []Instance{}, Notes: []string{}}
	a, err := newAuditor(o)
	if err != nil {
		return r, err
	}
	defer a.close()
	var before map[string]bool
	for r.Looks = 1; ; r.Looks++ {
		if r.Instances, err = a.look(); err != nil {
			return r, err
		}
		now := deviations(r.Instances)
		fresh := slices.ContainsFunc(now, func(d string) bool { return !before[d] })
		if len(now) == 0 || !fresh || r.Looks == mostLooks {
			r.Deviations = len(now)
			break
		}
		before = map[string]bool{}
		for _, d := range now {
			before[d] = true
		}
		time.Sleep(between)
	}
	if r.Result = string(judge.Declared); r.Deviations > 0 {
		r.Result = string(judge.Deviates)
	}
	if r.Looks == mostLooks {
		r.Notes = append(r.Notes, fmt.Sprintf("something was another thing at each of %d looks: what is told is of the last one", mostLooks))
	}
	r.Notes = append(r.Notes, a.notes()...)
	r.Took = float64(time.Since(begun).Microseconds()) / 1000
	return r, nil
}

// deviations names all, of which process: one whose number was given again is
// another.
func deviations(all []Instance) []string {
	var out []string
	for _, in := range all {
		for _, p := range in.Processes {
			for _, c := range p.Checks {
				for _, d := range c.Deviations {
					out = append(out, fmt.Sprint(p.PID, " ", p.start, " ", c.Check, " ", d))
				}
			}
		}
	}
	return out
}

// auditor is what all looks have in common.
type auditor struct {
	o       Options
	machine jail.Machine
	own     facts.Process
	images  *images
	filters map[string][]byte // what the tables compile to, by the name of the memory file
	told    map[string]told   // by supervisor
}

// told is what a supervisor was told; it is read once.
type told struct {
	declared policy.Declared
	policies []policy.Policy
	err      error
}

func newAuditor(o Options) (*auditor, error) {
	kernel := host.CheckKernel()
	a := &auditor{o: o, machine: jail.Machine{NoLandlock: kernel.Landlock == 0, NoMDWE: !kernel.MDWE}, told: map[string]told{}}
	d, err := facts.Open(proc, os.Getpid())
	if err == nil {
		a.own, err = d.Read()
		d.Close()
	}
	if err != nil {
		return nil, err
	}
	a.images = newImages()
	a.filters, err = compiled()
	return a, err
}

func (a *auditor) close() { a.images.close() }

// notes are what the report does not show.
func (a *auditor) notes() []string {
	notes := []string{
		"not observable: the rules of Landlock, PR_SET_MDWE and the death signal; of processes of root's, whether they are dumpable",
		"of a system-call filter in force, the kernel tells the mode and the number: the filters that were given are compared where the supervisor holds them",
	}
	return notes
}

// snapshot is all processes at one moment, each by its directory.
type snapshot struct {
	dirs  map[int]facts.Dir
	procs map[int]facts.Process
}

func (s snapshot) close() {
	for _, d := range s.dirs {
		d.Close()
	}
}

// scan reads who there is, whose child, and in which groups.
func scan() (snapshot, error) {
	s := snapshot{dirs: map[int]facts.Dir{}, procs: map[int]facts.Process{}}
	pids, err := facts.PIDs(proc)
	if err != nil {
		return s, err
	}
	for _, pid := range pids {
		d, err := facts.Open(proc, pid)
		if errors.Is(err, facts.ErrGone) {
			continue
		}
		if err != nil {
			return s, fmt.Errorf("process %d: %w", pid, err)
		}
		p, err := d.Brief()
		if errors.Is(err, facts.ErrGone) {
			d.Close()
			continue
		}
		if err != nil {
			return s, fmt.Errorf("process %d: %w", pid, err)
		}
		s.dirs[pid], s.procs[pid] = d, p
	}
	return s, nil
}

// below are the descendants of a process, parents first.
func (s snapshot) below(pid int) []int {
	children := map[int][]int{}
	for id, p := range s.procs {
		children[p.PPID] = append(children[p.PPID], id)
	}
	var out []int
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		next := children[queue[0]]
		slices.Sort(next)
		out, queue = append(out, next...), append(queue, next...)
	}
	return out
}

// look looks once.
func (a *auditor) look() ([]Instance, error) {
	s, err := scan()
	defer s.close()
	if err != nil {
		return nil, err
	}
	found, err := a.find(s)
	if err != nil {
		return nil, err
	}
	all := []Instance{}
	for _, f := range found {
		if a.o.Only != "" && f.runtime != a.o.Only {
			continue
		}
		in, err := a.instance(s, f)
		if errors.Is(err, facts.ErrGone) {
			continue // it is ending
		}
		if err != nil {
			return nil, err
		}
		all = append(all, in)
	}
	return all, nil
}
