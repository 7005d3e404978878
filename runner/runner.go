// Package runner starts one fixed command again and again, with a list on its
// stdin, and accounts for how each run ended.
//
// Trust: it runs in a jail of its own, as process 1 of a pid namespace, with
// the rights the command needs. Lists, the command's output and the names in both
// trees are hostile. Of a list only the rules of a whole pass are looked into, and
// where a wide one can be divided or folded; of output only the one line with which rsync
// counts deletions; names, statuses and attributes are compared.
//
// Invariants: a job is answered exactly once; its process groups are dead
// before it is answered, but for that in which a module's functions are called; of
// its output at most ipc.MaxTail bytes are kept; no word that it did not get from the
// supervisor reaches a command line, but for --max-delete and a number of its own, and
// for what package told says of handlers; to a list it adds only rules that leave
// directories out, and directories in place of all that is in them (package fold).
package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/runner/gate"
	"lockstep/runner/keep"
	"lockstep/runner/module"
	"lockstep/runner/procs"
	"lockstep/runner/same"
	"lockstep/runner/told"
)

// Exit codes of the program.
const (
	ExitDone      = 0  // the helper closed its socket
	ExitInternal  = 70 // something that never happens did
	ExitViolation = 76 // the helper sent what it never sends
)

// A Link carries the messages between the helper and the runner.
type Link interface {
	// Receive waits for the next message: *ipc.RunStart with a list, or
	// *ipc.RunStop with none. io.EOF: the helper has gone. Any other error is
	// a violation.
	Receive() (msg any, list *os.File, err error)
	// Send is called by several goroutines.
	Send(exited ipc.RunExited) error
}

// Runner is one target's runner.
type Runner struct {
	cfg   settings.Runner
	link  Link
	log   io.Writer // whole lines, each with its level as in sd-daemon(3)
	procs *procs.Procs
	gate  gate.Gate
	crew  *same.Crew // compares the trees; nil: nothing does

	teller    *told.Teller // of a handler; nil: there is none, or, with tellerErr, it cannot be told
	tellerErr error
	module    *module.Module // whose functions are called; nil: the handler is a program
	host      *starter       // of the process in which they are

	mu       sync.Mutex
	jobs     map[ipc.JobID]*job // running ones
	accepted bool               // the person's consent has been used up
	first    bool               // a whole pass has gone through

	logMu sync.Mutex
}

// New makes a runner. It asks the Go runtime for SIGCHLD and starts threads that
// have a working directory of their own, and so must be called before the filter
// is entered. All children of the process are the runner's:
// the next New must come after the end of Serve.
func New(cfg settings.Runner, link Link, log io.Writer) *Runner {
	r := &Runner{
		cfg:   cfg,
		link:  link,
		log:   log,
		procs: procs.New(),
		jobs:  make(map[ipc.JobID]*job),
	}
	r.crew = r.newCrew()
	if cfg.Handler.Mode != "" {
		r.handlers()
	}
	return r
}

// OwnNamespace says that this is process 1 of a pid namespace of its own: when
// the last running command ends, every other process in it is killed.
// Precondition: Serve has not been called.
func (r *Runner) OwnNamespace() { r.procs.Alone = true }

// Gate has every command wait for the leave of who is at the other end of conn.
// Precondition: Serve has not been called.
func (r *Runner) Gate(conn *os.File) {
	r.gate.Witness = r.cfg.Witness
	r.gate.Open(conn)
}

// Keep has copies of the lists that a handler gets stay in files.
// Precondition: Serve has not been called.
func (r *Runner) Keep(files []*os.File) {
	if r.teller != nil {
		r.teller.Kept = keep.New(files)
	}
}

