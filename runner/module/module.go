// Package module has the functions of a module called, when the handler of a sync
// is a shared object and no program: in a process of its own, the host (package
// plugin), which is started at the first call and stays for the next ones.
//
// Trust: part of the runner, in its jail. The module, and what it prints, are
// hostile.
//
// Invariants: a call ends as a program's would: with an exit code, by a signal, or
// because its time was over; what the module prints reaches the log as lines.
package module

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/plugin"
	"lockstep/plugin/frame"
	"lockstep/runner/lines"
	"lockstep/runner/pipes"
	"lockstep/runner/told"
)

// Config is a module and its sync.
type Config struct {
	Program string   // the host
	Object  string   // the module
	Env     []string // of both
	Lists   bool     // it is told by rsync's lists (rsyncso), not by entries (so)

	Label, Source, Target string

	Timeout, Grace time.Duration
}

// forks is how many processes a module may have at a time: as many as clsync allows.
const forks = 256

// Module is one, for one call at a time.
type Module struct {
	c       Config
	starter plugin.Starter
	logf    func(format string, args ...any)

	plugin *plugin.Plugin // nil: none has been initialized yet
	object int            // open while there is a plugin
	output *os.File       // what the host prints is read here
	stdout int            // its other end
	read   <-chan struct{}
}

// New makes one. Nothing is started or opened yet.
func New(c Config, s plugin.Starter, logf func(format string, args ...any)) *Module {
	return &Module{c: c, starter: s, logf: logf}
}

// Call calls its function and returns how that ended. An error is why it could not
// be called at all.
func (m *Module) Call(ctx context.Context, f told.Function) (ipc.RunExited, error) {
	if err := m.start(ctx); err != nil {
		return ended(0, err)
	}
	round := frame.Round{Status: f.Status, Iteration: f.Iteration}
	if m.c.Lists {
		return ended(m.plugin.Rsync(ctx, round, f.Include, f.Exclude))
	}
	entries := make([]frame.Entry, len(f.Entries))
	for i, e := range f.Entries {
		entries[i] = frame.Entry{Mask: e.Mask, Path: f.Names[i], Old: frame.Type(e.Old), New: frame.Type(e.New)}
		if e.Recursive {
			entries[i].Flags |= frame.Recursive
		}
		if e.Content {
			entries[i].Flags |= frame.Content
		}
	}
	return ended(m.plugin.Sync(ctx, round, entries))
}

// ended is how a call ended, as a command would.
func ended(code int, err error) (ipc.RunExited, error) {
	out := ipc.RunExited{End: ipc.EndExited, Code: uint8(code)}
	if code < 0 || code > int(worst) {
		out.Code = worst // no failure may look like success
	}
	var f *plugin.Failure
	switch {
	case err == nil && code != 0:
		out.Tail = fmt.Appendf(nil, "the module returned %d\n", code)
		return out, nil
	case err == nil:
		return out, nil
	case !errors.As(err, &f):
		return out, err
	}
	text := err.Error()
	out.Tail = []byte(text[:min(len(text), ipc.MaxTail-1)] + "\n")
	switch f.Why {
	case plugin.NotStarted, plugin.Refused, plugin.NotLoadable, plugin.NoFunction:
		return ipc.RunExited{}, err
	case plugin.Timeout:
		out.End = ipc.EndTimeout
	case plugin.Stopped:
		out.End = ipc.EndStopped
	case plugin.Crashed:
		out.End, out.Code = ipc.EndSignalled, uint8(f.Signal)
	default:
		out.Code = 1
	}
	return out, nil
}

// worst is the highest exit code.
const worst uint8 = 255

// start makes sure that there is a plugin. On an error nothing of it is left.
func (m *Module) start(ctx context.Context) error {
	if m.plugin != nil {
		return nil
	}
	// Not a FIFO that would be waited for; the host looks at what it is.
	object, err := unix.Open(m.c.Object, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("module %s: %w", m.c.Object, err)
	}
	m.object = object
	if m.output, m.stdout, err = pipes.Outlet(); err != nil {
		return errors.Join(err, unix.Close(object))
	}
	m.read = pipes.Collect(m.output, &lines.Writer{Emit: func(line []byte) { m.logf("<6>%s", line) }})
	mode := frame.ModeSync
	if m.c.Lists {
		mode = frame.ModeRsync
	}
	const stdin = 0 // /dev/null
	m.plugin, err = plugin.Start(ctx, plugin.Config{
		Program: m.c.Program, Env: m.c.Env, Starter: m.starter, Stdio: [3]int{stdin, m.stdout, m.stdout},
		Name: m.c.Object, Object: object, Path: m.c.Object,
		Sync:   frame.Init{Mode: mode, Label: m.c.Label, WatchDir: m.c.Source, DestDir: m.c.Target},
		Limits: plugin.Limits{Forks: forks, Timeout: m.c.Timeout, Grace: m.c.Grace},
	})
	if err != nil {
		m.plugin = nil
		m.release()
	}
	return err
}

// release gives back what a plugin has, when it has ended.
func (m *Module) release() {
	// The error is ErrClosed when its reader has come to the end: no process has the
	// other end any more, unless one has left the host's group.
	err := errors.Join(unix.Close(m.object), unix.Close(m.stdout))
	_ = m.output.SetReadDeadline(time.Now().Add(pipes.DrainTime))
	<-m.read
	if err != nil {
		m.logf("<3>module %s: close: %v", m.c.Object, err)
	}
}

// Close has the module end in order, if it was ever called.
func (m *Module) Close() {
	if m.plugin == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.c.Grace)
	defer cancel()
	if err := m.plugin.Close(ctx); err != nil {
		m.logf("<4>%v", err)
	}
	m.plugin = nil
	m.release()
}
