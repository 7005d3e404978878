package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"lockstep/config"
	"lockstep/config/resolve"
	"lockstep/internal/escape"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/supervise/exit"
	"lockstep/supervise/host"
	"lockstep/supervise/reload"
	"lockstep/supervise/scribe"
	"lockstep/supervise/trials"
)

// renewal is how the configuration is read anew while all runs. There is one at a
// time: it is read beside all that goes on (file systems may not answer), tried, and
// then put in force; it ends when what has to make room has ended.
type renewal struct {
	blocks []string // that signals have loaded

	now    *candidate       // nil: none is under way
	limit  <-chan time.Time // of its reading
	cancel func()           // its trials, and waits for them
}

// candidate is a configuration that was read anew, with what it needs.
type candidate struct {
	request  reload.Request
	blocks   []string
	set      config.Set
	warnings config.Problems
	commands map[string]host.Command
	options  map[trials.Key]rsync.Options
	plan     reload.Plan
	inForce  bool
}

// Asks takes a signal that asks for a reload, or for a block to be loaded.
func Asks(source reload.Source, asked *reload.Asked, sig os.Signal) bool {
	number, _ := sig.(syscall.Signal)
	block, loads := source.Signals[int(number)]
	if loads || sig == syscall.SIGHUP {
		asked.Add(block)
		return true
	}
	return false
}

// renew begins a reload that was asked for, unless one is under way, or it is not yet
// known whether what runs can run.
func (s *Fleet) renew() {
	if s.now != nil || s.stopped || !s.fit {
		return
	}
	request, any := s.Asked.Take()
	if !any {
		return
	}
	c := &candidate{request: request, blocks: s.blocks}
	for _, b := range request.Blocks {
		c.blocks = reload.Load(c.blocks, b)
	}
	switch {
	case s.Source.Read == nil:
		s.refuse(c, errors.New("there is no file that could be read again: lockstep mirror has its command line only; restart it with another one"))
		return
	case s.Set.Once || s.Set.DryRun:
		s.refuse(c, errors.New("--once and --dry-run do what the configuration said at their start; restart lockstep"))
		return
	}
	s.Log.Info("the configuration is read anew" + loading(request.Blocks))
	if s.told {
		s.Notify.Reloading(time.Now())
	}
	s.now, s.limit = c, time.After(ResolveLimit)
	go func() {
		next := *c
		err := next.read(s.Source)
		s.soon(func(err error) {
			if s.now == c { // else it was not waited for
				s.limit = nil
				s.judge(&next, err)
			}
		}, err)
	}()
}

func loading(blocks []string) string {
	if len(blocks) == 0 {
		return ""
	}
	return escape.Name(", with [" + strings.Join(blocks, "], [") + "] loaded")
}

// read is all of a reload that asks file systems.
func (c *candidate) read(source reload.Source) error {
	set, warnings, err := source.Read(c.blocks)
	c.warnings, set.Accept = warnings, nil // consent was to what there was at the start
	if err == nil {
		c.set, err = resolve.Set(set)
	}
	if err == nil {
		c.commands, err = Inspect(c.set)
	}
	return err
}

// judge takes what was read: if it is good, what is new in it is tried.
func (s *Fleet) judge(c *candidate, err error) {
	s.now = c
	if err != nil {
		s.failed(err)
		return
	}
	plan, problems := reload.Compare(s.Set, c.set)
	if len(problems) > 0 {
		s.failed(problems)
		return
	}
	c.plan = plan
	known := s.trials.options
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.cancel = func() {
		cancel()
		<-done
	}
	go func() {
		options, err := s.trials.trier.All(ctx, c.set, c.commands, known)
		close(done)
		s.soon(func(err error) {
			if s.now != c || s.stopped {
				return
			}
			if c.options = options; err != nil {
				s.failed(err)
				return
			}
			s.putInForce(c)
		}, err)
	}()
}

