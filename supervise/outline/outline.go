// Package outline says what lockstep would do with a configuration: what it
// would run, with which limits and filters, and what this machine lacks.
//
// Trust: linked into the supervisor's program; `lockstep check` alone uses it.
// It starts nothing and changes nothing.
//
// Invariant: command lines, limits and filters come from the packages that the
// supervisor takes them from, so that the outline cannot differ from what runs.
package outline

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"

	"lockstep/cgroup"
	"lockstep/config"
	"lockstep/config/choose"
	"lockstep/config/field"
	"lockstep/config/keys"
	"lockstep/internal/buildinfo"
	"lockstep/ipc"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/supervise/fanotify"
	"lockstep/supervise/host"
	"lockstep/supervise/words"
)

// Machine is what the running machine adds to a configuration.
type Machine struct {
	Kernel    string
	Landlock  int
	Lacks     []string // second layers that this kernel is too old for
	Missing   []Feature
	Unchecked []string // what could not be looked at, and why
	Limits    func(role string, targets int) cgroup.Limits
	Watching  func(config.Config) choose.Choice
}

// Feature is something that the kernel lacks.
type Feature struct {
	Name    string `json:"name"` // under allow_missing; "": it cannot be allowed
	What    string `json:"what"`
	Allowed bool   `json:"allowed"`
}

// Look looks at this machine.
func Look(uid int) Machine {
	kernel := host.CheckKernel()
	m := Machine{Kernel: kernel.Release, Landlock: kernel.Landlock, Lacks: kernel.Lacks, Watching: watching,
		Limits: func(role string, targets int) cgroup.Limits { return brief.Limits(role, targets, false) }}
	for _, f := range kernel.Missing() {
		m.Missing = append(m.Missing, Feature{Name: f.Name, What: f.What})
	}
	if uid != 0 {
		m.Unchecked = append(m.Unchecked, "control groups: only root can try them")
		return m
	}
	cgroups, err := cgroup.Detect()
	if err != nil {
		m.Missing = append(m.Missing, Feature{What: "control groups: " + err.Error()})
		return m
	}
	for _, f := range cgroups.Missing() {
		m.Missing = append(m.Missing, Feature{Name: f.Name, What: f.What})
	}
	return m
}

// Plan is what would be done. Its names in JSON are stable.
type Plan struct {
	Version string        `json:"version"`
	Build   string        `json:"build"`
	Files   []config.File `json:"files"`
	Service []Setting     `json:"-"`
	Syncs   []Sync        `json:"syncs"`
	Roles   []Role        `json:"roles"`
	Machine MachinePlan   `json:"machine"`

	ServiceValues map[string]any `json:"service"`
}

// Sync is the plan of one sync.
type Sync struct {
	Name     string         `json:"name"`
	Source   string         `json:"source"`
	Targets  []Target       `json:"targets"`
	Watching Watching       `json:"watching"`
	Settings []Setting      `json:"-"`
	Values   map[string]any `json:"settings"`
}

// Watching is how the changes of a source would be heard of.
type Watching struct {
	Monitor string `json:"monitor"`
	Every   string `json:"every,omitempty"`
	Why     string `json:"why"`

	text string
}

// watching is what the supervisor would choose. Who may not look at the source may
// be told another thing than the supervisor, of a file system without a type.
func watching(cfg config.Config) choose.Choice {
	id, _ := rootid.Read(cfg.Source)
	c := cfg.Watching(id.Blind())
	if os.Geteuid() != 0 || c.Monitor != choose.Fanotify && c.Monitor != choose.Inotify {
		return c
	}
	switch err := fanotify.Probe(cfg.Source); {
	case err == nil && c.Monitor == choose.Inotify && !cfg.CrossMounts:
		c.Why += "; fanotify works here as well, and needs no watch for each directory"
	case err != nil && c.Monitor == choose.Fanotify:
		c.Why += ", but it would not start: " + err.Error()
	}
	return c
}

