package runner

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"lockstep/ipc"
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

// gate asks the supervisor for leave to start a command, so that no more run at
// a time on the host, and against one peer, than a person allows. The zero
// value lets everything through.
type gate struct {
	conn *os.File

	mu      sync.Mutex
	waiting []*leave // asked for and not answered
	shut    bool     // nothing more may begin
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
func (g *gate) serve() {
	word := make([]byte, 1)
	for {
		if n, err := g.conn.Read(word); err != nil || n != 1 {
			return
		}
		g.granted(word[0])
	}
}

func (g *gate) granted(answer byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if answer == leaveNone {
		g.shut = true
		for _, l := range g.waiting {
			l.none = true
			close(l.there)
		}
		g.waiting = nil
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
func (g *gate) ask(kind ipc.JobKind) (*leave, error) {
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
func (g *gate) abandon(l *leave) {
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
func (g *gate) giveBack() {
	// When it fails, the supervisor has gone.
	_, _ = g.conn.Write([]byte{gateDone})
}

// throughGate does work once there is leave for it. A job that is stopped while
// it waits ends at once.
func (j *job) throughGate(work func() ipc.RunExited) ipc.RunExited {
	g := &j.r.gate
	if g.conn == nil {
		return work()
	}
	l, err := g.ask(j.kind)
	if err != nil {
		return refused(j.id, err)
	}
	select {
	case <-l.there:
		if l.none {
			return ipc.RunExited{End: ipc.EndStopped}
		}
		defer g.giveBack()
		return work()
	case <-j.stopped:
	case <-j.aborted:
	}
	g.abandon(l)
	return ipc.RunExited{End: ipc.EndStopped}
}
