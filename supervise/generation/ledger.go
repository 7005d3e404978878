package generation

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"lockstep/config"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/ipc/witness"
	"lockstep/supervise/proc"
	"lockstep/supervise/scribe"
	"lockstep/trail"
)

// ledger has the commands of one runner recorded. It is of its guard's goroutine.
type ledger struct {
	trail   *scribe.Scribe
	sync    string
	target  string
	pid     int
	program trail.File
	argv    [ipc.NumJobKinds]string // hashes
	open    map[ipc.JobID]string    // kinds of commands that were begun, and have not ended
	next    time.Time               // no command is recorded before
	asked   atomic.Int32            // words that a command begins, which are not answered yet
	gone    chan struct{}           // closed: so is the runner
}

// A runner that begins commands in a row is slowed down, so that it cannot fill a disk
// with records.
const (
	mostOpen     = 8
	mostAsked    = 64 // of which most have ended: while nothing can be recorded, jobs are stopped as ever
	commandEvery = 20 * time.Millisecond
	commandBurst = 500
)

func (m *Maker) ledger(told settings.Runner, target config.Target) *ledger {
	l := &ledger{trail: m.Starter.Trail, sync: m.Starter.Sync, target: target.String(), open: map[ipc.JobID]string{}, gone: make(chan struct{})}
	if l.trail == nil {
		return l
	}
	l.program = trail.File{Path: told.Program, SHA256: scribe.HashPath(told.Program)}
	for kind := range l.argv {
		words := told.Argv[kind]
		if told.Handler.Mode != "" {
			words = append([]string{told.Program}, told.Handler.Arguments...)
		}
		l.argv[kind] = scribe.HashWords(words)
	}
	return l
}

var errLedger = errors.New("a word about its commands that has no place")

// hear takes a packet of the runner; goes is called when what it is about to begin is
// recorded.
func (l *ledger) hear(data []byte, goes func()) error {
	if l.trail == nil {
		return fmt.Errorf("a packet of %d bytes", len(data))
	}
	p, err := wire.Decode[witness.Packet](data)
	switch {
	case err != nil:
		return err
	case p.Begin != nil:
		return l.begin(p.Begin, goes)
	}
	return l.end(p.End)
}

func (l *ledger) begin(b *witness.Begin, goes func()) error {
	if l.open[b.Job] != "" || len(l.open) >= mostOpen || l.asked.Load() >= mostAsked || b.Kind == ipc.JobNone {
		return errLedger
	}
	l.pace(time.Now())
	kind := kindName(b.Kind)
	l.open[b.Job] = kind
	l.asked.Add(1)
	l.trail.Before(trail.Event{Type: trail.CommandStart, Outcome: trail.Begun, Actor: trail.Actor{Role: "runner", PID: l.pid}, Object: l.object(), Why: trail.Why{Rule: kind},
		Facts: trail.Facts{Job: uint64(b.Job), Kind: kind, Argv: l.argv[b.Kind], Files: []trail.File{l.program},
			List: &trail.List{SHA256: hex.EncodeToString(b.Sum[:]), Entries: b.Entries, Bytes: b.Bytes}}}, l.gone, func() { l.asked.Add(-1); goes() })
	return nil
}

// pace rests when there were too many lately.
func (l *ledger) pace(now time.Time) {
	if first := now.Add(-commandBurst * commandEvery); l.next.Before(first) {
		l.next = first
	}
	l.next = l.next.Add(commandEvery)
	time.Sleep(min(l.next.Sub(now), commandEvery))
}

func (l *ledger) object() trail.Object { return trail.Object{Sync: l.sync, Target: l.target} }

func (l *ledger) end(e *witness.End) error {
	kind := l.open[e.Job]
	if kind == "" {
		return errLedger
	}
	delete(l.open, e.Job)
	code := int(e.Code)
	event := trail.Event{Type: trail.CommandEnd, Outcome: trail.Failure, Actor: trail.Actor{Role: "runner", PID: l.pid}, Object: l.object(), Why: trail.Why{Rule: kind},
		Facts: trail.Facts{Job: uint64(e.Job), Kind: kind, End: endName(e.How), Micros: &e.Micros}}
	switch {
	case e.How == ipc.EndSignalled:
		event.Facts.Signal = code
	case e.How == ipc.EndExited:
		event.Facts.Code = &code
	case e.How == ipc.EndHeldEmpty || e.How == ipc.EndHeldMany:
		event.Outcome, event.Why.Rule = trail.Denied, "max_delete"
	}
	if e.How == ipc.EndExited && code == 0 {
		event.Outcome = trail.Success
	}
	l.trail.Note(event)
	return nil
}

// close is the end of the runner: what it had begun has ended with it.
func (l *ledger) close() {
	close(l.gone)
	for id, kind := range l.open {
		l.trail.Note(trail.Event{Type: trail.CommandEnd, Outcome: trail.Failure, Actor: trail.Actor{Role: "supervisor", PID: os.Getpid()}, Object: l.object(), Why: trail.Why{Rule: kind},
			Facts: trail.Facts{Job: uint64(id), Kind: kind, End: endName(ipc.EndLost)}})
	}
}

// hookBegins records that a hook is about to be called, and waits until it may be, with
// patience.
func (l *ledger) hookBegins(ctx context.Context, plan HookPlan, patience time.Duration) error {
	if l.trail == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	recorded := make(chan struct{})
	l.trail.Before(trail.Event{Type: trail.CommandStart, Outcome: trail.Begun, Object: l.object(), Why: trail.Why{Rule: "hook"},
		Facts: trail.Facts{Kind: plan.Status, Files: []trail.File{{Path: plan.Program, SHA256: scribe.HashPath(plan.Program)}}}}, ctx.Done(), func() { close(recorded) })
	select {
	case <-recorded:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("its beginning was not recorded in the audit trail in time: %w", ctx.Err())
	}
}

func (l *ledger) hookEnds(plan HookPlan, out ipc.RunExited, err error) {
	code := int(out.Code)
	e := trail.Event{Type: trail.CommandEnd, Outcome: trail.Failure, Object: l.object(), Why: trail.Why{Rule: "hook"}, Facts: trail.Facts{Kind: plan.Status, End: endName(out.End), Code: &code, Micros: &out.Wall}}
	if err != nil {
		e.Why.Reason = err.Error()
	} else if out.End == ipc.EndExited && code == 0 {
		e.Outcome = trail.Success
	}
	l.trail.Note(e)
}

// goes has a runner begin what was recorded.
func (m *Maker) goes(p *proc.Process, conn *os.File) func() {
	return func() {
		if err := grant(conn, witness.Go); err != nil {
			m.stray(p, err)
		}
	}
}

func kindName(k ipc.JobKind) string {
	names := [ipc.NumJobKinds]string{ipc.JobInitial: "whole", ipc.JobPrune: "prune", ipc.JobList: "list", ipc.JobAttr: "attributes", ipc.JobContent: "content", ipc.JobKnock: "knock", ipc.JobWide: "wide"}
	return names[k]
}

func endName(e ipc.End) string {
	names := [...]string{ipc.EndExited: "exited", ipc.EndSignalled: "signalled", ipc.EndTimeout: "timeout", ipc.EndStopped: "stopped", ipc.EndLost: "lost",
		ipc.EndRefused: "refused", ipc.EndHeldEmpty: "held-empty", ipc.EndHeldMany: "held-many"}
	return names[e]
}
