package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/console"
	"lockstep/internal/escape"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/rootid"
	"lockstep/supervise/deaths"
	"lockstep/supervise/exit"
	"lockstep/supervise/generation"
	"lockstep/supervise/jail"
	"lockstep/supervise/proc"
	"lockstep/supervise/rounds"
	"lockstep/supervise/words"
	"lockstep/uidpool"
)

// root is one directory that is watched.
type root struct {
	path  string
	b     *board
	log   *slog.Logger
	news  *slog.Logger // for lines that the worker's numbers cause
	maker generation.Maker
	lease *uidpool.Lease

	calls chan func() error // what others want to be done, by run
	exits chan proc.Exit
	stop  chan struct{} // closed when nobody waits for lines any more
	once  sync.Once
	list  lister

	looker   rootid.Looker
	gen      *generation.Generation
	reading  chan error    // the end of the lines of gen
	cut      chan struct{} // closed when its lines are read no more
	waits    []wait
	last     status.Report
	started  int // generations
	passed   atomic.Bool
	asked    bool // a person waits for the numbers
	stopping bool
	ended    bool
	missing  string // why nothing runs
	warned   string
	early    deaths.Row
	sigsys   deaths.Sigsys
	hung     []*proc.Process
	restart  *time.Timer
	deadline *time.Timer
	rounds   *rounds.Timer
	looks    chan struct{} // another directory may have taken the root's place
	unwatch  func()        // no more of that
	verify   <-chan time.Time
}

// stopTime is how long a worker may take to write what it has.
const stopTime = 5 * time.Second

func newRoot(b *board, path string, number int) (*root, error) {
	lease, err := b.host.Lease()
	if err != nil {
		return nil, fmt.Errorf("the worker's uid: %w", err)
	}
	r := &root{
		path: path, b: b, log: b.host.Log, maker: b.host.Maker, lease: lease,
		calls: make(chan func() error), exits: make(chan proc.Exit, 64), stop: make(chan struct{}), looks: make(chan struct{}, 1),
	}
	if b.print.Label || b.opt.Interactive {
		r.log = r.log.With("root", path)
		r.maker.Name = path
	}
	r.news = console.Limited(r.log)
	r.maker.Log = r.log
	r.maker.Inbox = generation.NewInbox()
	r.maker.UID, r.maker.GID = lease.UID, lease.GID
	r.maker.Starter.Prefix = "root" + strconv.Itoa(number) + "."
	r.maker.Starter.Exits = r.exits
	r.maker.Starter.Lines = func(role, _ string) *console.Lines { return console.NewLines(r.log, role) }
	r.maker.Starter.Lost = func(role string, err error) {
		r.log.Warn("messages of the "+role+" were lost", "error", err.Error())
	}
	for _, t := range []**time.Timer{&r.restart, &r.deadline} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
	}
	r.rounds = rounds.New()
	return r, nil
}

// lookAgain has run look at the root. It waits for nothing.
func (r *root) lookAgain() {
	select {
	case r.looks <- struct{}{}:
	default:
	}
}

// do has run call f. It does not wait for the end of f.
func (r *root) do(f func() error) {
	go func() {
		select {
		case r.calls <- f:
		case <-r.stop:
		}
	}()
}

func (r *root) shutDown() { r.do(r.finish) }

// hurry ends the root without waiting for the lines that are left.
func (r *root) hurry() { r.once.Do(func() { close(r.stop) }) }

// run watches until it is told to end. Nothing of it is left when it returns.
func (r *root) run() (err error) {
	defer func() {
		r.hurry()
		if err = errors.Join(err, r.end(), r.lease.Release()); err != nil {
			r.b.print.End() // it ends the others as well
		}
		r.pass(r.stop)
	}()
	if r.b.opt.VerifyEvery > 0 {
		t := time.NewTicker(r.b.opt.VerifyEvery)
		defer t.Stop()
		r.verify = t.C
	}
	if err := r.start(); err != nil {
		return err
	}
	if r.missing != "" {
		return exit.Refuse(errors.New(r.missing))
	}
	for !r.ended {
		if err := r.step(); err != nil {
			return err
		}
	}
	return nil
}

// pass lets the first line be written for the others when this root is ready,
// or a person does not want it any more.
func (r *root) pass(stop <-chan struct{}) {
	if r.passed.CompareAndSwap(false, true) {
		r.b.print.Pass(stop)
	}
}

