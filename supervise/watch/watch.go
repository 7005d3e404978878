// Package watch is `lockstep watch`: it starts a helper and a worker for each
// root, passes the lines of the workers on, and obeys a person.
//
// Trust: linked into the supervisor. What a worker writes is hostile: only lines
// that console.CopyOutput lets through go on, and of those the supervisor alone
// says which root they are about.
//
// Invariants: a root's goroutine owns its state; the others pass values on.
// Whoever reads our output may be slow: nothing but its lines waits for it. No
// descriptor inside a root is held.
package watch

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/config"
	"lockstep/internal/escape"
	"lockstep/ipc/status"
	"lockstep/rootid"
	"lockstep/rules"
	"lockstep/supervise/above"
	"lockstep/supervise/exit"
	"lockstep/supervise/generation"
	"lockstep/supervise/tell"
	"lockstep/uidpool"
)

// Options are what a person has asked for.
type Options struct {
	Dirs         []string
	JSON         bool
	Monitor      string        // of package choose
	PollEvery    time.Duration // 0: as suits the file system
	AllowBlind   bool          // it is accepted that changes by others are not seen
	Exclude      []string
	Settle       time.Duration
	Follow       bool // a root that is renamed is watched on
	VerifyEvery  time.Duration
	Stats        bool
	Interactive  bool
	AllowMissing []string
	Refuses      map[string]string // monitors that cannot be had, and why
}

// Host is what the service gives.
type Host struct {
	Log     *slog.Logger
	Maker   generation.Maker // without what is each root's own
	Lease   func() (*uidpool.Lease, error)
	Signals <-chan os.Signal
	Mounts  <-chan struct{} // the mount table has changed; closed: it is not watched any more
	Above   *above.Watcher
	In      io.Reader
	Out     *os.File
}

// Check makes the roots' paths absolute, without symbolic links, and tells all
// that is wrong.
func (o *Options) Check() error {
	var errs []error
	if len(o.Dirs) == 0 {
		errs = append(errs, errors.New("DIR: missing; name a directory to be watched"))
	}
	if _, err := rules.New(o.Exclude); err != nil {
		errs = append(errs, fmt.Errorf("--exclude: %w", err))
	}
	if why := o.Refuses[o.Monitor]; why != "" {
		errs = append(errs, fmt.Errorf("--monitor %s: %s; leave it out, or take another one, or start lockstep as root", o.Monitor, why))
	}
	var dirs []string
	for _, dir := range o.Dirs {
		path, err := o.resolve(dir, dirs)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		dirs = append(dirs, path)
	}
	o.Dirs = dirs
	return errors.Join(errs...)
}

// resolve is the path of a root beside others, if its changes can be heard of.
func (o *Options) resolve(dir string, others []string) (string, error) {
	path, err := resolve(dir, others)
	if err != nil {
		return "", err
	}
	id, err := rootid.Read(path)
	if err != nil {
		return "", err
	}
	if why := o.unseen(path, id); why != "" {
		return "", errors.New(why)
	}
	return path, nil
}

// unseen says why changes below a root would pass unseen, and what to do; "": they
// do not, or that is accepted.
func (o *Options) unseen(path string, id rootid.Identity) string {
	why := o.config(path).Unseen(id)
	if why == "" {
		return ""
	}
	return escape.Name(path) + ": " + why + "; use --monitor poll or auto, run lockstep where the files are, or add --allow-blind to be told of what is seen"
}

// config is what a sync with the same wishes would be told.
func (o *Options) config(path string) config.Config {
	return config.Config{Sync: config.Sync{Source: path, Monitor: o.Monitor, PollEvery: o.PollEvery, AllowBlind: o.AllowBlind}}
}