// Serve runs jobs until the helper closes the socket, then kills what still
// runs. It returns the program's exit code.
func (r *Runner) Serve() int {
	var wg, reaper sync.WaitGroup
	reaper.Go(r.procs.Reap)
	code := r.serve(&wg)
	r.mu.Lock()
	for _, j := range r.jobs {
		j.abort()
	}
	r.mu.Unlock()
	wg.Wait()
	if r.module != nil {
		r.module.Close()
	}
	if r.crew != nil {
		r.crew.Close()
	}
	r.procs.Close()
	reaper.Wait()
	return code
}

func (r *Runner) serve(wg *sync.WaitGroup) int {
	for {
		msg, list, err := r.link.Receive()
		if errors.Is(err, io.EOF) {
			return ExitDone
		}
		if err != nil {
			return r.violation(err)
		}
		switch m := msg.(type) {
		case *ipc.RunStart:
			if err := r.start(m, list, wg); err != nil {
				return r.violation(err)
			}
		case *ipc.RunStop:
			r.stop(m.Job)
		default:
			return r.violation(fmt.Errorf("message %T", msg))
		}
	}
}

// violation says what the helper did that it never does.
func (r *Runner) violation(err error) int {
	r.logf("<3>violation by the helper: %v", err)
	return ExitViolation
}

// start begins a job. What it returns is a violation; a job that cannot be
// started for any other reason is answered with EndRefused.
func (r *Runner) start(m *ipc.RunStart, list *os.File, wg *sync.WaitGroup) error {
	if list == nil {
		return errors.New("a start without a list")
	}
	if err := checkList(list); err != nil {
		return errors.Join(err, list.Close())
	}
	j := newJob(r, m, list)
	r.mu.Lock()
	_, twice := r.jobs[m.Job]
	full := len(r.jobs) >= ipc.MaxJobs
	if !twice && !full {
		r.jobs[m.Job] = j
	}
	r.mu.Unlock()
	if twice || m.Job == 0 {
		return errors.Join(fmt.Errorf("job %d was started twice", m.Job), list.Close())
	}
	if full {
		r.answer(refused(m.Job, fmt.Errorf("%d commands are running already", ipc.MaxJobs)))
		return list.Close()
	}
	wg.Go(func() {
		exited := j.run()
		// First the slot, then the answer: the helper may send the next
		// start as soon as it reads this one's end.
		r.mu.Lock()
		delete(r.jobs, m.Job)
		r.mu.Unlock()
		r.answer(exited)
	})
	return nil
}

// stop is for a job that may have ended in the meantime: then nothing is to be
// done.
func (r *Runner) stop(id ipc.JobID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.jobs[id]; j != nil {
		j.stop()
	}
}

// answer sends a job's end. When the helper has gone there is nobody to tell,
// and Receive says so next.
func (r *Runner) answer(exited ipc.RunExited) {
	err := r.link.Send(exited)
	if err == nil || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, os.ErrClosed) {
		return
	}
	r.logf("<3>job %d: its end could not be told: %v", exited.Job, err)
}

// logf writes one line. Nothing can be done about an error: the supervisor
// that reads the lines has gone.
func (r *Runner) logf(format string, args ...any) {
	line := fmt.Appendf(nil, format, args...)
	r.logMu.Lock()
	defer r.logMu.Unlock()
	_, _ = r.log.Write(append(line, '\n'))
}

// checkList makes sure that nobody can change the list while it is read, and
// that it begins at its beginning: an offset is shared by all who hold it.
func checkList(list *os.File) error {
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	fd := int(list.Fd())
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return fmt.Errorf("the list is no memfd: %w", err)
	}
	if seals&all != all {
		return fmt.Errorf("the list is not sealed: %#x", seals)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("the list: fstat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < 0 || st.Size > ipc.MaxList {
		return fmt.Errorf("the list has %d bytes, at most %d are allowed", st.Size, ipc.MaxList)
	}
	return nil
}

func refused(id ipc.JobID, err error) ipc.RunExited {
	return ipc.RunExited{Job: id, End: ipc.EndRefused, Tail: []byte(err.Error())}
}
