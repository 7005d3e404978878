package brief

import (
	"time"

	"lockstep/config"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
)

// HookJob is the kind of job that a hook is to its runner: one that has no guard, and
// in which nothing is sent to the command that rsync alone needs.
const HookJob = ipc.JobContent

// HookRunner is the configuration of the runner of a hook. status is what clsync's
// hooks are told.
func HookRunner(cfg config.Config, h host.Handler, status string) settings.Runner {
	r := RunnerBase(cfg, host.Command{Program: h.Program, Dev: h.Dev, Ino: h.Ino})
	r.Env = append(jail.HandlerEnv(), "CLSYNC_STATUS="+status)
	r.Argv[HookJob] = []string{h.Program, cfg.Name}
	r.Timeout, r.ShowOutput = cfg.End.HookTimeout, true
	return r
}

// HookPatience is more than a hook takes until its runner has ended it.
func HookPatience(cfg config.Config) time.Duration { return cfg.End.HookTimeout + 2*grace }
