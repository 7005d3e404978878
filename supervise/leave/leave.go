// Package leave ends a sync that may take its time about it: a hook is called and what
// waits is copied while all still runs, and another hook is called when nothing does.
// It also says when enough has been copied.
//
// Trust: linked into the supervisor. Of the worker it reads numbers.
//
// Invariants: what it waits for is bounded, by the limit of a hook, and, when a person
// has asked for the end, by that of a stop; nothing is said to be copied that was told
// of before the worker was asked, and is not.
package leave

import (
	"log/slog"
	"os"
	"syscall"
	"time"

	"lockstep/config"
	"lockstep/ipc/status"
	"lockstep/supervise/generation"
	"lockstep/supervise/hook"
	"lockstep/supervise/words"
)

// Twice: two signals within this are one.
const Twice = 100 * time.Millisecond

// Ends says that a signal asks for the end.
func Ends(sig os.Signal) bool {
	return sig == syscall.SIGINT || sig == syscall.SIGTERM || sig == syscall.SIGQUIT
}

// Host is the session.
type Host struct {
	Up       func() *generation.Generation // the one that runs, and is not being ended; nil: none
	Call     func(c *hook.Caller, program, state string)
	Show     func(leaving string)
	Hurry    func()           // has the worker copy what waits
	ShutDown func(why string) // has it finish what runs
}

// stage is how far the end has come.
type stage uint8

const (
	staying  stage = iota
	hooking        // the first hook runs
	hurrying       // what waits is copied
)

// Leave is the end of one sync. Its owner's goroutine alone uses it.
type Leave struct {
	Hooks   *hook.Caller
	Late    *time.Timer // the last pass has taken too long: see OnLate
	Counted bool        // max_iterations has ended the sync
	GoesOn  bool        // under its name, with another configuration: its end is none to the second hook

	cfg     config.Config
	log     *slog.Logger
	host    Host
	stage   stage
	why     string                 // it ends
	bounded bool                   // a person waits
	hurried *generation.Generation // whose worker was told to hurry
	batches uint64                 // that were acknowledged in earlier generations
	last    status.Report          // of the last generation
	owes    bool                   // a whole pass, at its end
}

// New makes one.
func New(cfg config.Config, log *slog.Logger, host Host) *Leave {
	l := &Leave{Hooks: hook.New(log), Late: time.NewTimer(time.Hour), cfg: cfg, log: log, host: host}
	l.Late.Stop()
	return l
}

// Begun says that an end has begun.
func (l *Leave) Begun() bool { return l.stage != staying }

// Wanted says whether a signal asks for more than the end of what runs.
func (l *Leave) Wanted(sig os.Signal) bool {
	g := l.host.Up()
	return sig == syscall.SIGQUIT && !l.Begun() && g != nil && !g.Ready.IsZero() &&
		(l.cfg.End.PreExit != "" || l.cfg.End.SyncOnQuit) && !l.cfg.DryRun
}

// Begin begins the end: the first hook, if there is one, and then what waits. bounded
// says that a person has asked for it.
func (l *Leave) Begin(why string, bounded bool) {
	l.why, l.bounded = why, bounded
	if l.cfg.End.PreExit == "" {
		l.lastPass()
		return
	}
	l.stage = hooking
	l.host.Show(hook.PreExit)
	l.host.Call(l.Hooks, l.cfg.End.PreExit, hook.PreExit)
}

// OnHooked goes on after a hook has ended.
func (l *Leave) OnHooked() {
	if l.Hooks.Heard(); l.stage == hooking {
		l.lastPass()
	}
}

// lastPass has all copied that waits now. Step says when it is.
func (l *Leave) lastPass() {
	l.stage = hurrying
	l.host.Show("lastsync")
	l.log.Info("copying what waits before the end")
	if l.bounded {
		l.Late.Reset(l.cfg.StopTimeout)
	}
}

