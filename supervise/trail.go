package supervise

import (
	"lockstep/supervise/scribe"
)

// openTrail opens the audit trail, if there is to be one. A dry run does nothing that
// would be recorded.
func (s *service) openTrail() (err error) {
	if s.set.DryRun || !s.set.Audit.On() {
		return nil
	}
	p := s.host.Maker.Programs
	s.trail, err = scribe.Open(scribe.Options{
		Audit: s.set.Audit, Keys: s.set.StateDir, Log: s.log,
		Cfg: scribe.HashConfig(s.set.Files, s.args), Bin: scribe.Hash(p.Self),
	}, scribe.Started(s.kernel.Release, s.set.RuntimeDir, p.Self, p.Helper, p.Worker, p.Runner, p.Resolver, p.Gate))
	if err != nil {
		return err
	}
	s.trail.Loaded(s.set.Files, s.args, nil)
	s.host.Maker.Starter.Trail = s.trail
	return nil
}
