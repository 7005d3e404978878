// Package policy says what each process of an instance is declared to be: the
// specifications, tables and limits of which the jails are built, by the very
// functions that build them.
//
// Trust: linked into the supervisor's program. Its input is root's configuration.
//
// Invariant: nothing is declared here that another package declares: a policy holds
// what package jail, brief and host say, and of whom.
package policy

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"lockstep/cgroup"
	"lockstep/config"
	"lockstep/config/choose"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/supervise/brief"
	"lockstep/supervise/hook"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/kept"
)

// Policy is what one process is declared to be.
type Policy struct {
	Role   string // of its Spec; Command for what a runner starts
	Sync   string // "" where there is one only
	Target string
	Prefix string // of its control group, before the role
	Image  string // its program
	Spec   sandbox.Spec

	Descriptors []jail.Descriptor // those of the table that it can have
	Targets     int               // that its process serves
	Limits      cgroup.Limits
	// Leased: its ids are not known before it runs, but leased to this instance.
	Leased bool
	// Trees are the binds that show a source or a target, by where it is in the
	// jail: the paths on the host that it may be. Without any it is not compared.
	Trees map[string][]string
	Held  bool // any of Trees may be missing: it is shown what is not held
	// Trial is how the paths of both trees begin, when they are not known.
	Trial string
	Kept  string // directory of the files for a handler's lists; "": none are kept

	// Of a runner: what its commands may be, and below which directories more.
	Programs []string
	Dirs     []string
	SSH      string // the one program without capabilities
}

// Command is the role of what a runner starts.
const Command = "command"

// Declared is what one running lockstep was told.
type Declared struct {
	Set   config.Set // resolved; of a watch, its service alone
	Watch bool
	Roots []string // of a watch; nil: they are not known
	Notes []string // what is wrong with its configuration by now
}

