// Package hook calls a person's programs when a sync ends, and says how they ended.
//
// Trust: linked into the supervisor. A hook runs in a jail of its own, under a
// runner; of both it hears one message of a limited size, of whose bytes it shows a
// few lines, escaped.
//
// Invariants: a hook whose end was heard has left no process but what hangs in the
// kernel, which is remembered; how it ended has no
// effect but a line in the log; one is called at a time.
package hook

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"lockstep/config"
	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/supervise/generation"
	"lockstep/supervise/proc"
)

// The states that clsync's hooks are told.
const (
	PreExit = "preexit"
	Exiting = "exiting"
)

// Caller calls the hooks of one sync.
type Caller struct {
	Ended chan struct{}   // the hook that was called has ended, which was told
	Hung  []*proc.Process // what could not be ended; nobody changes it between an end and the next call

	log    *slog.Logger
	cancel context.CancelFunc // nil: none is called
}

// New makes one.
func New(log *slog.Logger) *Caller { return &Caller{Ended: make(chan struct{}, 1), log: log} }

// Call begins a call. m is a copy of the owner's, which must not be used by two
// goroutines at a time.
// Precondition: what was called before has Ended.
func (c *Caller) Call(m generation.Maker, cfg config.Config, plan generation.HookPlan) {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.log.Info("calling the hook "+escape.Name(plan.Program), "status", plan.Status)
	go func() {
		began := time.Now()
		out, hung, err := m.Hook(ctx, cfg, plan)
		if hung != nil {
			c.Hung = append(c.Hung, hung)
		}
		level, text := words(out, err, ctx.Err() != nil)
		c.log.Log(context.Background(), level, "the hook "+escape.Name(plan.Program)+" "+text, "ms", time.Since(began).Milliseconds())
		for _, line := range lastLines(out.Tail) {
			c.log.Log(context.Background(), level, "the hook said: "+line)
		}
		cancel()
		c.Ended <- struct{}{}
	}()
}

// Break ends the hook that runs, if one does. Its end is heard as any other.
func (c *Caller) Break() {
	if c.cancel != nil {
		c.cancel()
	}
}

// Wait waits for the end of what was called, if anything was, and has the owner's
// heart beat meanwhile. It ends the hook when hurry says so of a signal.
func (c *Caller) Wait(beat <-chan struct{}, signals <-chan os.Signal, hurry func(os.Signal) bool) {
	for c.cancel != nil {
		select {
		case <-c.Ended:
			c.Heard()
		case <-beat:
		case sig := <-signals:
			if hurry(sig) {
				c.Break()
			}
		}
	}
}

// Heard is called by who has taken an end from Ended.
func (c *Caller) Heard() { c.cancel = nil }

// words say how a hook ended.
func words(out ipc.RunExited, err error, broken bool) (slog.Level, string) {
	switch {
	case broken:
		return slog.LevelWarn, "was ended: nobody waits for it any longer"
	case err != nil:
		return slog.LevelError, "could not be called: " + err.Error()
	}
	switch out.End {
	case ipc.EndExited:
		if out.Code == 0 {
			return slog.LevelInfo, "has ended"
		}
		return slog.LevelWarn, fmt.Sprintf("ended with exit code %d, which changes nothing", out.Code)
	case ipc.EndSignalled:
		return slog.LevelWarn, fmt.Sprintf("was ended by signal %d (%v)", out.Code, syscall.Signal(out.Code))
	case ipc.EndTimeout:
		return slog.LevelWarn, "took longer than hooks.timeout, and was ended with all that it had started"
	case ipc.EndRefused:
		return slog.LevelError, "could not be started"
	}
	return slog.LevelError, "has ended, and nobody knows how"
}

// lastLines are the last lines of what it wrote to its standard error, escaped and
// short.
func lastLines(tail []byte) []string {
	const most, longest = 5, 400
	var out []string
	for line := range bytes.SplitSeq(bytes.TrimRight(tail, "\n"), []byte("\n")) {
		if len(line) > 0 {
			out = append(out, escape.Name(string(line[:min(len(line), longest)])))
		}
	}
	return out[max(len(out)-most, 0):]
}
