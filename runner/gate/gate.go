// Package gate has each command of a runner wait for the supervisor's leave, and, where
// there is an audit trail, for its record.
//
// Trust: linked into the runner, which is jailed. The supervisor's words are single bytes.
//
// Invariant: what was granted is given back once, whatever becomes of the job.
package gate

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/wire"
	"lockstep/ipc/witness"
)

// Words of a runner to the supervisor, and its answers (see supervise/slots).
const (
	wantCommand  = 'c'
	wantPass     = 'p'
	gateDone     = 'd'
	leaveCommand = 'g'
	leavePass    = 'G'
	leaveNone    = 'x' // the session ends: nothing more may begin
)

// Gate asks the supervisor for leave to start a command, so that no more run at
// a time on the host, and against one peer, than a person allows. The zero
// value lets everything through.
type Gate struct {
	// Witness: the supervisor is told of each command before it begins, and answers
	// when that is recorded.
	Witness bool

	conn *os.File

	mu      sync.Mutex
	waiting []*leave // asked for and not answered
	shut    bool     // nothing more may begin
	told    []*leave // of which the supervisor was told, and has not answered
}

// Job is a command that is to begin.
type Job struct {
	ID               ipc.JobID
	Kind             ipc.JobKind
	List             *os.File
	Stopped, Aborted <-chan struct{}
}

// Open has every command wait for the leave of who is at the other end of conn.
func (g *Gate) Open(conn *os.File) {
	g.conn = conn
	go g.serve()
}

// leave is one that was asked for.
type leave struct {
	answer byte
	wanted bool          // a job waits for it; else that job was stopped
	there  chan struct{} // closed when it is
	none   bool          // it is refused
}

var errGate = errors.New("the supervisor's answer about a command is not to be had")

// serve hands leaves on until the supervisor has gone: then this process ends
// with it.
func (g *Gate) serve() {
	word := make([]byte, 1)
	for {
		if n, err := g.conn.Read(word); err != nil || n != 1 {
			return
		}
		g.granted(word[0])
	}
}

func (g *Gate) granted(answer byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if answer == leaveNone {
		g.shut = true
		for _, l := range g.waiting {
			l.none = true
			close(l.there)
		}
		for _, l := range g.told {
			l.none = true
			close(l.there)
		}
		g.waiting, g.told = nil, nil
		return
	}
	if answer == witness.Go { // in the order in which it was told
		if len(g.told) > 0 {
			close(g.told[0].there)
			g.told = g.told[1:]
		}
		return
	}
	i := slices.IndexFunc(g.waiting, func(l *leave) bool { return l.answer == answer })
	if i < 0 {
		return // never asked for: not ours to give back
	}
	l := g.waiting[i]
	g.waiting = slices.Delete(g.waiting, i, i+1)
	if l.wanted {
		close(l.there)
		return
	}
	g.giveBack()
}

// ask asks for a leave, or takes over one that a stopped job asked for.
func (g *Gate) ask(kind ipc.JobKind) (*leave, error) {
	l := &leave{answer: leaveCommand, wanted: true, there: make(chan struct{})}
	word := byte(wantCommand)
	if kind == ipc.JobInitial {
		l.answer, word = leavePass, wantPass
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		l.none = true
		close(l.there)
		return l, nil
	}
	for _, old := range g.waiting {
		if !old.wanted && old.answer == l.answer {
			old.wanted = true
			return old, nil
		}
	}
	if _, err := g.conn.Write([]byte{word}); err != nil {
		return nil, fmt.Errorf("%w: %w", errGate, err)
	}
	g.waiting = append(g.waiting, l)
	return l, nil
}

// abandon is for a leave that nobody waits for any more.
func (g *Gate) abandon(l *leave) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-l.there:
		if !l.none {
			g.giveBack()
		}
	default:
		l.wanted = false
	}
}

// giveBack returns a leave.
func (g *Gate) giveBack() {
	// When it fails, the supervisor has gone.
	_, _ = g.conn.Write([]byte{gateDone})
}

// Through does work once there is leave for it. A job that is stopped while it waits
// ends at once.
func (g *Gate) Through(j Job, work func() ipc.RunExited) (ipc.RunExited, error) {
	if g.conn == nil {
		return work(), nil
	}
	l, err := g.ask(j.Kind)
	if err != nil {
		return ipc.RunExited{}, err
	}
	select {
	case <-l.there:
		if l.none {
			return ipc.RunExited{End: ipc.EndStopped}, nil
		}
		defer g.giveBack()
		if g.Witness {
			return g.witnessed(j, work)
		}
		return work(), nil
	case <-j.Stopped:
	case <-j.Aborted:
	}
	g.abandon(l)
	return ipc.RunExited{End: ipc.EndStopped}, nil
}

// witnessed does work once the supervisor has written down that it is about to begin,
// and tells how it ended.
func (g *Gate) witnessed(j Job, work func() ipc.RunExited) (ipc.RunExited, error) {
	begin, err := witness.Look(j.ID, j.Kind, j.List)
	if err != nil {
		return ipc.RunExited{}, fmt.Errorf("its list cannot be read: %w", err)
	}
	l, err := g.tell(&begin)
	if err != nil {
		return ipc.RunExited{}, err
	}
	out, begun := ipc.RunExited{End: ipc.EndStopped}, time.Now()
	select {
	case <-l.there:
		if begun = time.Now(); !l.none {
			out = work()
		}
	case <-j.Stopped:
	case <-j.Aborted:
	}
	end := witness.End{Job: j.ID, How: out.End, Code: out.Code, Micros: uint64(time.Since(begun) / time.Microsecond)}
	if end.How == ipc.EndNone {
		end.How = ipc.EndRefused
	}
	_ = g.send(witness.Packet{End: &end}) // when it fails, the supervisor has gone
	return out, nil
}

// tell says that a command is about to begin.
func (g *Gate) tell(b *witness.Begin) (*leave, error) {
	l := &leave{there: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		l.none = true
		close(l.there)
	} else {
		g.told = append(g.told, l)
	}
	return l, g.send(witness.Packet{Begin: b})
}

func (g *Gate) send(p witness.Packet) error {
	data, err := wire.Append(nil, &p)
	if err == nil {
		_, err = g.conn.Write(data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errGate, err)
	}
	return nil
}
