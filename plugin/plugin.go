// Package plugin has a module called: by a process of its own, the host
// (cmd/lockstep-plugin), which is killed with all that it started when a call
// takes too long, and started again for the next one.
//
// Trust: part of the runner, in its jail. The host and what it says are hostile.
// Imports: the standard library, x/sys, plugin/frame and internal/escape only.
//
// Invariants: a call has succeeded only if the module returned 0 and had no
// process left; whatever else a module does fails that one call, under a name of
// a closed set; after a failure no process of the host's group is left.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/plugin/frame"
)

// Config is a module and how it is run.
type Config struct {
	Program string   // lockstep-plugin, by an absolute path
	Env     []string // of it, and so of the module
	Starter Starter  // nil: Children
	// Stdio are its descriptors 0 to 2. Who has the other end of 1 and 2 reads
	// what the module and its programs print, all of it hostile.
	Stdio [3]int

	Name   string // of the module, for messages: its path
	Object int    // open on it; stays the caller's
	Path   string // where the host finds it if there is no /proc
	Owner  uint32 // may own it, besides root

	Sync   frame.Init // what the module may know of its sync
	Limits Limits
}

// Limits bound what a module takes.
type Limits struct {
	Forks   int           // processes by clsyncapi_fork at a time; clsync's: 256
	Timeout time.Duration // of a call, and of the first one's loading; 0: none
	Grace   time.Duration // from SIGTERM to SIGKILL
}

// Plugin is a module that can be called.
type Plugin struct {
	cfg Config

	mu   sync.Mutex // held for a call: there is one at a time
	host *running   // nil: it is to be started
	shut bool
}

// Start starts the host and has the module loaded and initialized.
func Start(ctx context.Context, cfg Config) (*Plugin, error) {
	if cfg.Program == "" || cfg.Limits.Forks < 0 || cfg.Limits.Timeout < 0 || cfg.Limits.Grace < 0 {
		return nil, errors.New("plugin: no program, or a negative limit")
	}
	if _, err := frame.Append(nil, 0, &cfg.Sync); err != nil {
		return nil, fmt.Errorf("plugin: %w", err)
	}
	if cfg.Starter == nil {
		cfg.Starter = Children{}
	}
	p := &Plugin{cfg: cfg}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Sync has clsyncapi_sync called and returns its exit code. An error is a
// *Failure.
func (p *Plugin) Sync(ctx context.Context, round frame.Round, entries []frame.Entry) (int, error) {
	return p.call(ctx, &frame.Sync{Round: round, Entries: entries})
}

// Rsync has clsyncapi_rsync called, and likewise. No exclude list: "".
func (p *Plugin) Rsync(ctx context.Context, round frame.Round, include, exclude string) (int, error) {
	return p.call(ctx, &frame.Rsync{Round: round, Include: include, Exclude: exclude})
}

// Close has clsyncapi_deinit called, if the host runs, and ends it. What
// deinit returned, and how it failed, is an error; the host is gone all the
// same.
func (p *Plugin) Close(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	if p.host == nil {
		return nil
	}
	code, err := p.ask(ctx, &frame.Deinit{})
	if err != nil {
		return err
	}
	h := p.host
	p.host = nil
	if f := h.leave(p.cfg.Limits.Grace); f != nil {
		return p.failed(f.Why, f.What)
	}
	if code != 0 {
		return fmt.Errorf("module %q: clsyncapi_deinit returned %d", p.cfg.Name, code)
	}
	return nil
}

func (p *Plugin) call(ctx context.Context, req frame.Message) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(ctx); err != nil {
		return 0, err
	}
	return p.ask(ctx, req)
}

// ready makes sure that there is a host with an initialized module.
func (p *Plugin) ready(ctx context.Context) error {
	if p.shut {
		return p.failed(NotStarted, "it was closed")
	}
	if ctx.Err() != nil {
		return p.failed(Stopped, "")
	}
	if p.host != nil && p.host.over() {
		// It ended between two calls; no change was in its hands.
		p.host.end(p.cfg.Limits.Grace)
		p.host = nil
	}
	if p.host != nil {
		return nil
	}
	host, err := start(p.cfg)
	if err != nil {
		return p.failed(NotStarted, err.Error())
	}
	p.host = host
	init := p.cfg.Sync
	code, err := p.ask(ctx, &init)
	if err != nil {
		return err
	}
	if code != 0 {
		p.host.end(p.cfg.Limits.Grace)
		p.host = nil
		return p.failed(InitFailed, fmt.Sprintf("clsyncapi_init returned %d", code))
	}
	return nil
}

// ask sends one request and returns what the function returned. After an error
// there is no host.
func (p *Plugin) ask(ctx context.Context, req frame.Message) (int, error) {
	res, f := p.host.exchange(ctx, p.cfg.Limits.Timeout, req)
	if f == nil && res.Left != 0 {
		f = &Failure{Why: Unfinished, What: fmt.Sprintf("%d still ran", res.Left)}
	}
	if f == nil {
		return int(res.Code), nil
	}
	if f.Why == NotSent {
		return 0, p.failed(f.Why, f.What) // the host knows nothing of it
	}
	p.host.dispose(f, p.cfg.Limits.Grace)
	p.host = nil
	f.Module = p.cfg.Name
	return 0, f
}

func (p *Plugin) failed(why Why, what string) *Failure {
	return &Failure{Module: p.cfg.Name, Why: why, What: what}
}

// The host's descriptors.
const (
	channelFD = 3
	objectFD  = 4
)

// start starts a host. On an error nothing of it is left.
func start(cfg Config) (*running, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	// Its own end waits in read(2), ours in the poller.
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(pair[0]), unix.Close(pair[1]))
	}
	argv := []string{
		cfg.Program, "--channel=" + strconv.Itoa(channelFD), "--object=" + strconv.Itoa(objectFD), "--path=" + cfg.Path,
		"--owner=" + strconv.FormatUint(uint64(cfg.Owner), 10), "--forks=" + strconv.Itoa(cfg.Limits.Forks),
	}
	p, err := cfg.Starter.Start(argv, cfg.Env, []int{cfg.Stdio[0], cfg.Stdio[1], cfg.Stdio[2], pair[1], cfg.Object})
	err = errors.Join(err, unix.Close(pair[1]))
	conn := os.NewFile(uintptr(pair[0]), "host")
	if err != nil {
		if p.Signal != nil {
			err = errors.Join(err, p.Signal(syscall.SIGKILL))
		}
		return nil, errors.Join(err, conn.Close())
	}
	h := &running{process: p, conn: conn, ended: make(chan struct{})}
	go h.await()
	return h, nil
}
