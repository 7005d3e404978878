// Package generation starts a helper, a worker and runners that belong together,
// introduces them to each other, and ends them together.
//
// Trust: linked into the supervisor. Of what it starts it reads packets of
// numbers only.
//
// Invariants: a generation's event queue and sockets are its own, so that
// nothing of an earlier one reaches it; End leaves nothing behind, however far
// Begin and Finish had come.
package generation

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/config/choose"
	"lockstep/internal/calm"
	"lockstep/internal/escape"
	"lockstep/internal/memfd"
	"lockstep/ipc"
	"lockstep/ipc/polled"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/ipc/wire"
	"lockstep/rootid"
	"lockstep/rsync"
	"lockstep/sandbox"
	"lockstep/seccomp"
	"lockstep/supervise/brief"
	"lockstep/supervise/host"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
	"lockstep/supervise/scribe"
	"lockstep/supervise/slots"
	"lockstep/supervise/standby"
	"lockstep/supervise/words"
)

// Maker is what all generations of a session have in common.
type Maker struct {
	Starter  proc.Starter
	Programs *host.Programs
	Filters  map[seccomp.Role]*os.File
	Machine  jail.Machine
	Profile  jail.Profile
	Name     string // of the sync, for ps; "" when there is one only
	UID, GID int    // the worker's
	Inbox    *Inbox
	Slots    *slots.Pool // of the commands of all sessions
	Standby  *standby.File
	Log      *slog.Logger
	Calm     *calm.Collector // of this process

	RuntimeDir string // where lists of handlers are kept; "": nowhere
}

// Plan is what one generation is for.
type Plan struct {
	Config  config.Config
	Options rsync.Options
	Roots   rootid.Roots
	Source  jail.Tree
	Unsure  uint64          // as in settings.Sync
	Whole   bool            // it begins with a whole pass, whatever the configuration says
	Left    uint32          // batches after which no further one begins; 0: no such end
	Watch   *settings.Watch // changes are told, and nothing is copied; nil: the reverse
}

// RunnerPlan is what a runner is for.
type RunnerPlan struct {
	ID      ipc.TargetID
	Target  config.Target
	Label   string // tells it from the others; "" when there is one only
	Source  jail.Tree
	Tree    jail.Tree    // of a local target
	Remote  *jail.Remote // of one on another host
	Command host.Command
	Options rsync.Options
	Rights  jail.Rights
	Accept  bool   // a person's consent to the next whole pass
	Passed  bool   // one has ended with success since the service began
	Entries uint64 // what the last walk of the source came to
}

// Report is one packet of the worker's numbers, or why it was none: then it is
// a violation.
type Report struct {
	From *Generation
	status.Report
	Err error
}

// Generation is a helper and a worker that live and die together. Runners come
// and go beside them, but do not outlive them.
type Generation struct {
	Roots    rootid.Roots
	Begun    time.Time
	Watching choose.Choice
	Ready    time.Time     // set by the owner; zero before
	Last     status.Report // set by the owner
	Compares bool          // it began, or begins, with a whole pass of all targets
	Helper   *proc.Process
	Worker   *proc.Process
	// Resolver is nil but with fanotify and dnotify.
	Resolver *proc.Process

	inotify *os.File                  // until the worker has it
	events  *os.File                  // the worker's end of the resolver's socket, until it has it
	control *os.File                  // to the helper
	rules   *os.File                  // until the worker has them; nil: there are none
	status  *os.File                  // numbers from the worker, commands to it
	places  map[ipc.TargetID]*os.File // see Place

	trail *scribe.Scribe
	sync  string

	Output *os.File // of a watch: what the worker writes; the owner reads it
	output *os.File // its other end, until the worker has it
}

// All are the processes of which none outlives another.
func (g *Generation) All() []*proc.Process {
	all := []*proc.Process{g.Worker, g.Helper}
	if g.Resolver != nil {
		all = append(all, g.Resolver)
	}
	return all
}

// In are the roots that it runs in; without a generation there are none.
func (g *Generation) In() rootid.Roots {
	if g == nil {
		return rootid.Roots{}
	}
	return g.Roots
}

// Has says that a process is one of All.
func (g *Generation) Has(p *proc.Process) bool { return p != nil && slices.Contains(g.All(), p) }

