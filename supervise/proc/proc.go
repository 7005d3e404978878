// Package proc starts one confined process in a control group of its own,
// passes its messages on, and ends it with all that it has started.
//
// Trust: linked into the supervisor. What a process writes is hostile, and goes
// through console's escaper.
//
// Invariants: a process that was started is waited for; when End has returned
// without an error, neither it, nor a child of it, nor its control group is
// left, and its last message has been passed on. End waits for a limited time:
// nothing ends what hangs in the kernel, and that must not hang the supervisor.
package proc

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/cgroup"
	"lockstep/console"
	"lockstep/internal/escape"
	"lockstep/sandbox"
	"lockstep/supervise/jail"
	"lockstep/supervise/scribe"
)

// Process is one confined process.
type Process struct {
	*sandbox.Process
	Role  string // and of what, for messages
	Begun time.Time

	// Refuse has a runner begin no further command.
	Refuse func()

	leaf leaf
	done sync.WaitGroup // its waiter, the reader of its messages, and what Go was given
	hung atomic.Bool    // End gave up, and it has not gone since
}

// Exit is a process's end: Code, or -1 and Sig.
type Exit struct {
	Process *Process
	Code    int
	Sig     syscall.Signal
	Err     error // it could not be waited for
}

// Starter starts processes.
type Starter struct {
	Launcher *sandbox.Launcher
	// Group is where control groups are made. Without one there are none: then
	// what is started must be able to start nothing, so that it can be ended.
	Group *cgroup.Group
	Exits chan<- Exit // must have room for all that can be alive at a time
	// Lines makes the writer of a role's messages; label tells one of several
	// with the same role, or is empty.
	Lines func(role, label string) *console.Lines
	// Lost is told of messages that could not be read.
	Lost func(role string, err error)
	// Prefix is put before the names of control groups: those who share a Group
	// have different ones.
	Prefix string
	Sync   string         // whose processes they are
	Trail  *scribe.Scribe // of what is started, and how it ends

	starts int
}

// Start starts one program in a fresh leaf: cgroup.kill poisons one that was
// used, and kills what is born into it later.
//
// label is put into messages about the process.
func (s *Starter) Start(spec sandbox.Spec, label string, image *os.File, fds []sandbox.Donation, limits cgroup.Limits) (*Process, error) {
	if err := donates(spec, fds); err != nil {
		return nil, err
	}
	s.starts++
	leaf, err := s.leaf(fmt.Sprintf("%s%s-%d", s.Prefix, spec.Role, s.starts), limits)
	if err != nil {
		return nil, fmt.Errorf("control group of the %s: %w", spec.Role, err)
	}
	messages, write, err := Pipe("messages")
	if err != nil {
		return nil, errors.Join(err, leaf.Remove())
	}
	p := &Process{Role: spec.Role, Begun: time.Now(), leaf: leaf}
	if label != "" {
		p.Role += " of " + escape.Name(label)
	}
	p.Process, err = s.Launcher.Start(spec, image, fds, write, leaf)
	err = errors.Join(err, write.Close())
	if p.Process == nil {
		return nil, errors.Join(err, messages.Close(), leaf.Remove())
	}
	lines := s.Lines(spec.Role, label)
	p.Go(func() {
		if err := console.Copy(messages, lines); err != nil {
			s.Lost(p.Role, err)
		}
	})
	note := s.Trail // the Starter is its owner's
	note.ProcessStart(s.Sync, p.Role, p.PID, spec.UID, spec.Caps)
	sync, exits := s.Sync, s.Exits
	p.Go(func() {
		e := Exit{Process: p}
		e.Code, e.Sig, e.Err = p.Wait()
		note.ProcessExit(sync, p.Role, p.PID, e.Code, e.Sig, e.Err)
		exits <- e
	})
	if err != nil {
		return nil, errors.Join(err, p.End())
	}
	return p, nil
}

