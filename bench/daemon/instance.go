package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"lockstep/bench/look"
	"lockstep/bench/meter"
)

// Launcher is what starting takes.
type Launcher struct {
	Starter   *Starter
	Hierarchy *meter.Hierarchy
	Sysctls   *meter.Sysctls
	Bin       string // where ours was built
	Scratch   string // a directory for what daemons keep

	mu sync.Mutex
	n  int // guarded by mu
}

// Watched is the moment at which a daemon said that every directory is watched.
type Watched struct {
	At    time.Time
	Took  time.Duration // since exec
	Claim time.Duration // as it says itself: it does not count what its start took before; 0: it says nothing
}

// Instance is a running daemon.
type Instance struct {
	Kind    Kind
	Group   *meter.Group
	PID     int
	Started time.Time     // just before exec
	Ended   chan struct{} // closed when it has ended

	cmd     *exec.Cmd
	dir     string
	out     *os.File      // what it says
	silent  chan struct{} // closed when nothing more comes from there
	restore func() error  // of its queue's length
	status  *look.Dir

	mu      sync.Mutex
	watched chan Watched // one
	last    []string     // guarded by mu; the last lines it said
}

// Start starts a daemon; it must be stopped by Stop.
func (l *Launcher) Start(ctx context.Context, k Kind, src, dst string) (_ *Instance, err error) {
	l.mu.Lock()
	l.n++
	name := fmt.Sprintf("%s-%d", k.Word(), l.n)
	l.mu.Unlock()
	in := &Instance{Kind: k, dir: filepath.Join(l.Scratch, name), Ended: make(chan struct{}), silent: make(chan struct{}), watched: make(chan Watched, 1)}
	if err := in.directories(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, in.release())
		}
	}()
	with := map[string]string{"src": src, "dst": dst, "private": in.private(), "open": in.open(), "bin": l.Bin, "conf": filepath.Join(in.dir, "config")}
	if k.Config != "" {
		if err := os.WriteFile(with["conf"], []byte(fill(k.Config, with)), 0o600); err != nil {
			return nil, err
		}
	}
	if k.Queue > 0 {
		if in.restore, err = l.Sysctls.Set(ctx, "fs.inotify.max_queued_events", k.Queue); err != nil {
			return nil, err
		}
	}
	if in.Group, err = l.Hierarchy.Group(fmt.Sprintf("%d-%s", os.Getpid(), name)); err != nil {
		return nil, err
	}
	argv := make([]string, len(k.Argv))
	for i, w := range k.Argv {
		argv[i] = fill(w, with)
	}
	in.cmd = exec.Command(argv[0], argv[1:]...)
	in.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + in.private(), "TMPDIR=" + in.open()}
	if err := in.exec(l.Starter); err != nil {
		return nil, err
	}
	return in, nil
}

func (in *Instance) private() string { return filepath.Join(in.dir, "private") }
func (in *Instance) open() string    { return filepath.Join(in.dir, "open") }

// directories makes what a daemon may need: some are another user by the time
// they write their files.
func (in *Instance) directories() error {
	return errors.Join(os.Mkdir(in.dir, 0o755), os.Mkdir(in.private(), 0o700), os.Mkdir(in.open(), 0o777), os.Chmod(in.open(), 0o777|os.ModeSticky))
}

// exec starts the process and what listens to it.
func (in *Instance) exec(s *Starter) error {
	out, into, err := os.Pipe()
	if err != nil {
		return err
	}
	in.out, in.cmd.Stdout, in.cmd.Stderr = out, into, into
	defer into.Close()
	if in.Kind.StatusFile != "" {
		if in.status, err = look.OpenWrites(in.open()); err != nil {
			return err
		}
		go in.readStatus()
	}
	in.Started = time.Now()
	if err := s.Start(in.cmd, in.Group); err != nil {
		return fmt.Errorf("start %s: %w", in.Kind.Name, err)
	}
	in.PID = in.cmd.Process.Pid
	go in.listen(out)
	go func() {
		// How it ended does not matter: mostly Stop ends it. What it has
		// started may outlive it and hold the pipe, so that is not waited for.
		_ = in.cmd.Wait()
		close(in.Ended)
	}()
	return nil
}

// listen reads what the daemon says until it ends. Once the line was seen that
// is waited for, lines are no longer looked at: some daemons write much.
func (in *Instance) listen(out io.Reader) {
	defer close(in.silent)
	r := bufio.NewReaderSize(out, 1<<16)
	waiting := in.Kind.StatusFile == ""
	for {
		line, err := r.ReadString('\n')
		if waiting && strings.Contains(line, in.Kind.Watched) {
			in.watched <- Watched{At: time.Now(), Claim: claim(line)}
			waiting = false
		}
		if line != "" {
			in.mu.Lock()
			in.last = append(in.last, strings.TrimSpace(line))
			in.last = in.last[max(0, len(in.last)-8):]
			in.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// readStatus waits until the status file holds one of the words.
func (in *Instance) readStatus() {
	for e := range in.status.Events() {
		if e.Name != in.Kind.StatusFile {
			continue
		}
		text, err := os.ReadFile(filepath.Join(in.open(), e.Name))
		if err == nil && slices.Contains(strings.Split(in.Kind.Watched, "|"), strings.TrimSpace(string(text))) {
			select {
			case in.watched <- Watched{At: e.At}:
			default:
			}
			return
		}
	}
}

// claim reads "ms=NUMBER" in a log line.
func claim(line string) time.Duration {
	_, after, found := strings.Cut(line, " ms=")
	if f := strings.Fields(after); found && len(f) > 0 {
		if n, err := strconv.Atoi(f[0]); err == nil {
			return time.Duration(n) * time.Millisecond
		}
	}
	return 0
}

// Watched waits until the daemon says that every directory is watched.
func (in *Instance) Watched(ctx context.Context) (Watched, error) {
	select {
	case w := <-in.watched:
		in.watched <- w
		w.Took = w.At.Sub(in.Started)
		return w, nil
	case <-in.Ended:
		return Watched{}, in.Early()
	case <-ctx.Done():
		return Watched{}, fmt.Errorf("%s did not say that every directory is watched: %w", in.Kind.Name, ctx.Err())
	}
}

// Early is the error of a daemon that ended by itself.
func (in *Instance) Early() error {
	select {
	case <-in.silent:
	case <-time.After(time.Second): // what it has started still holds the pipe
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return fmt.Errorf("%s ended by itself: %s: %s", in.Kind.Name, in.cmd.ProcessState, strings.Join(in.last, " | "))
}

// Stop ends the daemon and removes what belongs to it.
func (in *Instance) Stop() error {
	select {
	case <-in.Ended:
	default:
		_ = in.cmd.Process.Signal(syscall.SIGTERM) // it may end just now
		select {
		case <-in.Ended:
		case <-time.After(15 * time.Second):
			_ = in.cmd.Process.Kill()
		}
	}
	return in.release()
}

// release removes what a daemon needed: also of one that did not start.
func (in *Instance) release() error {
	var errs []error
	if in.Group != nil {
		errs = append(errs, in.Group.Remove())
	}
	if in.out != nil {
		errs = append(errs, in.out.Close())
	}
	if in.status != nil {
		errs = append(errs, in.status.Close())
	}
	if in.restore != nil {
		errs = append(errs, in.restore())
	}
	return errors.Join(append(errs, os.RemoveAll(in.dir))...)
}