// Others gives verdict what of g's processes ended beside the one that was heard
// of, once all have ended: one of them may have died first, and have been the
// reason. What saw the others go, or was killed by End, is no news.
func (g *Generation) Others(exits <-chan proc.Exit, verdict func(proc.Exit) error) error {
	for {
		select {
		case e := <-exits:
			if !g.Has(e.Process) || e.Sig == syscall.SIGKILL || e.Code == 0 || e.Code == words.CodeInternal {
				continue
			}
			if err := verdict(e); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// Begin makes the event queue and starts the helper, and what else the worker
// needs; then come the runners, then Finish. On an error the generation is there
// to be ended.
func (m *Maker) Begin(plan Plan) (g *Generation, err error) {
	g = &Generation{trail: m.Starter.Trail, sync: m.Starter.Sync, Roots: plan.Roots, Begun: time.Now(), Watching: plan.Config.Watching(plan.Roots.Source.Blind())}
	g.inotify, err = newQueue(g.Watching.Monitor)
	if instead, ok := g.Watching.Instead(fmt.Sprint(err)); ok && errors.Is(err, unix.EMFILE) {
		m.Log.Warn("the kernel has no event queue left: listings are compared until this sync's processes are started again", "error", err.Error())
		g.Watching = instead
		var without error
		if g.inotify, without = newQueue(instead.Monitor); without == nil {
			err = nil
		}
	}
	if err != nil {
		return g, err
	}
	m.Log.Info(words.Watching(g.Watching))
	if g.Compares = plan.Whole || plan.Config.FirstPass == config.FirstWhole; !g.Compares && plan.Watch == nil {
		m.Log.Warn(words.Skips)
	}
	if plan.Watch != nil {
		if g.Output, g.output, err = proc.Pipe("output"); err != nil {
			return g, err
		}
	}
	if _, rules := plan.Config.RuleText(); len(rules) > 0 {
		if g.rules, err = memfd.Sealed("lockstep-rules", rules); err != nil {
			return g, err
		}
	}
	var files proc.Files
	defer func() { err = errors.Join(err, files.Close()) }()
	switch g.Watching.Monitor {
	case choose.Fanotify:
		// The mark first: it is the one step that needs what no process below has.
		err = m.resolver(g, plan, &files)
	case choose.Dnotify:
		err = m.dnotify(g, plan, &files)
	}
	if err != nil {
		return g, err
	}
	return g, m.helper(g, plan, &files)
}

// Finish starts the worker.
func (m *Maker) Finish(g *Generation) (err error) {
	var files proc.Files
	events := proc.Donate("inotify", files.Take(g.inotify, nil))
	if g.events != nil {
		events = proc.Donate("resolver", files.Take(g.events, nil))
	}
	g.inotify, g.events = nil, nil
	defer func() { err = errors.Join(err, files.Close()) }()
	return m.worker(g, &files, events)
}

func (m *Maker) helper(g *Generation, plan Plan, files *proc.Files) error {
	control, theirs, err := proc.Pair("control")
	g.control = control
	files.Take(theirs, err)
	// After 0 to 2 and the four donations below; see sandbox's package comment.
	const firstOpen = 7
	data, err := g.brief(plan, firstOpen)
	if err != nil {
		return err
	}
	config := files.Take(memfd.Sealed("lockstep-helper-config", data))
	if err := files.Err(); err != nil {
		return err
	}
	machine := m.Machine
	machine.Targets = len(plan.Config.Targets)
	spec := m.Profile.Helper(machine, []jail.Tree{plan.Source})
	m.named(&spec, m.Name)
	g.Helper, err = m.Starter.Start(spec, "", m.Programs.Helper, []sandbox.Donation{
		proc.Donate("control", theirs), proc.Donate("config", config),
		proc.Donate("inotify", g.inotify), proc.Donate("filter", m.Filters[seccomp.Helper]),
	}, brief.Limits(spec.Role, len(plan.Config.Targets), false))
	return err
}

// brief is what the helper is told.
func (g *Generation) brief(p Plan, firstOpen int) ([]byte, error) {
	if p.Watch != nil {
		return brief.Watched(*p.Watch, p.Source.Host, g.Watching, firstOpen)
	}
	p.Config.End.MaxIterations = p.Left
	if p.Whole {
		p.Config.FirstPass = config.FirstWhole
	}
	return brief.Helper(p.Config, p.Options, p.Roots, g.Watching, p.Unsure, firstOpen)
}

func (m *Maker) worker(g *Generation, files *proc.Files, events sandbox.Donation) error {
	toHelper, toWorker, err := proc.Pair("worker")
	files.Take(toHelper, err)
	files.Take(toWorker, err)
	conn, theirs, err := proc.Pair("status")
	g.status = conn
	files.Take(theirs, err)
	if err := files.Err(); err != nil {
		return err
	}
	if err := errors.Join(proc.Plain(toHelper), proc.PassCred(toHelper)); err != nil {
		return err
	}
	spec := m.Profile.Worker(m.Machine, m.UID, m.GID)
	m.named(&spec, m.Name)
	fds := []sandbox.Donation{
		proc.Donate("helper", toWorker), proc.Donate("status", theirs),
		events, proc.Donate("filter", m.Filters[m.Profile.WorkerFilter]),
	}
	if g.rules != nil {
		fds = append(fds, proc.Donate("rules", files.Take(g.rules, nil)))
		g.rules = nil
	}
	if g.output != nil {
		fds = append(fds, proc.Donate("output", files.Take(g.output, nil)))
		g.output = nil
	}
	g.Worker, err = m.Starter.Start(spec, "", m.Programs.Worker, fds, brief.Limits(spec.Role, 0, false))
	if err != nil {
		return err
	}
	g.Worker.Go(func() { m.read(g, conn) })
	// The kernel tells the helper the sender of each packet. Without root all
	// processes have one uid; the pid is what counts, and nobody but root can send
	// another than his own.
	return g.send(&ipc.CtlWorker{PID: uint32(g.Worker.PID), UID: uint32(m.UID)}, toHelper)
}

// named puts what the process is for behind its name, for ps.
func (m *Maker) named(spec *sandbox.Spec, words ...string) {
	for _, w := range words {
		if w != "" {
			spec.Argv = append(spec.Argv, escape.Name(w))
		}
	}
}

// Runner starts a runner and hands its socket to the generation's helper.
func (m *Maker) Runner(g *Generation, cfg config.Config, plan RunnerPlan) (p *proc.Process, err error) {
	told, spec, filter, err := m.outfit(cfg, plan)
	if err != nil {
		return nil, err
	}
	told.Witness = m.Starter.Trail != nil
	m.named(&spec, m.Name, plan.Label)
	var files proc.Files
	defer func() { err = errors.Join(err, files.Close()) }()
	gate, theirs, err := proc.Pair("gate")
	if files.Take(theirs, err); err != nil {
		return nil, err
	}
	if err := g.Place(plan.ID); err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	place := files.Take(g.places[plan.ID], nil)
	delete(g.places, plan.ID)
	more, err := m.lists(cfg, plan, &files)
	if err != nil {
		return nil, errors.Join(err, gate.Close())
	}
	p, err = m.runner(spec, plan.Label, told, filter, plan.Rights, place, append(more, proc.Donate("gate", theirs))...)
	if err != nil {
		return p, errors.Join(err, gate.Close())
	}
	m.guard(p, gate, plan.Target.Host, m.ledger(told, plan.Target))
	return p, nil
}

// runner starts a runner in its jail; helper is its end of their socket, and
// stays the caller's.
func (m *Maker) runner(spec sandbox.Spec, label string, cfg settings.Runner, filter seccomp.Role, rights jail.Rights, helper *os.File, more ...sandbox.Donation) (p *proc.Process, err error) {
	var files proc.Files
	defer func() { err = errors.Join(err, files.Close()) }()
	data, err := wire.Append(nil, &cfg)
	if err != nil {
		return nil, fmt.Errorf("configuration of the runner: %w", err)
	}
	config := files.Take(memfd.Sealed("lockstep-runner-config", data))
	if err := files.Err(); err != nil {
		return nil, err
	}
	return m.Starter.Start(spec, label, m.Programs.Runner, append([]sandbox.Donation{
		proc.Donate("helper", helper), proc.Donate("config", config), proc.Donate("filter", m.Filters[filter]),
	}, more...), brief.Limits(spec.Role, 1, rights.Devices))
}

// Trial starts a runner between two trees of a trial, and returns the other end
// of its socket and what ends it.
func (m *Maker) Trial(cfg settings.Runner, c host.Command, src, dst string, rights jail.Rights) (*os.File, func() error, error) {
	var trees [2]jail.Tree
	for i, path := range []string{src, dst} {
		id, err := rootid.Read(path)
		if err != nil {
			return nil, nil, err
		}
		trees[i] = jail.Tree{Host: path, Path: path, Dev: id.Dev, Ino: id.Ino}
	}
	conn, theirs, err := proc.Pair("runner")
	if err != nil {
		return nil, nil, err
	}
	p, err := m.runner(jail.Runner(m.Machine, trees[0], trees[1], c, rights), "", cfg, seccomp.Runner, rights, theirs)
	if err = errors.Join(err, theirs.Close()); err != nil {
		return nil, nil, errors.Join(err, conn.Close(), p.End())
	}
	return conn, p.End, nil
}

// writeTime bounds the wait for a process that does not read: the session must
// not stand still for it.
const writeTime = time.Second

// send sends one message to the helper, with a descriptor when f is not nil.
func (g *Generation) send(m ipc.Message, f *os.File) error {
	pkt, err := ipc.Append(nil, 0, m)
	if err != nil {
		return fmt.Errorf("message to the helper: %w", err)
	}
	conn, err := g.control.SyscallConn()
	if err == nil {
		err = g.control.SetWriteDeadline(time.Now().Add(writeTime))
	}
	if err != nil {
		return fmt.Errorf("message to the helper: %w", err)
	}
	fd := -1
	if f != nil {
		fd = int(f.Fd())
	}
	if err := polled.Send(conn, pkt, fd); err != nil {
		return fmt.Errorf("message to the helper: %w", err)
	}
	return nil
}

// ShutDown has the helper refuse new commands and the worker finish.
func (g *Generation) ShutDown() error { return g.send(&ipc.CtlShutdown{}, nil) }

// Order sends the worker a command.
func (g *Generation) Order(c status.Command) error {
	if err := g.status.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err := g.status.Write(binary.LittleEndian.AppendUint64(nil, uint64(c)))
	return err
}

// read passes the worker's packets on until it has gone. One of another size
// than a report's is a violation.
func (m *Maker) read(g *Generation, conn *os.File) {
	buf := make([]byte, status.ReportSize+1)
	for {
		n, err := conn.Read(buf)
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, unix.ECONNRESET) {
			return
		}
		r := Report{From: g}
		if err == nil {
			r.Report, err = wire.Decode[status.Report](buf[:n])
		}
		r.Err = err
		m.Calm.Work()
		m.Inbox.put(r)
		if err != nil {
			return
		}
	}
}

// end ends the helper, the worker and the runners, all at the same time: one
// that hangs must not keep the others alive. All are killed before the first is
// waited for, so that none of them takes the end of another for a failure and
// says so.
func (g *Generation) end(all []*proc.Process) error {
	errs := make([]error, len(all))
	for i, p := range all {
		if p != nil {
			errs[i] = p.Kill()
		}
	}
	var ends sync.WaitGroup
	for i, p := range all {
		ends.Go(func() { errs[i] = errors.Join(errs[i], p.End()) })
	}
	ends.Wait()
	for id := range g.places {
		errs = append(errs, g.Leave(id))
	}
	for _, f := range []*os.File{g.inotify, g.events, g.rules, g.control, g.status, g.Output, g.output} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// ErrLeft is the error of End when it did not wait for the end.
var ErrLeft = errors.New("ended at once, while a process hangs in the kernel (a dead disk or mount?): it ends when that answers")

// hurryTime is more than an end takes when nothing hangs.
const hurryTime = time.Second

// End ends the generation and its runners, but waits no longer than hurryTime
// once hurry says so of a signal, or of nil at the beginning. The kernel ends
// what is left when it can.
func (g *Generation) End(runners []*proc.Process, signals <-chan os.Signal, hurry func(os.Signal) bool) error {
	g.trail.Counts(g.sync, g.Last)
	done := make(chan error, 1)
	all := append(g.All(), runners...)
	go func() { done <- g.end(all) }()
	var limit <-chan time.Time
	for hurried := hurry(nil); ; {
		if hurried && limit == nil {
			limit = time.After(hurryTime)
		}
		select {
		case err := <-done:
			return err
		case <-limit:
			return ErrLeft
		case sig := <-signals:
			hurried = hurry(sig)
		}
	}
}
