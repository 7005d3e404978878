// Package module has the functions of a module called, when the handler of a sync
// is a shared object and no program: in a process of its own, the host (package
// plugin), which is started at the first call and stays for the next ones.
//
// Trust: part of the runner, in its jail. The module, and what it prints, are
// hostile.
//
// Invariants: a call ends as a program's would: with an exit code, by a signal, or
// because its time was over; what the module prints reaches the log as lines; what
// is loaded is the file that the supervisor looked at.
package module

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/plugin"
	"lockstep/plugin/frame"
	"lockstep/runner/lines"
	"lockstep/runner/pipes"
	"lockstep/runner/told"
)

// Config is a module and its sync.
type Config struct {
	Program string   // the host
	Env     []string // of both
	Object  settings.Module
	Lists   bool // it is told by rsync's lists (rsyncso), not by entries (so)

	Label, Source, Target string

	Timeout, Grace time.Duration
}

// forks is how many processes a module may have at a time: as many as clsync allows.
const forks = 256

// Module is one, for one call at a time: neither Call nor Close may be called while
// the other, or another of its kind, has not returned.
type Module struct {
	c       Config
	starter plugin.Starter
	logf    func(format string, args ...any)

	plugin *plugin.Plugin // nil: none has been initialized yet
	files  *files         // of the plugin
}

// files are what the host is given, for as long as there is a plugin: each host that
// takes the place of one that has failed gets the same.
type files struct {
	object int // open on the module
	output int // what the host and the module print goes here
	reader *os.File
	lines  *lines.Writer
	read   <-chan struct{} // closed at the output's end
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

// worst is the highest exit code.
const worst = 255

// ended is how a call ended, as a command would.
func ended(code int, err error) (ipc.RunExited, error) {
	var f *plugin.Failure
	switch {
	case err == nil && code == 0:
		return ipc.RunExited{End: ipc.EndExited}, nil
	case err == nil:
		out := ipc.RunExited{End: ipc.EndExited, Code: worst, Tail: fmt.Appendf(nil, "the module returned %d\n", code)}
		if code > 0 && code < worst {
			out.Code = uint8(code) // of any other the lowest byte may be 0
		}
		return out, nil
	case !errors.As(err, &f):
		return ipc.RunExited{}, err
	}
	text := err.Error()
	out := ipc.RunExited{End: ipc.EndExited, Code: 1, Tail: []byte(text[:min(len(text), ipc.MaxTail-1)] + "\n")}
	switch f.Why {
	case plugin.NotStarted, plugin.Refused, plugin.NotLoadable, plugin.NoFunction:
		return ipc.RunExited{}, err
	case plugin.Timeout:
		out.End = ipc.EndTimeout
	case plugin.Stopped:
		out.End = ipc.EndStopped
	case plugin.Crashed:
		out.End, out.Code = ipc.EndSignalled, uint8(f.Signal)
	}
	return out, nil
}

// start makes sure that there is a plugin. On an error nothing of it is left.
func (m *Module) start(ctx context.Context) error {
	if m.plugin != nil {
		return nil
	}
	files, err := m.open()
	if err != nil {
		return fmt.Errorf("module %s: %w", m.c.Object.Path, err)
	}
	mode := frame.ModeSync
	if m.c.Lists {
		mode = frame.ModeRsync
	}
	const stdin = 0 // /dev/null
	p, err := plugin.Start(ctx, plugin.Config{
		Program: m.c.Program, Env: m.c.Env, Starter: m.starter, Stdio: [3]int{stdin, files.output, files.output},
		Name: m.c.Object.Path, Object: files.object, Path: m.c.Object.Path,
		Sync:   frame.Init{Mode: mode, Label: m.c.Label, WatchDir: m.c.Source, DestDir: m.c.Target},
		Limits: plugin.Limits{Forks: forks, Timeout: m.c.Timeout, Grace: m.c.Grace},
	})
	if err != nil {
		m.release(files)
		return err
	}
	m.plugin, m.files = p, files
	return nil
}

// open makes what a host is given. On an error nothing of it is left.
func (m *Module) open() (*files, error) {
	// Not a FIFO that would be waited for; the host looks at what it is.
	object, err := unix.Open(m.c.Object.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(object, &st)
	if err == nil && (st.Dev != m.c.Object.Dev || st.Ino != m.c.Object.Ino) {
		err = errors.New("it is not the file it was at start: restart lockstep")
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(object))
	}
	f := &files{object: object, lines: &lines.Writer{Emit: func(line []byte) { m.logf("<6>%s", line) }}}
	if f.reader, f.output, err = pipes.Outlet(); err != nil {
		return nil, errors.Join(err, unix.Close(object))
	}
	f.read = pipes.Collect(f.reader, f.lines)
	return f, nil
}

// release gives back what a plugin was given, when it has ended.
func (m *Module) release(f *files) {
	if err := errors.Join(unix.Close(f.object), unix.Close(f.output)); err != nil {
		m.logf("<3>module %s: close: %v", m.c.Object.Path, err)
	}
	// A process that has left the host's group may have the other end still. The error
	// is ErrClosed when the reader has come to the end.
	_ = f.reader.SetReadDeadline(time.Now().Add(pipes.DrainTime))
	<-f.read
	f.lines.Flush()
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
	m.release(m.files)
	m.plugin, m.files = nil, nil
}