// Of are the policies of an instance.
func (d Declared) Of(m jail.Machine) ([]Policy, error) {
	if d.Watch {
		return d.watched(m), nil
	}
	var all []Policy
	if d.Set.Control.On() && !d.Set.DryRun {
		s := maker{machine: m, prefix: "control."}
		all = append(all, s.leased(s.make(jail.Gate(m, 0, 0), 0, nil)))
	}
	for i := range d.Set.Syncs {
		of, err := sync(d.Set, i, m)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	return all, nil
}

// maker makes the policies of one sync.
type maker struct {
	machine jail.Machine
	cfg     config.Config
	sync    string
	prefix  string
	scratch string
	trees   []string // where the source is
	command host.Command
}

func sync(set config.Set, i int, m jail.Machine) ([]Policy, error) {
	cfg := set.Config(i)
	s := maker{machine: m, cfg: cfg, trees: []string{cfg.Source},
		scratch: filepath.Join(cfg.StateDir, "scratch-"+rootid.Key(cfg.RuntimeDir, ""))}
	if set.Path != "" {
		s.sync, s.prefix = cfg.Name, cfg.Name+"."
	}
	if !cfg.Handled() {
		var err error
		if s.command, err = host.Inspect(cfg.RsyncPath); err != nil {
			return nil, err
		}
	}
	id, _ := rootid.Read(cfg.Source) // without it nothing is known to be blind
	all := s.pair(cfg.Watching(id.Blind()).Monitor)
	if !cfg.Handled() {
		all = append(all, s.trial())
	}
	hooks, err := s.hooks()
	if err != nil {
		return nil, err
	}
	all = append(all, hooks...)
	for _, t := range cfg.Targets {
		runner, err := s.runner(t)
		if err != nil {
			return nil, err
		}
		all = append(all, runner)
	}
	return all, nil
}

// pair are the policies of helper, worker and resolver.
func (s maker) pair(monitor string) []Policy {
	source := jail.Tree{Host: s.cfg.Source, Path: s.cfg.Source, Recursive: s.cfg.CrossMounts}
	m := s.machine
	m.Targets = len(s.cfg.Targets)
	when := map[string]bool{jail.WhenMirror: true}
	if _, rules := s.cfg.RuleText(); len(rules) > 0 {
		when[jail.WhenRules] = true
	}
	return append([]Policy{
		s.make(jail.Helper(m, []jail.Tree{source}), len(s.cfg.Targets), when),
		s.leased(s.make(jail.Worker(m, 0, 0), 0, when)),
	}, s.resolvers(m, source, monitor)...)
}

// resolvers are the policies of the process that reads for the worker; of a watch
// it may be either.
func (s maker) resolvers(m jail.Machine, source jail.Tree, monitor string) []Policy {
	var all []Policy
	if monitor == choose.Fanotify || monitor == choose.Auto {
		all = append(all, s.make(jail.Resolver(m, source), 0, map[string]bool{jail.WhenFanotify: true}))
	}
	if monitor == choose.Dnotify || monitor == choose.Auto {
		all = append(all, s.make(jail.Dnotify(m, source), 0, map[string]bool{jail.WhenDnotify: true}))
	}
	return all
}

// make makes a policy of a specification.
func (s maker) make(spec sandbox.Spec, targets int, when map[string]bool) Policy {
	p := Policy{Role: spec.Role, Sync: s.sync, Prefix: s.prefix, Image: "lockstep-" + spec.Role, Spec: spec, Targets: targets,
		Limits: brief.Limits(spec.Role, targets, false), Trees: map[string][]string{}}
	for _, d := range jail.Descriptors(spec.Role) {
		if d.When == "" || when[d.When] {
			p.Descriptors = append(p.Descriptors, d)
		}
	}
	for _, b := range spec.Binds {
		if b.Source == s.cfg.Source || s.cfg.Source == "" && !b.File {
			p.Trees[b.Target] = s.trees
		}
	}
	return p
}

func (s maker) leased(p Policy) Policy {
	p.Leased = true
	return p
}

// runner is the policy of a target's runner.
func (s maker) runner(t config.Target) (Policy, error) {
	source := jail.Tree{Host: s.cfg.Source, Path: s.cfg.Source, Recursive: s.cfg.CrossMounts}
	tree := jail.Tree{Host: t.Path, Path: t.Path, Recursive: true}
	rights := brief.Rights(s.cfg, s.cfg.DryRun)
	when := map[string]bool{}
	var p Policy
	switch {
	case s.cfg.Handled():
		h, err := host.InspectHandler(s.cfg.Sync)
		if err != nil {
			return p, err
		}
		when[jail.WhenModule], when[jail.WhenKept] = s.cfg.CallsModule(), s.cfg.KeepLists
		p = s.make(jail.HandlerRunner(s.machine, source, tree, h, rights), 1, when)
		if s.cfg.KeepLists {
			p.Kept = kept.Dir(s.cfg.RuntimeDir, s.cfg.Name)
		}
		p.Dirs, p.Programs = h.Dirs, []string{h.Program, jail.PluginPath}
	case t.Remote():
		kind := brief.Remote(t).Kind
		c, err := host.InspectRemote(s.command, kind, host.DefaultSSH)
		if err != nil {
			return p, err
		}
		// Addresses, keys and ids are content; what is mounted does not depend on it.
		p = s.leased(s.make(jail.RemoteRunner(s.machine, source, jail.Remote{Kind: kind, Port: brief.Remote(t).Port, Command: c}), 1, when))
		p.Programs = []string{c.Rsync.Program}
		if kind == rsync.SSH {
			p.SSH = c.SSH.Program
			p.Programs = append(p.Programs, rsync.ConnectPath, c.SSH.Program)
		}
	default:
		p = s.make(jail.Runner(s.machine, source, tree, s.command, rights), 1, when)
		p.Programs = []string{s.command.Program}
	}
	p.Limits = brief.Limits(p.Role, 1, rights.Devices)
	if p.Target = t.String(); t.Kind == config.Local && !s.cfg.DryRun {
		p.Trees[t.Path] = []string{t.Path}
	}
	return p, nil
}

// hooks are the policies of the runners of hooks.
func (s maker) hooks() ([]Policy, error) {
	source := jail.Tree{Host: s.cfg.Source, Path: s.cfg.Source, Recursive: s.cfg.CrossMounts}
	var trees []jail.Tree
	for _, t := range s.cfg.Targets {
		if t.Kind == config.Local {
			trees = append(trees, jail.Tree{Host: t.Path, Path: t.Path, Recursive: true})
		}
	}
	rights := brief.Rights(s.cfg, false)
	var all []Policy
	for _, one := range []struct{ state, program string }{{hook.PreExit, s.cfg.End.PreExit}, {hook.Exiting, s.cfg.End.Exit}} {
		if one.program == "" {
			continue
		}
		h, err := host.InspectHook(one.program, s.cfg.HandlerIDs)
		if err != nil {
			return nil, err
		}
		p := s.make(jail.Hook(s.machine, &source, trees, h, rights), 1, nil)
		p.Prefix += one.state + "."
		p.Target, p.Dirs, p.Programs, p.Held = "the hook "+one.state, h.Dirs, []string{h.Program}, true
		p.Limits = brief.Limits(p.Role, 1, rights.Devices)
		for _, t := range trees {
			p.Trees[t.Path] = []string{t.Path}
		}
		all = append(all, p)
	}
	return all, nil
}

// trial is the policy of the runner of a trial, which is between two trees of its own.
func (s maker) trial() Policy {
	s.prefix, s.sync = "trial.", ""
	rights := brief.Rights(s.cfg, false)
	p := s.make(jail.Runner(s.machine, jail.Tree{}, jail.Tree{}, s.command, rights), 1, nil)
	p.Limits = brief.Limits(p.Role, 1, rights.Devices)
	p.Trial, p.Target, p.Programs = filepath.Join(s.scratch, "trial-"), "the trial of rsync", []string{s.command.Program}
	p.Trees = nil
	return p
}

// Between is the policy of a trial between two trees.
func (p Policy) Between(source, target string) Policy {
	p.Spec.Binds, p.Spec.Landlock = slices.Clone(p.Spec.Binds), nil
	at := []string{source, target}
	for i := range p.Spec.Binds {
		if b := &p.Spec.Binds[i]; b.Target == "" && len(at) > 0 {
			b.Source, b.Target = at[0], at[0]
			at = at[1:]
		}
	}
	p.Trees = map[string][]string{source: {source}, target: {target}}
	return p
}

// watched are the policies of the processes of any root.
func (d Declared) watched(m jail.Machine) []Policy {
	s := maker{machine: m, prefix: "root.", trees: d.Roots}
	when := map[string]bool{jail.WhenWatch: true}
	all := []Policy{
		s.make(jail.Helper(m, []jail.Tree{{}}), 0, when),
		s.leased(s.make(jail.Worker(m, 0, 0), 0, when)),
	}
	return append(all, s.resolvers(m, jail.Tree{}, choose.Auto)...)
}

// With is the policy with these ids.
func (p Policy) With(uid, gid int) Policy {
	p.Spec.UID, p.Spec.GID = uid, gid
	return p
}

// Commands is the policy of what a runner starts.
func (p Policy) Commands() Policy {
	p.Role, p.Image = Command, ""
	p.Trees = maps.Clone(p.Trees)
	return p
}

// String names it.
func (p Policy) String() string {
	text := p.Role
	for _, s := range []string{p.Sync, p.Target} {
		if s != "" {
			text += " " + s
		}
	}
	return text
}

// Missing are the features that may be absent.
func (d Declared) Missing(feature string) bool { return d.Set.Allows(feature) }

// Error says that the policy of an instance could not be made.
func Error(err error) error { return fmt.Errorf("what it is declared to be is not known: %w", err) }
