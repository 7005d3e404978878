package fleet

import (
	"maps"
	"os"
	"slices"

	"lockstep/config"
	"lockstep/console"
	"lockstep/supervise/control"
	"lockstep/supervise/desk"
)

// counter is where a fleet is asked by the control socket. Its methods are called by
// Fleet.Serve, but for Signal.
type counter struct {
	desk     *desk.Desk
	control  *control.Control       // nil: there is none
	requests <-chan control.Request // nil without one
	gateLost <-chan error           // the gate is locked out
	paused   map[string]bool        // syncs that a person holds back, by name; "": all
}

// Heed has the fleet hear what is asked at a control socket. Precondition: Serve has
// not been called.
func (s *Fleet) Heed(c *control.Control) {
	s.control, s.requests, s.gateLost = c, c.Requests, c.Locked
}

// rename forgets pauses of syncs that are no more, and tells the control socket which
// there are.
func (s *Fleet) rename() {
	var names []string
	for _, one := range s.Set.Syncs {
		names = append(names, one.Name)
	}
	maps.DeleteFunc(s.paused, func(name string, _ bool) bool { return name != "" && !slices.Contains(names, name) })
	if s.control != nil {
		s.control.Rename(names)
	}
}

// Parts are where the syncs stand.
func (s *Fleet) Parts() []console.Part {
	var parts []console.Part
	for _, m := range s.members {
		switch {
		case m.leaving != "" && m.stage >= over: // another may have its name
		case m.stage == running || m.stage == over && m.session != nil:
			parts = append(parts, m.marks.Of(m.session.Snapshot()))
		default:
			parts = append(parts, m.shown)
		}
	}
	return parts
}

// Told is what the service was told.
func (s *Fleet) Told() config.Set { return s.Set }

// Signal has a signal's work done for one sync, or as if it had come.
func (s *Fleet) Signal(sig os.Signal, sync string) {
	send := func(to chan<- os.Signal) {
		select {
		case to <- sig:
		default: // several wait there already
		}
	}
	if sync == "" {
		send(s.Signals)
		return
	}
	s.each(func(m *member) {
		if m.cfg.Name == sync {
			send(m.session.Signals)
		}
	})
}

// Pause begins or ends a pause of one sync, or of all. It outlasts a reload, by which a
// sync of that name begins afresh.
func (s *Fleet) Pause(on bool, sync string) {
	switch {
	case sync == "":
		s.paused = map[string]bool{"": on}
	case s.paused == nil:
		s.paused = map[string]bool{sync: on}
	default:
		s.paused = maps.Clone(s.paused)
		s.paused[sync] = on
	}
	s.each(func(m *member) { m.marks.Pause(s.isPaused(m.cfg.Name)) })
	s.Host.Changed()
}

// isPaused says whether a person holds a sync back: what was said of it counts before
// what was said of all.
func (s *Fleet) isPaused(sync string) bool {
	if on, said := s.paused[sync]; said {
		return on
	}
	return s.paused[""]
}