func (r *root) step() error {
	select {
	case f := <-r.calls:
		return f()
	case e := <-r.exits:
		return r.onExit(e)
	case <-r.maker.Inbox.Wake:
		return r.onReports()
	case err := <-r.reading:
		r.reading = nil
		if err != nil {
			r.log.Error("violation: the worker wrote what is no line; it is killed", "error", err.Error())
			return r.again(time.Time{})
		}
	case <-r.rounds.C:
		return r.checkRoot()
	case <-r.looks:
		return r.checkRoot()
	case <-r.restart.C:
		if r.gen == nil && !r.stopping {
			return r.start()
		}
	case <-r.verify:
		return r.order(status.CommandVerify)
	case <-r.deadline.C:
		r.ended = true
	case <-r.stop:
		r.ended = true
	}
	return nil
}

// look reads what the root is now.
func (r *root) look() (now rootid.Roots, err error) {
	if now, err = r.looker.Look(r.path, "", false); err != nil {
		return now, err
	}
	if err := proc.Hanging(r.hung); err != nil {
		return now, err
	}
	r.hung = nil
	return now, nil
}

// start starts a helper and a worker, if the root is there.
func (r *root) start() error {
	now, err := r.look()
	why := ""
	if err != nil {
		why = err.Error()
	} else {
		why = r.b.opt.unseen(r.path, now.Source) // another file system may have been mounted there
	}
	if why != "" {
		if r.missing != why && r.started > 0 {
			r.log.Warn("nothing is watched: " + why + "; it is looked for every " + rounds.Held.String())
		}
		r.missing = why
		r.restart.Reset(rounds.Held)
		return nil
	}
	r.missing = ""
	r.warn(now)
	r.started++
	r.last = status.Report{}
	o := &r.b.opt
	r.gen, err = r.maker.Begin(generation.Plan{
		Config: o.config(r.path),
		Roots:  now,
		Source: jail.Tree{Host: r.path, Path: r.path, Dev: now.Source.Dev, Ino: now.Source.Ino},
		Watch:  &settings.Watch{Exclude: o.Exclude, Mounts: now.SourceRels(), Settle: o.Settle, Follow: o.Follow, JSON: o.JSON},
	})
	if err == nil {
		r.read(r.gen)
		err = r.maker.Finish(r.gen)
	}
	if err == nil {
		// What was mounted in between is in no list.
		if again, gone := r.look(); gone != nil || !again.Same(now) {
			r.log.Info("the root changed while it was opened")
			return r.again(time.Time{})
		}
		r.rounds.Looked(false)
		return nil
	}
	err = errors.Join(err, r.end())
	if r.started == 1 {
		return err
	}
	r.log.Error("the start failed", "error", err.Error())
	r.restart.Reset(r.early.Wait(time.Time{}, time.Now()))
	return nil
}

// warn names what is left out.
func (r *root) warn(now rootid.Roots) {
	list := words.Names(now.SourceRels())
	if list != "" && list != r.warned {
		r.log.Warn("mounted inside the root, and so not watched; name these as well to watch them: " + list)
	}
	r.warned = list
}

// again ends what runs, and starts it after a while.
func (r *root) again(ready time.Time) error {
	if err := r.end(); err != nil {
		return err
	}
	r.restart.Reset(r.early.Wait(ready, time.Now()))
	return nil
}

// end ends what runs. What hangs in the kernel is kept in mind: nothing is
// started beside it.
func (r *root) end() error {
	g := r.gen
	if g == nil {
		return nil
	}
	r.gen = nil
	if r.cut != nil {
		close(r.cut)
		r.cut = nil
	}
	err := g.End(nil, nil, func(os.Signal) bool { return false })
	if r.reading != nil {
		<-r.reading // its pipe is closed
		r.reading = nil
	}
	hung, err := proc.Buried(err, r.log.Error, g.All()...)
	r.hung = append(r.hung, hung...)
	return err
}

// finish has the worker write what it has, and end.
func (r *root) finish() error {
	if r.stopping {
		return nil
	}
	r.stopping = true
	if r.gen == nil || r.gen.Ready.IsZero() || r.gen.ShutDown() != nil {
		r.ended = true
		return nil
	}
	r.deadline.Reset(stopTime)
	return nil
}

// onExit takes the end of a process.
func (r *root) onExit(e proc.Exit) error {
	g := r.gen
	if g == nil || !g.Has(e.Process) {
		return nil
	}
	if r.stopping {
		if e.Process == g.Worker {
			r.await()
			if r.b.opt.Stats {
				r.stats()
			}
			r.ended = true
		}
		if e.Code == 0 && e.Err == nil || e.Process == g.Helper && e.Code == words.CodeInternal {
			return nil
		}
	}
	if e.Code == words.CodeRootGone {
		r.vanished()
		return r.again(g.Ready)
	}
	verdict := func(e proc.Exit) error {
		if e.Code == words.CodeRootGone { // the others may be heard of before the worker
			r.vanished()
		}
		return r.verdict(g, e)
	}
	if err := verdict(e); err != nil {
		return err
	}
	if err := r.end(); err != nil {
		return err
	}
	if err := g.Others(r.exits, verdict); err != nil {
		return err
	}
	return r.again(g.Ready)
}

