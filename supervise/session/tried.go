package session

import (
	"time"

	"lockstep/rsync"
)

// Tried is what the trials of all syncs came to: Options are what this sync's
// rsync can do. Err says that one of them failed, which is the end of all.
type Tried struct {
	Options rsync.Options
	Err     error
}

// onTried begins what has waited for the trial: what there is to remember of the
// roots is written down, runners are started, and the sync may be ready.
func (s *Session) onTried(v Tried) error {
	if v.Err != nil {
		return v.Err
	}
	if err := s.held.Keep(s.gen.In()); err != nil {
		return err
	}
	known := v.Options.Devices == s.options.Devices
	s.options, s.tried = v.Options, true
	if s.gen != nil && !known { // the worker was told to have devices copied
		if err := s.stopGeneration(); err != nil {
			return err
		}
		return s.startAgain()
	}
	if err := s.checkRoots(); err != nil {
		return err
	}
	s.becameReady(time.Now())
	return nil
}
