package generation

import (
	"context"
	"errors"
	"fmt"

	"lockstep/config"
	"lockstep/ipc"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/supervise/errand"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
)

// HookPlan is what a hook is called for, and what it sees.
type HookPlan struct {
	Program string
	Status  string     // which it is told
	Source  *jail.Tree // nil: it is not there
	Targets []jail.Tree
}

// Hook has a hook called by a runner of its own, in a jail of its own, and waits for
// its end; when ctx ends, it is ended. Nothing of it is left then but what hangs in the
// kernel, which may still write. It belongs to no generation; m is a copy, so that nobody else waits for the runner's end.
func (m Maker) Hook(ctx context.Context, cfg config.Config, plan HookPlan) (out ipc.RunExited, hung *proc.Process, err error) {
	// As it is now: a script that a person has edited is no upgrade to be told of.
	h, err := host.InspectHook(plan.Program, cfg.HandlerIDs)
	if err == nil {
		err = m.Starter.Trail.Refuses()
	}
	if err != nil {
		return out, nil, err
	}
	records := ledger{trail: m.Starter.Trail, sync: cfg.Name}
	defer func() { records.hookEnds(plan, out, err) }()
	if err := records.hookBegins(ctx, plan, brief.HookPatience(cfg)); err != nil {
		return out, nil, err
	}
	m.Starter.Exits = make(chan proc.Exit, 1)
	m.Starter.Prefix += plan.Status + "."
	spec := jail.Hook(m.Machine, plan.Source, plan.Targets, h, brief.Rights(cfg, false))
	m.named(&spec, m.Name, plan.Status)
	conn, theirs, err := proc.Pair("runner")
	if err != nil {
		return out, nil, err
	}
	p, err := m.runner(spec, "hook", brief.HookRunner(cfg, h, plan.Status), seccomp.Handler, brief.Rights(cfg, false), theirs)
	if err = errors.Join(err, theirs.Close()); err == nil {
		out, err = errand.Run(ctx, conn, ipc.RunStart{Job: 1, Kind: brief.HookJob}, "", brief.HookPatience(cfg))
	}
	e := errors.Join(conn.Close(), p.End())
	if errors.Is(e, proc.ErrHung) {
		hung = p
	}
	if e != nil {
		err = errors.Join(err, fmt.Errorf("end the hook's runner: %w", e))
	}
	return out, hung, err
}