// vanished: the worker has found that the root is not what it was.
func (r *root) vanished() {
	_, err := r.look()
	r.gone(err)
}

// gone tells that the root is not what it was, and of its end if a look at it says
// that there is none: not if what it is on does not answer.
func (r *root) gone(look error) {
	if errors.Is(look, unix.ENOENT) || errors.Is(look, unix.ENOTDIR) {
		r.send(r.b.print.Own(nil, r.path, "delete", "it is gone", time.Now()))
	}
	r.log.Warn(escape.Name(r.path) + " is no longer the directory that it was: it is opened again")
}

// verdict says that a process ended, and whether a restart has any sense.
func (r *root) verdict(g *generation.Generation, e proc.Exit) error {
	r.log.Warn(words.Death(e.Process.Role, e.Process.PID, e.Code, e.Sig, e.Err))
	if r.started == 1 && g.Ready.IsZero() {
		if err := words.Final(e.Process.Role, e.Code); err != nil {
			return err
		}
	}
	return r.sigsys.Locked(e.Process.Role, e.Sig, time.Now())
}

// await waits for the rest of the lines of a worker that has ended.
func (r *root) await() {
	if r.reading != nil {
		select {
		case <-r.reading:
			r.reading = nil
		case <-r.deadline.C:
		case <-r.stop:
		}
	}
	r.onLast()
}

// onLast takes the worker's last numbers, if they are any.
func (r *root) onLast() {
	for _, one := range r.maker.Inbox.Take() {
		if one.From == r.gen && one.Err == nil {
			r.last = one.Report
		}
	}
}

// checkRoot looks whether the path still leads to what is watched.
func (r *root) checkRoot() error {
	defer r.rounds.Looked(false)
	if r.stopping || r.gen == nil {
		return nil
	}
	now, err := r.look()
	if err == nil && r.gen.Roots.Same(now) || r.b.opt.Follow && (err != nil || !now.Source.Same(r.gen.Roots.Source)) {
		return nil
	}
	if err != nil {
		r.gone(err)
	} else {
		r.log.Info("what is mounted at or inside the root has changed, or it is another directory: starting afresh")
	}
	if err := r.end(); err != nil {
		return err
	}
	return r.start()
}

// onReports takes the worker's newest numbers.
func (r *root) onReports() error {
	for _, one := range r.maker.Inbox.Take() {
		g := r.gen
		if g == nil || one.From != g {
			continue
		}
		r.rounds.News()
		err := one.Err
		if err == nil {
			err = words.Falls(r.last, one.Report)
		}
		if err != nil {
			r.log.Error("violation: the worker sent a report that is none; it is killed", "error", err.Error())
			return r.again(g.Ready)
		}
		r.numbers(one.Report, time.Now())
		r.waits = slices.DeleteFunc(r.waits, func(w wait) bool {
			met := w.until(one.Report)
			if met {
				close(w.done)
			}
			return met
		})
	}
	return nil
}

// numbers follows what has changed since the last report.
func (r *root) numbers(now status.Report, at time.Time) {
	old := r.last
	r.last = now
	if old.Ready == 0 && now.Ready == 1 {
		r.gen.Ready = at
		r.log.Info(words.Ready(now), "dirs", now.Dirs, "ms", at.Sub(r.gen.Begun).Milliseconds())
	}
	if old.Overflows == 0 && now.Overflows > 0 {
		r.news.Warn("events were lost, because the kernel's queue was full: the lines say overflow, and rescan when all is told again; if it happens often, raise fs.inotify.max_queued_events by sysctl")
	}
	if now.Verified == old.Verified {
		return
	}
	if n := now.Stale + now.Missing; n > 0 {
		r.news.Log(context.Background(), slog.LevelWarn, "a verification found differences between the tree and the file system, and mended them", "stale", now.Stale, "missing", now.Missing)
	}
	if r.asked || r.b.opt.Stats {
		r.asked = false
		r.stats()
	}
}

// order sends the worker a command.
func (r *root) order(c status.Command) error {
	if r.gen == nil || r.gen.Worker == nil {
		return nil
	}
	if err := r.gen.Order(c); err != nil {
		r.log.Warn("the worker cannot be reached", "error", err.Error())
	}
	return nil
}

func (r *root) send(text []byte) { r.b.print.Send(text, r.stop) }

// wait is somebody who waits for a report.
type wait struct {
	until func(status.Report) bool
	done  chan struct{}
}
