package generation

import (
	"errors"
	"strings"

	"lockstep/internal/escape"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/supervise/fanotify"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
)

// resolver marks the source's file system and starts the process that reads what
// happens there, and passes on what concerns the source.
func (m *Maker) resolver(g *Generation, plan Plan, files *proc.Files) error {
	if inside := plan.Roots.SourceRels(); plan.Source.Recursive && len(inside) > 0 {
		return errors.New("fanotify: " + escape.Name(strings.Join(inside, ", ")) + ": mounted inside the source, and a mark sees one file system; use monitor = \"inotify\"")
	}
	events := files.Take(fanotify.Open(fanotify.Tree{Path: plan.Source.Host, Dev: plan.Source.Dev, Ino: plan.Source.Ino}))
	ours, theirs, err := proc.Pair("resolver")
	files.Take(theirs, err)
	if err == nil {
		g.events = ours
	}
	if err := files.Err(); err != nil {
		return err
	}
	spec := jail.Resolver(m.Machine, plan.Source)
	m.named(&spec, m.Name)
	g.Resolver, err = m.Starter.Start(spec, "", m.Programs.Resolver, []sandbox.Donation{
		proc.Donate("fanotify", events), proc.Donate("worker", theirs), proc.Donate("filter", m.Filters[seccomp.Resolver]),
	}, brief.Limits(spec.Role, 0, false))
	return err
}