// OnLate says what was not copied in time: then the end is one at once.
func (l *Leave) OnLate() {
	what := "there is nobody who could copy it"
	if g := l.host.Up(); g != nil {
		what = words.Waiting(g.Last, l.skips())
	}
	l.log.Warn("not all that waited was copied within --stop-timeout: " + what)
}

// Step goes on with an end that has begun; fine says that all targets are in step.
func (l *Leave) Step(fine bool) {
	g := l.host.Up()
	if l.stage != hurrying || g == nil || g.Ready.IsZero() {
		return
	}
	if l.hurried != g { // also a worker that has taken the place of the one that was told
		l.hurried = g
		l.host.Hurry()
		return
	}
	if fine && g.Last.Hurried > 0 {
		l.host.ShutDown(l.why)
	}
}

// Itself begins the end of a sync that is in step and wants no more.
func (l *Leave) Itself() {
	switch {
	case l.Begun():
	case l.cfg.End.PreExit != "":
		l.Begin("in step", false)
	default:
		l.host.ShutDown("in step")
	}
}

// Drop is for a person who does not want to wait.
func (l *Leave) Drop() {
	l.log.Warn("nothing is waited for any longer: neither a hook nor the last pass")
	l.Stop()
}

// Stop is told that the worker finishes what runs: nothing that would come before is
// done any more.
func (l *Leave) Stop() {
	l.Late.Stop()
	l.Hooks.Break()
	l.host.Show("")
	if l.Begun() {
		l.stage = hurrying // a hook that ends now has no sequel
	}
}

// Count ends the sync when enough batches were acknowledged.
func (l *Leave) Count() {
	most, g := uint64(l.cfg.End.MaxIterations), l.host.Up()
	if most > 0 && g != nil && l.batches+g.Last.Batches >= most {
		l.Counted = true
		l.host.ShutDown("max_iterations: " + words.Counted(most, g.Last, l.skips()))
	}
}

// Gone takes note of the end of a generation, and of whether a whole pass was still to be
// made then.
func (l *Leave) Gone(last status.Report, owes bool) {
	l.batches, l.last, l.owes = l.batches+last.Batches, last, owes
}

// skips says that the next start does not look for what this one has left.
func (l *Leave) skips() bool { return l.cfg.FirstPass == config.FirstSkip }

// lost tells of what nobody looks for any more.
func (l *Leave) lost() {
	left := l.last.Queue + l.last.Big + l.last.InFlight + l.last.Doubt + l.last.Held
	if l.skips() && (left > 0 || l.owes) && !l.Counted && !l.GoesOn { // of which the first has told, and the other knows
		l.log.Warn("not all was copied before the end: " + words.Waiting(l.last, true))
	}
}

// Left is how many batches the next generation may have; 0: any number.
func (l *Leave) Left() uint32 {
	most := uint64(l.cfg.End.MaxIterations)
	if most == 0 {
		return 0
	}
	return uint32(max(most-min(l.batches, most), 1))
}

// Farewell calls the last hook, when nothing of the sync runs any more; if it was
// never ready there is none. It is ended by a person who asks for the end and has asked
// for it before, at the time that is given, if at all.
func (l *Leave) Farewell(ready bool, beat <-chan struct{}, signals <-chan os.Signal, asked time.Time) {
	impatient := func(sig os.Signal) bool {
		again := Ends(sig) && !asked.IsZero() && time.Since(asked) >= Twice
		if Ends(sig) && asked.IsZero() {
			asked = time.Now()
		}
		return again
	}
	l.Hooks.Break()
	l.Hooks.Wait(beat, signals, impatient)
	l.lost()
	if l.cfg.End.Exit != "" && ready && !l.cfg.DryRun && !l.GoesOn {
		l.host.Call(l.Hooks, l.cfg.End.Exit, hook.Exiting)
		l.Hooks.Wait(beat, signals, impatient)
	}
}