// resolve is the path of a root beside others.
func resolve(dir string, others []string) (string, error) {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	var info os.FileInfo
	if err == nil {
		info, err = os.Stat(path)
	}
	var reason *os.PathError
	switch {
	case errors.As(err, &reason):
		return "", fmt.Errorf("%s: %w; name a directory that is there", escape.Name(dir), reason.Err)
	case err != nil:
		return "", fmt.Errorf("%s: %w", escape.Name(dir), err)
	case !info.IsDir():
		return "", fmt.Errorf("%s: is not a directory; watch the directory that it is in", escape.Name(dir))
	}
	if err := unix.Access(path, unix.R_OK|unix.X_OK); err != nil {
		return "", fmt.Errorf("%s: cannot be listed: %w; watch a directory that you may read and enter, or start lockstep as root", escape.Name(dir), err)
	}
	for _, other := range others {
		if path == other || within(path, other) || within(other, path) {
			return "", fmt.Errorf("%s: is, holds or is inside %s, which is watched as well; name directories apart", escape.Name(dir), escape.Name(other))
		}
	}
	return path, nil
}

func within(path, dir string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// board is the state of Serve.
type board struct {
	host  Host
	opt   Options
	print *tell.Printer
	roots []*root
	taken int // numbers given to roots
	calls chan func() error
	ended chan ending
	quit  bool
	worst error
}

type ending struct {
	root *root
	err  error
}

// Serve watches until a signal, a person or a failure ends it.
func Serve(h Host, o Options) error {
	b := &board{host: h, opt: o, calls: make(chan func() error), ended: make(chan ending)}
	b.print = tell.New(h.Out, o.JSON, len(o.Dirs) > 1 || o.Interactive, len(o.Dirs))
	defer b.print.Close()
	for _, dir := range o.Dirs {
		if err := b.add(dir); err != nil {
			b.stop()
			b.worst = err
			break
		}
	}
	if o.Interactive && b.worst == nil {
		go b.prompt(h.In)
	}
	for len(b.roots) > 0 || b.opt.Interactive && !b.quit {
		b.step()
	}
	return b.worst
}

// step takes one event.
func (b *board) step() {
	select {
	case sig := <-b.host.Signals:
		b.signal(sig)
	case _, ok := <-b.host.Mounts:
		if !ok {
			b.host.Mounts = nil
			b.fail(exit.Error{Code: exit.Internal, Err: errors.New("the mount table is not watched any more")})
		}
		for _, r := range b.roots {
			r.lookAgain()
		}
	case f := <-b.calls:
		if err := f(); err != nil {
			b.fail(err)
		}
	case <-b.print.Failed:
		b.print.Failed = nil
		b.fail(b.print.Err())
	case e := <-b.ended:
		for i, r := range b.roots {
			if r == e.root {
				b.roots = append(b.roots[:i], b.roots[i+1:]...)
				r.unwatch()
				break
			}
		}
		b.fail(e.err)
	}
}

// fail ends all because of an error; the gravest decides the exit code.
func (b *board) fail(err error) {
	if err == nil {
		return
	}
	if b.worst == nil || exit.Code(err) > exit.Code(b.worst) {
		b.worst = err
	}
	b.stop()
}

func (b *board) stop() {
	b.quit = true
	b.print.End()
	for _, r := range b.roots {
		r.shutDown()
		time.AfterFunc(stopTime+time.Second, r.hurry) // it may wait for the reader of our lines
	}
}

// signal obeys a person.
func (b *board) signal(sig os.Signal) {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		if b.quit {
			for _, r := range b.roots {
				r.hurry()
			}
		}
		b.stop()
	case syscall.SIGHUP:
		b.host.Log.Warn("SIGHUP is refused: there is nothing to be read again")
	case syscall.SIGUSR1:
		for _, r := range b.roots {
			r.do(func() error { r.asked = true; return r.order(status.CommandVerify) })
		}
	}
}

// add begins to watch a directory.
func (b *board) add(dir string) error {
	b.taken++
	r, err := newRoot(b, dir, b.taken)
	if err != nil {
		return err
	}
	b.roots = append(b.roots, r)
	r.unwatch = b.host.Above.Add(r.path, r.lookAgain)
	go func() { b.ended <- ending{r, r.run()} }()
	return nil
}