func makeWatching(c choose.Choice) Watching {
	w := Watching{Monitor: c.Monitor, Why: c.Why, text: words.Watching(c)}
	if c.Monitor == choose.Poll {
		w.Every = field.FormatDuration(c.Every)
	}
	return w
}

// Setting is the value of one key, as it would be written.
type Setting keys.Setting

// settings are those of the keys of a scope.
func settings(cfg config.Config, scope keys.Scope) ([]Setting, map[string]any) {
	list, values := keys.Settings(cfg, scope)
	out := make([]Setting, len(list))
	for i, s := range list {
		out[i] = Setting(s)
	}
	return out, values
}

// Target is the plan of one target.
type Target struct {
	Target   string              `json:"target"`
	Kind     string              `json:"kind"`
	Host     string              `json:"host,omitempty"`
	Port     uint16              `json:"port,omitempty"`
	User     string              `json:"user,omitempty"`
	Path     string              `json:"path"`
	Missing  bool                `json:"missing"`
	Warnings []string            `json:"warnings"`
	Commands map[string][]string `json:"commands"`
}

// Role is what holds a confined process.
type Role struct {
	Role      string `json:"role"`
	Calls     int    `json:"system_calls"`
	Fallbacks int    `json:"fallback_system_calls"`
	Refused   int    `json:"killing_system_calls"`
	Others    string `json:"other_calls"`
	Memory    int64  `json:"memory"`
	Processes int64  `json:"processes"`
}

// MachinePlan is Machine as a plan shows it.
type MachinePlan struct {
	Kernel    string    `json:"kernel"`
	Landlock  int       `json:"landlock"`
	Lacks     []string  `json:"lacks"`
	Missing   []Feature `json:"missing"`
	Unchecked []string  `json:"unchecked"`
}

// Make makes the plan of a configuration that was resolved.
func Make(set config.Set, m Machine) Plan {
	p := Plan{Version: buildinfo.Version, Build: buildinfo.ID, Files: set.Files, Machine: MachinePlan{
		Kernel: m.Kernel, Landlock: m.Landlock, Lacks: orEmpty(m.Lacks), Missing: orEmpty(m.Missing), Unchecked: orEmpty(m.Unchecked)}}
	p.Service, p.ServiceValues = settings(config.Config{Service: set.Service}, keys.ScopeService)
	most := 0 // targets of one sync: limits grow with them
	for i := range set.Syncs {
		p.Syncs = append(p.Syncs, makeSync(set.Config(i), m))
		most = max(most, len(set.Syncs[i].Targets))
	}
	roles := []seccomp.Role{seccomp.Helper, seccomp.Worker, seccomp.Runner}
	if slices.ContainsFunc(p.Syncs, func(s Sync) bool { return s.Watching.Monitor == choose.Fanotify }) {
		roles = append(roles, seccomp.Resolver)
	}
	if slices.ContainsFunc(set.Syncs, func(s config.Sync) bool { return s.Handled() || s.Hooked() }) {
		roles = append(roles, seccomp.Handler)
	}
	if slices.ContainsFunc(set.Syncs, func(s config.Sync) bool { return s.Handled() && s.Network }) {
		roles = append(roles, seccomp.HandlerNetwork)
	}
	if set.Control.On() {
		roles = append(roles, seccomp.Gate)
	}
	for _, role := range roles {
		p.Roles = append(p.Roles, makeRole(role, m.Limits(string(role), most)))
	}
	for i := range p.Machine.Missing {
		f := &p.Machine.Missing[i]
		f.Allowed = f.Name != "" && set.Allows(f.Name)
	}
	return p
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return slices.Clone(list)
}

