package fleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"lockstep/config"
	"lockstep/console"
	"lockstep/rsync"
	"lockstep/supervise/exit"
	"lockstep/supervise/host"
	"lockstep/supervise/marks"
	"lockstep/supervise/reload"
	"lockstep/supervise/session"
)

// stage is how far a member has come.
type stage uint8

const (
	waiting   stage = iota // for what others have to give back
	preparing              // it takes what it needs
	running
	over      // it has ended; something of it may be left
	closed    // all that it took was given back
	abandoned // it was preparing, and is not waited for
)

// member is one sync of the service, with all that was taken for it. While it is
// preparing, the goroutine that prepares it owns what that sets; all else is
// Fleet.Serve's.
type member struct {
	cfg     config.Config
	command host.Command
	options rsync.Options // what its rsync can do, once that is known
	after   []*member     // that end, and have something in common with it
	stage   stage
	leaving reload.Leave // "": it shall go on
	heir    bool         // of one that has left; see session.Host
	tries   int          // in vain
	again   time.Time    // not before

	live  console.Live
	shown console.Part

	// Set by prepare:
	host    session.Host
	marks   *marks.Marks
	session *session.Session
	undo    []func() error
}

// ending is the end of a session.
type ending struct {
	member *member
	err    error
}

// event is something that a goroutine has done, and what Fleet.Serve does then.
type event struct {
	then func(err error)
	err  error
}

// waits is said of a member that has not begun.
const waits = "starting"

func (s *Fleet) newMember(cfg config.Config, command host.Command) *member {
	return &member{cfg: cfg, command: command, shown: console.Part{Name: cfg.Name, Why: waits, Ready: true}}
}

// later puts something on the list of what is to be given back.
func (m *member) later(f func() error) { m.undo = append(m.undo, f) }

// close gives everything back, in the opposite order.
func (m *member) close() error {
	var err error
	for i := len(m.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, m.undo[i]())
	}
	m.undo = nil
	return err
}

// prepare takes what a member needs; close gives it back, also after an error. made is
// called before anything is looked at or made on a target.
func (s *Fleet) prepare(m *member, made func() error) error {
	dir := filepath.Join(s.Scratch, strconv.FormatInt(s.dirs.Add(1), 10))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("scratch directory: %w", err)
	}
	m.later(func() error { return os.RemoveAll(dir) })
	log := s.Log
	if m.host.Named {
		log = log.With("sync", m.cfg.Name)
	}
	files, standby, err := marks.Open(m.cfg, log, m.host.Changed)
	m.marks = files
	m.later(files.Close)
	if err != nil {
		return err
	}
	files.Show(console.Part{}, false)
	m.session = session.New(&m.host, m.cfg, m.command, standby, dir)
	m.later(m.session.Close)
	if err := made(); err != nil {
		return err
	}
	if err := m.session.Prepare(); err != nil {
		return err
	}
	mounts := m.session.Mounts
	look := func() { poke(mounts) }
	watch := func(path string) {
		remove := s.Above.Add(path, look)
		m.later(func() error { remove(); return nil })
	}
	watch(m.cfg.Source)
	for _, t := range m.cfg.Targets {
		if t.Kind == config.Local {
			watch(t.Path)
		}
	}
	return nil
}

// begin prepares a member beside all others, and has it run.
func (s *Fleet) begin(m *member) {
	m.stage, m.host = preparing, s.Host
	m.host.Heir = m.heir
	m.host.Alone = false // what it cannot do ends nothing: the service goes on
	go func() {
		s.soon(s.began(m), s.prepare(m, func() error { return nil }))
	}()
}

// soon has Fleet.Serve do something.
func (s *Fleet) soon(then func(error), err error) {
	select {
	case s.events <- event{then, err}:
	case <-s.served:
	}
}

// Another attempt to begin follows after this, and ever later.
const (
	firstAgain = time.Second
	mostAgain  = time.Minute
)

// began takes a member that is prepared, or could not be.
func (s *Fleet) began(m *member) func(error) {
	return func(err error) {
		if m.stage != preparing { // it was not waited for
			return
		}
		m.stage = over
		switch {
		case m.leaving != "" || s.stopped:
			s.gone(m)
		case err != nil:
			wait := min(firstAgain<<min(m.tries, 10), mostAgain)
			m.tries++
			log := s.Log.With("sync", m.cfg.Name)
			Tell(log, err, exit.Code(err))
			log.Error("the sync could not begin; it is tried again", "in", wait)
			s.giveBack(m)
			m.stage, m.again = waiting, time.Now().Add(wait)
			time.AfterFunc(wait, func() { s.soon(func(error) { s.advance() }, nil) })
		default:
			m.session.Tried <- session.Tried{Options: m.options}
			s.run(m)
		}
	}
}

// run runs a member that is prepared.
func (s *Fleet) run(m *member) {
	m.stage = running
	if s.isPaused(m.cfg.Name) {
		s.Log.Info("the sync begins paused, as lockstep ctl has asked", "sync", m.cfg.Name)
		m.marks.Pause(true)
	}
	go func() {
		err := m.session.Run()
		s.soon(func(err error) { s.onEnd(m, err) }, err)
	}()
}

// lookAgain is how often a process that could not be ended is looked for.
const lookAgain = time.Second

// onEnd takes the end of a member: what it took is given back when nothing of it is
// left that could still write.
func (s *Fleet) onEnd(m *member, err error) {
	m.stage = over
	s.worst = s.over(ending{m, err}, s.worst, s.left())
	s.show(m, time.Now())
	hangs := m.session.Hangs
	if hangs() == nil {
		s.gone(m)
		return
	}
	s.settle()
	go func() {
		tick := time.NewTicker(lookAgain)
		defer tick.Stop()
		for hangs() != nil {
			select {
			case <-tick.C:
			case <-s.served:
				return
			}
		}
		s.soon(func(error) { s.gone(m) }, nil)
	}()
}

// gone gives back what a member took, of which nothing is left.
func (s *Fleet) gone(m *member) {
	s.giveBack(m)
	m.stage = closed
	s.settle()
	s.advance()
}

func (s *Fleet) giveBack(m *member) {
	err := m.close()
	if err == nil {
		return
	}
	err = fmt.Errorf("not all that the sync %s had taken could be given back; the next start does it: %w", m.cfg.Name, err)
	if m.leaving == "" {
		s.worst = both(s.worst, err)
	} else {
		Tell(s.Log, err, exit.Failed)
	}
}

// leave has a member end while the service goes on.
func (s *Fleet) leave(m *member, why reload.Leave) {
	m.leaving = why
	switch m.stage {
	case waiting:
		m.stage = closed
	case running:
		signals, ended := m.session.Signals, make(chan struct{})
		m.later(func() error { close(ended); return nil })
		go func() {
			select {
			case signals <- why:
			case <-ended: // by itself
			case <-s.served:
			}
		}()
	}
}

// advance begins those for which nothing is in the way any more.
func (s *Fleet) advance() {
	now := time.Now()
	for _, m := range s.members {
		if m.stage != waiting || s.stopped || now.Before(m.again) {
			continue
		}
		free := true
		for _, other := range m.after {
			free = free && other.stage == closed
		}
		if free {
			m.after = nil
			s.begin(m)
		}
	}
}

// left counts those that have not ended.
func (s *Fleet) left() int {
	n := 0
	for _, m := range s.members {
		if m.stage < over {
			n++
		}
	}
	return n
}
