package brief

import (
	"os"

	"lockstep/config"
	"lockstep/ipc/settings"
	"lockstep/rsync"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
)

// HandlerRunner is the configuration of the runner of a handler: the program and
// its words are fixed here; accept is a person's consent to the next whole pass.
func HandlerRunner(cfg config.Config, t config.Target, h host.Handler, accept bool) settings.Runner {
	program := h.Program
	if h.Module.Path != "" {
		program = jail.PluginPath
	}
	r := RunnerBase(cfg, host.Command{Program: program, Dev: h.Dev, Ino: h.Ino})
	r.Source, r.Target, r.Env = cfg.Source, t.Path, jail.HandlerEnv()
	r.Handler = settings.Handler{
		Mode: cfg.Mode, Arguments: cfg.HandlerArgs, Label: cfg.Name, Destination: t.Path,
		Recursive: cfg.Recursive, ForWhole: cfg.ForWhole, Simplify: cfg.PlainLists, Changes: cfg.Changes,
		PID: uint32(os.Getpid()), Lists: jail.Scratch, Ignore: string(cfg.IgnoreExit),
		Module: settings.Module{Path: h.Module.Path, Dev: h.Module.Dev, Ino: h.Module.Ino},
	}
	if tell(cfg) == settings.TellRsync {
		r.Handler.Excludes = rsync.Exact(cfg.Exclude)
	}
	r.Accept = accept
	return r
}

// tell is what the commands of a sync are told.
func tell(cfg config.Config) settings.Tell {
	switch {
	case !cfg.Handled():
		return settings.TellNothing
	case cfg.ToldByLists():
		return settings.TellRsync
	case cfg.ToldByLines():
		return settings.TellLines
	}
	return settings.TellPaths
}