// refuse says that there is no reload: nothing has been touched.
func (s *Fleet) refuse(c *candidate, err error) {
	Tell(s.Log, err, exit.Failed)
	s.Log.Error("the configuration is not read anew: all goes on as before")
	c.request.Answer(err)
	s.renew()
}

// failed is the end of a reload of which nothing was put in force.
func (s *Fleet) failed(err error) {
	Tell(s.Log, err, exit.Failed)
	s.Log.Error("the new configuration is refused as a whole: the old one stays in force")
	s.Host.Maker.Starter.Trail.Loaded(s.now.set.Files, nil, err)
	s.end(err)
}

// end ends the reload under way.
func (s *Fleet) end(err error) {
	c := s.now
	s.now, s.limit, s.cancel = nil, nil, nil
	if s.told && !s.stopped {
		s.Notify.Ready(time.Now())
	}
	c.request.Answer(err)
	s.renew()
}

// stopReload ends a reload under way when all ends: what it was to put in force does
// not come to be. Its processes have ended when it returns.
func (s *Fleet) stopReload() {
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
	if s.now != nil {
		s.now.request.Answer(errors.New("lockstep ends"))
		s.now, s.limit = nil, nil
	}
}

// putInForce is the one step in which all changes: what ends is told to, what begins
// waits for it.
func (s *Fleet) putInForce(c *candidate) {
	overlap := func(string, string) bool { return true }
	if mounts, err := rootid.ReadMounts(); err == nil {
		overlap = func(a, b string) bool { return mounts.Overlap(a, b) != rootid.Apart }
	}
	s.say(c)
	s.Set, s.Commands, s.blocks, s.trials.options, c.inForce = c.set, c.commands, c.blocks, c.options, true
	for _, m := range s.members {
		switch name := m.cfg.Name; {
		case m.leaving != "":
		case slices.Contains(c.plan.Changed, name):
			s.leave(m, reload.Changed)
		case slices.Contains(c.plan.End, name):
			s.leave(m, reload.Removed)
		}
	}
	before := slices.Clone(s.members)
	for i, one := range s.Set.Syncs {
		if slices.Contains(c.plan.Same, one.Name) {
			continue
		}
		m := s.newMember(s.Set.Config(i), s.Commands[one.RsyncPath])
		m.options = c.options[trials.KeyOf(m.cfg, m.command)]
		for _, last := range before {
			if last.leaving == "" || !reload.After(one, last.cfg.Sync, overlap) {
				continue
			}
			if m.heir = true; last.stage != closed {
				m.after = append(m.after, last)
			}
		}
		s.members = append(s.members, m)
	}
	s.rename()
	s.settle()
	s.advance()
}

// say tells what becomes of each sync.
func (s *Fleet) say(c *candidate) {
	for _, w := range c.warnings {
		s.Log.Warn(w.Error())
	}
	scribe.SayFiles(s.Log, c.set)
	s.Host.Maker.Starter.Trail.Loaded(c.set.Files, nil, nil)
	p := c.plan
	text := "the new configuration is in force"
	if p.Idle() {
		text += ": nothing in it has changed"
	}
	s.Log.Info(text, "unchanged", list(p.Same), "changed", list(p.Changed), "begin", list(p.Begin), "end", list(p.End))
	for _, m := range s.members {
		if m.leaving == "" && m.stage >= over && slices.Contains(p.Same, m.cfg.Name) {
			s.Log.Warn("the sync had ended by itself, and stays so: nothing of it has changed; restart lockstep to have it begin again", "sync", m.cfg.Name)
		}
	}
}

// list is the names of syncs in a message.
func list(names []string) string {
	const most = 20
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), n-most)
	}
	return strings.Join(names, " ")
}

// settle forgets those that have left, and ends a reload when none of those that ran
// is still about to.
func (s *Fleet) settle() {
	s.members = slices.DeleteFunc(s.members, func(m *member) bool { return m.stage == closed && m.leaving != "" })
	if s.now == nil || !s.now.inForce {
		return
	}
	for _, m := range s.members {
		if m.leaving != "" && m.stage == running {
			return
		}
	}
	s.end(nil)
}
