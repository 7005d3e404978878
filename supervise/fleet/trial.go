package fleet

import (
	"context"

	"lockstep/rsync"
	"lockstep/supervise/session"
	"lockstep/supervise/trials"
)

// tests go on beside the first walks: of each of these a trial is mostly waiting.
// Nothing is made or written on a target, and none is said to be ready, before all of
// them have shown that they can be relied on.
type tests struct {
	trier   trials.Trier
	done    chan struct{} // closed when those of the start have ended; then:
	options map[trials.Key]rsync.Options
	err     error
}

// BeginTrials has each installed rsync show in its real jail what it can do, and returns
// what ends that.
func (s *Fleet) BeginTrials() (end func() error) {
	s.trials.trier = trials.Trier{Log: s.Log, Maker: s.Host.Maker, Dir: s.Scratch}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.trials.done = done
	set, commands := s.Set, s.Commands
	go func() {
		defer close(done)
		s.trials.options, s.trials.err = s.trials.trier.All(ctx, set, commands, nil)
	}()
	return func() error { // what is left of them is of no use to anyone
		cancel()
		<-done
		return nil
	}
}

// awaitTrials waits for the end of the trials, but not past a signal.
func (s *Fleet) awaitTrials() error {
	for {
		select {
		case <-s.trials.done:
			return s.trials.err
		case sig := <-s.Signals:
			if err := s.Ends(sig); err != nil {
				return err
			}
		}
	}
}

// tried tells the sessions what the trials came to.
func (s *Fleet) tried() {
	for _, m := range s.members {
		m.options = s.trials.options[trials.KeyOf(m.cfg, m.command)]
		m.session.Tried <- session.Tried{Options: m.options, Err: s.trials.err}
	}
}
