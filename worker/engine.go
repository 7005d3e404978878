package worker

import (
	"errors"
	"fmt"
	"io"
	"time"

	"lockstep/internal/calm"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/ipc/wire"
	"lockstep/monitor"
	"lockstep/rules/ordered"
	"lockstep/worker/account"
	"lockstep/worker/barrier"
	"lockstep/worker/deliver"
	"lockstep/worker/pump"
	"lockstep/worker/watch"
)

// Helper is the other side of the boundary, as the engine sees it: pump.Client,
// but for the program that measures what the boundary costs (bench/unsplit).
type Helper interface {
	// Request hands over a message, and after a Start its list, and returns the
	// number that its answer will carry. It waits for nobody.
	Request(m ipc.Message, list []byte) uint32
	Answers() <-chan pump.Answer // and notices
	Errs() <-chan error          // what ends the conversation
}

// Feed is where changes are heard of: the kernel's event queue (pump.Source, to
// which the helper adds the watches), or a process that reads for us. What is in
// its buffers it decodes itself, so that the engine knows no difference.
type Feed interface {
	Run() error                               // reads until it fails
	Filled() <-chan []byte                    // a nil buffer says: the queue was empty after Mark was called
	Release(b []byte)                         // takes a buffer back
	Decode(b []byte, to monitor.Takers) error // calls one of them for each event
	Mark()                                    // asks for a nil buffer behind everything that is in the queue now
	Unwatch(wd int32)                         // ends a watch, where directories have one
}

// Ends are what connects the engine with the others.
type Ends struct {
	Helper Helper
	Status io.ReadWriter // reports go to the supervisor, commands come back
	Events Feed          // where changes are heard of
	Output watch.Output  // lines about what is watched; nil: nothing is
	Log    io.Writer
	Calm   *calm.Collector
	Rules  *ordered.Set // beside what is excluded; nil: none
}

// engine owns all state; only run and what it calls touch it.
type engine struct {
	log      pump.Log
	calm     *calm.Collector
	rules    *ordered.Set
	helper   Helper
	reporter *pump.Reporter
	feed     Feed
	takers   monitor.Takers // of what it tells
	failed   chan error     // what ended it
	barriers barrier.Queue  // called once the events up to then were applied
	fatal    error
	now      time.Time
	roots    []*root
	watches  []*watch.Root
	output   watch.Output
	// flights knows what each unanswered request was for. An answer may come
	// in several packets; all but the last have Final unset.
	flights  map[uint32]deliver.Flight
	jobs     map[ipc.JobID]*deliver.Task
	early    map[ipc.JobID]ipc.Exited // ended before their StartAnswer was read
	draining bool
	drained  bool
	events   uint64
	verified uint64 // verifications, when heap was last measured
	heap     uint64 // bytes
	hurried  uint64 // CommandHurry that was obeyed
}

// ErrRootGone says that a root is no longer what it was. The process ends with
// exit code 75, and the supervisor looks at the path again.
var ErrRootGone = errors.New("the root is gone")

// errDrained ends the engine when it was asked to leave and has left.
var errDrained = errors.New("drained")

// Run is the worker's life: greet, watch, keep in step, until the helper says
// Shutdown and the last job has ended. Any error is fatal: the supervisor
// starts afresh and every root is compared again.
func Run(d Ends, build string) error {
	e := &engine{
		log:      pump.Log{W: d.Log},
		calm:     d.Calm,
		rules:    d.Rules,
		helper:   d.Helper,
		reporter: pump.NewReporter(d.Status),
		feed:     d.Events,
		barriers: barrier.Queue{Mark: d.Events.Mark},
		output:   d.Output,
		failed:   make(chan error, 1),
		now:      time.Now(),
		flights:  make(map[uint32]deliver.Flight),
		jobs:     make(map[ipc.JobID]*deliver.Task),
		early:    make(map[ipc.JobID]ipc.Exited),
	}
	e.takers = e.taking()
	commands := make(chan status.Command, 4)
	go func() { e.failed <- e.feed.Run() }()

	e.ask(&ipc.Hello{Version: ipc.Version, Build: build}, nil, func(m ipc.Message, _ bool) error {
		go pump.ReadCommands(d.Status, commands) // not before there is who obeys
		return e.hello(m)
	})
	err := e.run(commands)
	if errors.Is(err, errDrained) {
		return nil
	}
	return err
}

// run is the one loop. Whatever arrives is applied; then everything that can
// go on does, and the timer is set to the next moment at which something is
// due. Nothing due, no timer.
func (e *engine) run(commands <-chan status.Command) error {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		select {
		case err := <-e.failed:
			return err
		case err := <-e.helper.Errs():
			if e.drained && errors.Is(err, io.EOF) {
				return errDrained
			}
			return err
		case b := <-e.feed.Filled():
			e.now = time.Now()
			if b == nil {
				e.barriers.Reached()
				break
			}
			err := e.decode(b)
			e.feed.Release(b)
			if err != nil {
				return err
			}
		case a := <-e.helper.Answers():
			e.now = time.Now()
			if err := e.answer(a); err != nil {
				return err
			}
		case c := <-commands:
			e.now = time.Now()
			e.command(c)
		case <-timer.C:
			e.now = time.Now()
		}
		e.calm.Work()
		if e.fatal == nil {
			e.advance()
		}
		if e.fatal != nil {
			return e.fatal
		}
		if next := e.next(); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(max(next.Sub(e.now), 0))
		}
	}
}

