package session

import (
	"lockstep/console"
	"lockstep/ipc/status"
	"lockstep/supervise/generation"
	"lockstep/supervise/hook"
	"lockstep/supervise/leave"
)

// leaving makes what ends the session.
func (s *Session) leaving() *leave.Leave {
	return leave.New(s.cfg, s.log, leave.Host{
		Up: func() *generation.Generation {
			if s.phase != phaseUp {
				return nil
			}
			return s.gen
		},
		Call: s.callHook, ShutDown: s.shutDown, Hurry: func() { _ = s.order(status.CommandHurry, nil) },
		Show: func(word string) { s.show(func(n *console.Part) { n.Leaving = word }) },
	})
}

// callHook has a hook called beside all else. It sees what is not held.
func (s *Session) callHook(c *hook.Caller, program, state string) {
	plan := generation.HookPlan{Program: program, Status: state}
	if now, why := s.look(); why == "" {
		source := s.targets[0].pair.Source(now)
		plan.Source = &source
		for _, t := range s.targets {
			if t.why == "" && t.Here() {
				plan.Targets = append(plan.Targets, t.pair.Target(t.roots))
			}
		}
	}
	c.Call(s.maker, s.cfg, plan)
}
