package generation

import (
	"lockstep/config"
	"lockstep/ipc/settings"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/kept"
	"lockstep/supervise/proc"
)

// lists are the files in which a runner keeps those of its handler, if that was asked
// for; files closes them.
func (m *Maker) lists(cfg config.Config, plan RunnerPlan, files *proc.Files) ([]sandbox.Donation, error) {
	if !cfg.KeepLists {
		return nil, nil
	}
	open, err := kept.Open(m.RuntimeDir, cfg.Name, int(plan.ID))
	if err != nil {
		return nil, err
	}
	var all []sandbox.Donation
	for i, name := range kept.Names() {
		all = append(all, proc.Donate(name, files.Take(open[i], nil)))
	}
	return all, nil
}

// outfit is what a runner is told, its jail and its filter.
func (m *Maker) outfit(cfg config.Config, plan RunnerPlan) (settings.Runner, sandbox.Spec, seccomp.Role, error) {
	if cfg.Handled() {
		// As it is now: a script that a person has edited is no upgrade to be told of.
		h, err := host.InspectHandler(cfg.Sync)
		if err != nil {
			return settings.Runner{}, sandbox.Spec{}, "", err
		}
		told := brief.HandlerRunner(cfg, plan.Target, h, plan.Accept)
		told.Entries = plan.Entries
		filter := seccomp.Handler
		if h.Network {
			filter = seccomp.HandlerNetwork
			m.Log.Warn("network: the handler has this host's network, and can reach all that this host can; what it is told of, and may read, it can send anywhere")
		}
		if h.IDs.UID != 0 {
			m.Log.Info("the handler runs as "+cfg.HandlerUser+", with the rights of that user alone", "uid", h.IDs.UID, "gid", h.IDs.GID)
		}
		return told, jail.HandlerRunner(m.Machine, plan.Source, plan.Tree, h, plan.Rights), filter, nil
	}
	told := brief.Runner(cfg, plan.Target, plan.Options, plan.Command, plan.Accept, plan.Passed)
	told.Entries = plan.Entries
	if plan.Remote != nil {
		return told, jail.RemoteRunner(m.Machine, plan.Source, *plan.Remote), seccomp.Remote, nil
	}
	return told, jail.Runner(m.Machine, plan.Source, plan.Tree, plan.Command, plan.Rights), seccomp.Runner, nil
}