// donates makes sure that a program is given nothing but what the table of descriptors
// has for its role.
func donates(spec sandbox.Spec, fds []sandbox.Donation) error {
	var names []string
	for _, d := range fds {
		names = append(names, d.Name)
	}
	for _, o := range spec.Opens {
		names = append(names, o.Name)
	}
	if err := jail.Donates(spec.Role, names...); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// leaf is a control group, or none.
type leaf interface {
	sandbox.Leaf
	Kill() error
	Remove() error
}

func (s *Starter) leaf(name string, limits cgroup.Limits) (leaf, error) {
	if s.Group == nil {
		return noLeaf{}, nil
	}
	return s.Group.Leaf(name, limits)
}

// noLeaf is the supervisor's own group.
type noLeaf struct{}

func (noLeaf) FD() int          { return -1 }
func (noLeaf) Join() []*os.File { return nil }
func (noLeaf) Kill() error      { return nil }
func (noLeaf) Remove() error    { return nil }

// Go runs f in a goroutine that End waits for: f must return when the process
// has ended.
func (p *Process) Go(f func()) { p.done.Go(f) }

// goneTime is how long a killed process may take to be gone, after the wait for
// its control group to be empty.
const goneTime = time.Second

// End kills the process with all that it has started, and waits until nothing
// is left of it, or it is clear that it hangs. A nil process has ended.
func (p *Process) End() error {
	if p == nil {
		return nil
	}
	// Both: a group may be empty still, when stage one has not joined it yet.
	err := errors.Join(p.leaf.Kill(), p.Kill())
	gone := make(chan struct{})
	go func() {
		p.done.Wait()
		close(gone)
	}()
	limit := time.NewTimer(goneTime)
	defer limit.Stop()
	select {
	case <-gone:
		return errors.Join(err, p.Close(), p.leaf.Remove())
	case <-limit.C:
	}
	p.hung.Store(true)
	go func() {
		<-gone
		// What cannot be removed now is swept at the next start.
		_ = errors.Join(p.Close(), p.leaf.Remove())
		p.hung.Store(false)
	}()
	return p.hangs()
}

// ErrHung is in the error of End when the process hangs.
var ErrHung = errors.New("hangs in the kernel and cannot be killed: a dead disk or mount; it ends when that answers")

// Hangs is an error as long as the process is one that End could not end.
func (p *Process) Hangs() error {
	if p == nil || !p.hung.Load() {
		return nil
	}
	return p.hangs()
}

// Hanging is an error as long as one of all Hangs: it may still write, so that
// nothing may be started beside it.
func Hanging(all []*Process) error {
	for _, p := range all {
		if err := p.Hangs(); err != nil {
			return err
		}
	}
	return nil
}

// Buried returns, and has said, which of all could not be ended, when that is
// what err, of their End, says. Any other error stays one.
func Buried(err error, say func(msg string, args ...any), all ...*Process) (hung []*Process, rest error) {
	if !errors.Is(err, ErrHung) {
		return nil, err
	}
	for _, p := range all {
		if why := p.Hangs(); why != nil {
			hung = append(hung, p)
			say(why.Error())
		}
	}
	return hung, nil
}

func (p *Process) hangs() error { return fmt.Errorf("the %s (pid %d) %w", p.Role, p.PID, ErrHung) }

// Pipe makes a pipe: the reading end is served by this process's poller, the
// writing end blocks, as programs expect of their standard error.
func Pipe(name string) (read, write *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("pipe: %w", err)
	}
	write = os.NewFile(uintptr(p[1]), name)
	if err := unix.SetNonblock(p[0], true); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("pipe: %w", err), unix.Close(p[0]), write.Close())
	}
	return os.NewFile(uintptr(p[0]), name), write, nil
}

// Pair makes a socket pair that keeps packets apart. Ours is served by this
// process's poller; theirs is a plain blocking one until its owner decides.
func Pair(name string) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), name)
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("socketpair: %w", err), unix.Close(fds[0]), theirs.Close())
	}
	return os.NewFile(uintptr(fds[0]), name), theirs, nil
}

// Plain makes a socket blocking, as a process expects that is not told of it
// before its filter forbids to change that.
func Plain(f *os.File) error {
	if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	return nil
}

// PassCred has the kernel tell the sender of every packet that arrives at f.
// The receiver's own filter allows no setsockopt.
func PassCred(f *os.File) error {
	if err := unix.SetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return fmt.Errorf("SO_PASSCRED: %w", err)
	}
	return nil
}

// Donate names a descriptor that a process gets.
func Donate(name string, f *os.File) sandbox.Donation {
	return sandbox.Donation{Name: name, File: f}
}

// Files are descriptors that are only needed until a process has its copy.
type Files struct {
	list []*os.File
	err  error
}

// Take keeps a file that was just made, or why it was not.
func (l *Files) Take(f *os.File, err error) *os.File {
	l.err = errors.Join(l.err, err)
	if err == nil {
		l.list = append(l.list, f)
	}
	return f
}

// Err is what went wrong so far.
func (l *Files) Err() error { return l.err }

// Close closes them.
func (l *Files) Close() error {
	var err error
	for _, f := range l.list {
		err = errors.Join(err, f.Close())
	}
	l.list = nil
	return err
}
