package generation

import (
	"errors"

	"lockstep/config"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/supervise/proc"
)

// dnotify starts the process that holds a descriptor of each directory.
func (m *Maker) dnotify(g *Generation, plan Plan, files *proc.Files) error {
	if plan.Config.Handled() && !plan.Config.ToldByLists() {
		return errors.New(config.NoNames + "; use another monitor")
	}
	ours, theirs, err := proc.Pair("resolver")
	files.Take(theirs, err)
	if err != nil {
		return err
	}
	g.events = ours
	spec := m.Profile.Dnotify(m.Machine, plan.Source)
	m.named(&spec, m.Name)
	g.Resolver, err = m.Starter.Start(spec, "", m.Programs.Resolver, []sandbox.Donation{
		proc.Donate("worker", theirs), proc.Donate("filter", m.Filters[seccomp.Dnotify]),
	}, brief.Limits(spec.Role, 0, false))
	return err
}
