package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/runner/gate"
	"lockstep/runner/nudge"
	"lockstep/runner/pipes"
	"lockstep/runner/procs"
)

// job is one run of the target's command, with its guard before it.
type job struct {
	r    *Runner
	id   ipc.JobID
	kind ipc.JobKind
	list *os.File
	env  []string // of the command, beside the runner's settings

	stopOnce  sync.Once
	stopped   chan struct{} // closed by stop
	abortOnce sync.Once
	aborted   chan struct{} // closed by abort
}

func newJob(r *Runner, m *ipc.RunStart, list *os.File) *job {
	return &job{
		r: r, id: m.Job, kind: m.Kind, list: list,
		stopped: make(chan struct{}), aborted: make(chan struct{}),
	}
}

// stop ends the job with SIGTERM, and SIGKILL after the grace.
func (j *job) stop() { j.stopOnce.Do(func() { close(j.stopped) }) }

// abort ends the job with SIGKILL.
func (j *job) abort() { j.abortOnce.Do(func() { close(j.aborted) }) }

// run does the job and closes its list.
func (j *job) run() ipc.RunExited {
	begin := time.Now()
	out, err := j.r.gate.Through(gate.Job{ID: j.id, Kind: j.kind, List: j.list, Stopped: j.stopped, Aborted: j.aborted}, j.guarded)
	if err != nil {
		out = refused(j.id, err)
	}
	out.Job = j.id
	out.Wall = uint64(max(time.Since(begin), 0) / time.Microsecond)
	if err := j.list.Close(); err != nil {
		j.r.logf("<4>job %d: close its list: %v", j.id, err)
	}
	return out
}

func (j *job) guarded() ipc.RunExited {
	if j.r.cfg.Handler.Mode != "" {
		return j.handled()
	}
	if int(j.kind) >= len(j.r.cfg.Argv) || len(j.r.cfg.Argv[j.kind]) == 0 {
		return refused(j.id, fmt.Errorf("there is no command for job kind %d", j.kind))
	}
	argv := j.r.cfg.Argv[j.kind]
	switch {
	case j.kind == ipc.JobWide && (j.r.cfg.Split > 1 || j.r.cfg.Fold):
		return j.wide(argv, j.r.cfg.ShowOutput)
	case j.kind != ipc.JobInitial:
		return j.command(argv, j.r.cfg.ShowOutput)
	}
	if later := j.r.cfg.Later; len(later) > 0 && j.r.hadFirst() {
		return j.command(later, j.r.cfg.ShowOutput)
	}
	g, held := j.guard()
	if held != nil {
		return *held
	}
	if g.active {
		argv = rsync.WithMaxDelete(argv, g.limit)
	}
	out := j.pass(argv, g)
	if g.active {
		out = g.judge(out)
	}
	// Consent is for one pass that ran, also when some paths failed.
	ran := out.End == ipc.EndExited && rsync.ExitMeaning(int(out.Code)).Class <= rsync.Partial
	if ran && !j.r.cfg.ShowOutput {
		j.r.mu.Lock()
		j.r.accepted = true
		// rsync makes no deletion after some failures.
		j.r.first = j.r.first || rsync.ExitMeaning(int(out.Code)).Class == rsync.Done || out.Code == vanished
		j.r.mu.Unlock()
	}
	return out
}

// vanished is rsync's exit code when files went while it ran.
const vanished = 24

// hadFirst says whether a whole pass has gone through.
func (r *Runner) hadFirst() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first
}

// command runs one command line with the list as its stdin and waits for its
// end. It is called twice for a job with a guard.
func (j *job) command(argv []string, show bool) ipc.RunExited {
	if err := j.rewind(); err != nil {
		return refused(j.id, err)
	}
	c, err := j.begin(argv, show, int(j.list.Fd()))
	if err != nil {
		return refused(j.id, err)
	}
	return j.await(c)
}

// child is a command that was started.
type child struct {
	pid    int
	end    <-chan procs.Status
	output *pipes.Output
}

// begin starts a command line. On an error nothing of it is left.
func (j *job) begin(argv []string, show bool, stdin int) (*child, error) {
	if err := j.r.checkProgram(); err != nil {
		return nil, err
	}
	o, err := pipes.NewOutput(j.r.shown(show))
	if err != nil {
		return nil, err
	}
	pid, end, err := j.r.procs.Start(j.r.cfg.Program, argv, slices.Concat(j.r.cfg.Env, j.env), stdin, o.Stdout, o.Stderr)
	c := &child{pid, end, o}
	if err = errors.Join(err, o.Started()); err != nil {
		return nil, errors.Join(err, j.kill(c))
	}
	return c, nil
}

