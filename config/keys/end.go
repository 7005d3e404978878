package keys

import (
	"time"

	"lockstep/config"
	"lockstep/config/field"
)

func endKeys() []Key {
	const advice = "name a program by its absolute path"
	return []Key{
		{Name: "hooks.pre_exit", Group: GroupEnd, Unit: "FILE", Advice: advice,
			Help: "a program that is called before the last pass, at SIGQUIT and when --once is in step; in a jail, root's alone to write", field: field.Absolute(func(c *config.Config) *string { return &c.End.PreExit })},
		{Name: "hooks.exit", Group: GroupEnd, Unit: "FILE", Advice: advice,
			Help: "a program that is called when the sync has ended, if it was ever ready; the same", field: field.Absolute(func(c *config.Config) *string { return &c.End.Exit })},
		{Name: "hooks.timeout", Group: GroupEnd, Unit: "DURATION", Default: "30s", Advice: adviceDuration,
			Help: "end a hook that takes longer", field: field.Duration(100*time.Millisecond, time.Hour, func(c *config.Config) *time.Duration { return &c.End.HookTimeout })},
		{Name: "max_iterations", Group: GroupEnd, Unit: "NUMBER", Default: "0", Number: true, Advice: "write a number up to 1000000000; 0 is no such end",
			Help: "end, with 0, when so many batches of changes have reached a target; a whole pass counts as one, as the first (0: never)", field: field.Number(0, 1_000_000_000, func(c *config.Config) *uint32 { return &c.End.MaxIterations })},
		{Name: "sync_on_quit", Group: GroupEnd,
			Help:  "at SIGQUIT copy what waits before the end, within stop_timeout (else it is left to the first pass of the next start, as at SIGTERM)",
			field: field.Bool(func(c *config.Config) *bool { return &c.End.SyncOnQuit })},
	}
}