func makeSync(cfg config.Config, m Machine) Sync {
	s := Sync{Name: cfg.Name, Source: cfg.Source, Watching: makeWatching(m.Watching(cfg))}
	s.Settings, s.Values = settings(cfg, keys.ScopeSync)
	for _, t := range cfg.Targets {
		one := Target{Target: t.String(), Kind: t.Kind.String(), Host: t.Host, Port: t.Port, User: t.User, Path: t.Path, Missing: t.Missing,
			Warnings: []string{}, Commands: commands(cfg, t)}
		if t.Kind == config.Daemon {
			one.Warnings = append(one.Warnings, "the protocol of rsync daemons sends the files in plain text, and anyone on the way can read and change them")
		}
		if cfg.Handled() && cfg.Network {
			one.Warnings = append(one.Warnings, "the handler has this host's network, and can send what it reads anywhere")
		}
		s.Targets = append(s.Targets, one)
	}
	return s
}

// commands are the command lines by the kind of job, as far as the configuration
// says: what the trial at start finds this rsync unable to do is left out.
func commands(cfg config.Config, t config.Target) map[string][]string {
	out := map[string][]string{}
	if cfg.Handled() {
		words := cfg.HandlerArgs
		if f := cfg.Function(); f != "" {
			words = []string{f}
		}
		out["handler"] = append([]string{cfg.Handler}, words...)
		return out
	}
	o := brief.Options(cfg, t, brief.Want(cfg))
	for kind, name := range map[ipc.JobKind]string{ipc.JobInitial: "initial", ipc.JobPrune: "prune", ipc.JobList: "list", ipc.JobAttr: "attributes",
		ipc.JobContent: "content", ipc.JobKnock: "knock"} {
		out[name] = rsync.Argv(kind, o)
	}
	out["count"] = rsync.Probe(o)
	maps.DeleteFunc(out, func(_ string, argv []string) bool { return argv == nil }) // jobs that there are not
	return out
}

func makeRole(role seccomp.Role, l cgroup.Limits) Role {
	f := seccomp.Table(role, runtime.GOARCH)
	r := Role{Role: string(role), Calls: f.Count(), Others: f.Default.String(), Memory: l.Memory, Processes: l.Pids}
	names := map[string]bool{}
	for _, c := range f.Allow {
		names[c.Name] = true
	}
	r.Fallbacks = len(names) - r.Calls
	killed := map[string]bool{}
	for _, c := range f.Deny {
		killed[c.Name] = true
	}
	r.Refused = len(killed)
	return r
}

// Programs checks each rsync that the syncs name as the supervisor would.
func Programs(set config.Set) config.Problems {
	var p config.Problems
	seen := map[string]bool{}
	for i, s := range set.Syncs {
		for key, path := range s.Hooks() {
			if *path == "" {
				continue
			}
			if _, err := host.InspectHook(*path, s.HandlerIDs); err != nil {
				p = append(p, config.Problem{Pos: set.Places.Find(config.Section(i), key), Thing: key, Reason: err.Error()})
			}
		}
		if s.Handled() {
			if _, err := host.InspectHandler(s); err != nil && s.Handler != "" {
				p = append(p, config.Problem{Pos: set.Places.Find(config.Section(i), "handler"), Thing: "handler", Reason: err.Error()})
			}
			continue
		}
		if seen[s.RsyncPath] {
			continue
		}
		seen[s.RsyncPath] = true
		if _, err := host.Inspect(s.RsyncPath); err != nil {
			p = append(p, config.Problem{Pos: set.Places.Find(config.Section(i), "rsync_path"), Thing: "rsync_path", Reason: err.Error()})
		}
	}
	return p
}

// Split parts what is wrong from what could not be found out by one who is not
// root.
func Split(err error) (wrong config.Problems, unchecked []string) {
	var all config.Problems
	if err != nil && !errors.As(err, &all) {
		return config.Problems{{Reason: err.Error()}}, nil
	}
	for _, p := range all {
		if p.Denied {
			unchecked = append(unchecked, fmt.Sprintf("%s: %s; only root can tell", p.Thing, p.Reason))
			continue
		}
		wrong = append(wrong, p)
	}
	return wrong, unchecked
}