// shown is what is done with the lines of a command's stdout: nil, it is kept with
// the rest.
func (r *Runner) shown(show bool) func(line []byte) {
	if !show {
		return nil
	}
	return func(line []byte) { r.logf("<6>%s", line) }
}

// kill ends a command at once, if there is one, and waits for its end.
func (j *job) kill(c *child) error {
	var err error
	if c.pid != 0 {
		err = j.r.procs.Signal(c.pid, syscall.SIGKILL)
		<-c.end
	}
	c.output.Finish()
	return err
}

// await waits for the end of a command.
func (j *job) await(c *child) ipc.RunExited {
	s, why := j.wait(c.pid, c.end)
	return account(s, why, c.output.Finish())
}

func (j *job) rewind() error {
	if _, err := unix.Seek(int(j.list.Fd()), 0, io.SeekStart); err != nil {
		return fmt.Errorf("rewind the list: %w", err)
	}
	return nil
}

// wait returns the end of the command, and why the runner ended it (EndNone:
// it did not).
func (j *job) wait(pid int, end <-chan procs.Status) (procs.Status, ipc.End) {
	var deadline, grace <-chan time.Time
	if j.r.cfg.Timeout > 0 {
		timer := time.NewTimer(j.r.cfg.Timeout)
		defer timer.Stop()
		deadline = timer.C
	}
	begin, used, nudges := time.Now(), procs.Used(pid), nudge.Next(j.kind, 0)
	if j.r.teller != nil {
		nudges = nil // a handler is no rsync
	}
	stopped, aborted := j.stopped, j.aborted
	why := ipc.EndNone
	ask := func(reason ipc.End) {
		deadline, stopped = nil, nil
		why = reason
		j.send(pid, syscall.SIGTERM)
		timer := time.NewTimer(j.r.cfg.Grace)
		grace = timer.C
	}
	for {
		select {
		case s := <-end:
			return s, why
		case <-nudges:
			before, ran := used, time.Since(begin)
			if used = procs.Used(pid); nudge.Due(j.kind, ran, used-before) {
				j.send(pid, syscall.SIGCHLD)
			}
			nudges = nudge.Next(j.kind, ran)
		case <-deadline:
			ask(ipc.EndTimeout)
		case <-stopped:
			ask(ipc.EndStopped)
		case <-grace:
			j.send(pid, syscall.SIGKILL)
		case <-aborted:
			aborted = nil
			why = ipc.EndStopped
			j.send(pid, syscall.SIGKILL)
		}
	}
}

func (j *job) send(pid int, sig syscall.Signal) {
	if err := j.r.procs.Signal(pid, sig); err != nil {
		j.r.logf("<3>job %d: %v", j.id, err)
	}
}

// over says that the job was asked to end, for the guard, which is no command.
func (j *job) over() bool {
	select {
	case <-j.stopped:
	case <-j.aborted:
	default:
		return false
	}
	return true
}

// account turns a process's end into the message's fields.
func account(s procs.Status, why ipc.End, tail []byte) ipc.RunExited {
	cpu := time.Duration(s.Usage.Utime.Nano() + s.Usage.Stime.Nano())
	out := ipc.RunExited{
		End:    ipc.EndExited,
		Code:   uint8(s.Wait.ExitStatus()),
		CPU:    uint64(cpu / time.Microsecond),
		MaxRSS: uint64(s.Usage.Maxrss) << 10, // getrusage(2): kilobytes
		Tail:   tail,
	}
	if s.Wait.Signaled() {
		out.End, out.Code = ipc.EndSignalled, uint8(s.Wait.Signal())
	}
	// A command that came to its own good end while it was asked to stop has
	// done its work.
	if why != ipc.EndNone && !(out.End == ipc.EndExited && out.Code == 0) {
		out.End = why
	}
	return out
}

// checkProgram makes sure that the program is still the file it was when the
// supervisor looked: a package's upgrade must not mix versions unnoticed.
func (r *Runner) checkProgram() error {
	var st unix.Stat_t
	if err := unix.Stat(r.cfg.Program, &st); err != nil {
		return fmt.Errorf("%s: %w", r.cfg.Program, err)
	}
	if st.Dev != r.cfg.ProgDev || st.Ino != r.cfg.ProgIno {
		return fmt.Errorf("%s is not the file it was at start: restart lockstep", r.cfg.Program)
	}
	return nil
}