// advance lets every part take the steps it can take now.
func (e *engine) advance() {
	for _, r := range e.roots {
		r.advance()
	}
	for _, w := range e.watches {
		w.Advance()
	}
	if !e.draining || e.drained || len(e.jobs) > 0 || e.starting() || e.telling() {
		return
	}
	// Nothing runs and nothing will: say so, and leave when it is heard.
	e.drained = true
	e.ask(&ipc.Drain{}, nil, func(ipc.Message, bool) error { return errDrained })
}

// starting says whether a Start is on its way and not yet answered.
func (e *engine) starting() bool {
	for _, r := range e.roots {
		for _, t := range r.targets {
			if t.Starting() {
				return true
			}
		}
	}
	return false
}

// next is the earliest moment at which something is due, zero for never.
func (e *engine) next() time.Time {
	next := e.report()
	for _, r := range e.roots {
		next = deliver.Earlier(next, r.next())
	}
	for _, w := range e.watches {
		next = deliver.Earlier(next, w.Next())
	}
	return next
}

// ask sends a request; f gets the messages of its answer.
func (e *engine) ask(m ipc.Message, list []byte, f deliver.Flight) {
	e.flights[e.helper.Request(m, list)] = f
}

func (e *engine) answer(a pump.Answer) error {
	switch m := a.Message.(type) {
	case *ipc.Exited:
		e.exited(*m)
		return nil
	case *ipc.Shutdown:
		e.draining = true
		return nil
	}
	f, ok := e.flights[a.Seq]
	if !ok {
		return fmt.Errorf("a %T to no request (%d)", a.Message, a.Seq)
	}
	if a.Final {
		delete(e.flights, a.Seq)
	}
	return f(a.Message, a.Final)
}

func (e *engine) hello(m ipc.Message) error {
	a, err := deliver.Answer[ipc.HelloAnswer](m)
	if err != nil {
		return err
	}
	cfg, err := wire.Decode[settings.Worker](a.Config)
	if err != nil {
		return err
	}
	names := make(map[ipc.RootID]string, len(a.Roots))
	for _, r := range a.Roots {
		names[r.ID] = r.Name
	}
	targets := make(map[ipc.TargetID]string, len(a.Targets))
	for _, t := range a.Targets {
		targets[t.ID] = t.Name
	}
	for i := range cfg.Syncs {
		r, err := newRoot(e, &cfg.Syncs[i], names, targets)
		if err != nil {
			return err
		}
		e.roots = append(e.roots, r)
	}
	for _, r := range e.roots {
		if r.cfg.Monitor == settings.MonitorDnotify {
			// What was listed before it is watched could change unheard. The first
			// mark is answered when all is.
			e.barriers.Add(func() { r.demand("start") })
			continue
		}
		r.demand("start")
	}
	return e.startWatches(cfg.Watches, names)
}

// decode applies one buffer of events.
func (e *engine) decode(b []byte) error { return e.feed.Decode(b, e.takers) }

// taking gives events to the roots. A watch descriptor belongs to one root at
// most, which its tracker knows.
func (e *engine) taking() monitor.Takers {
	return monitor.Takers{
		Event: func(ev monitor.Event) {
			e.events++
			for _, r := range e.roots {
				r.track.Event(ev, e.now)
				r.busy.Event(ev.WD)
			}
			for _, w := range e.watches {
				w.Event(ev)
			}
		},
		Path: func(ev monitor.PathEvent) {
			e.events++
			for _, r := range e.roots {
				if ev.Root == uint32(r.id) || ev.Root == 0 {
					r.told(ev)
				}
			}
			for _, w := range e.watches {
				w.Path(ev)
			}
		},
	}
}

// command does what the supervisor asks for, of one target or of all. It knows
// no worse than to ask for too much.
func (e *engine) command(c status.Command) {
	for _, w := range e.watches {
		w.Command(c)
	}
	for _, r := range e.roots {
		switch c.Verb() {
		case status.CommandVerify:
			r.verify()
		case status.CommandHurry:
			r.barrier(r.hurry)
		}
		var targets []*deliver.Target
		for _, t := range r.targets {
			if c.Target() == 0 || c.Target() == uint64(t.ID()) {
				targets = append(targets, t)
			}
		}
		if c.Verb() == status.CommandResync && len(targets) > 0 {
			r.demand(account.Asked, targets...)
		}
		if c.Verb() == status.CommandResync || c.Verb() == status.CommandRetry {
			for _, t := range targets {
				t.Retry()
			}
		}
	}
}

// exited takes a job's notice to its task. A notice may come before the answer
// that names the job was read.
func (e *engine) exited(x ipc.Exited) {
	k, ok := e.jobs[x.Job]
	if !ok {
		e.early[x.Job] = x
		return
	}
	delete(e.jobs, x.Job)
	k.Exited(x)
}
