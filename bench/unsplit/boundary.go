//go:build unsplit

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"lockstep/internal/memfd"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/ipc/wire"
	"lockstep/worker/pump"
)

// boundary answers the engine's requests by calls. Request does the work at once,
// in the engine's goroutine; the answer waits in a channel, because the engine
// does not expect it before Request has returned. More never wait than the engine
// has requests under way and the runner has jobs, so that answering never blocks.
type boundary struct {
	tree    *tree
	worker  settings.Worker
	jobs    *jobs
	seq     uint32
	lastJob ipc.JobID
	answers chan pump.Answer
	errs    chan error
}

// room is as in pump: above what the engine has under way.
const room = 1024

func newBoundary(t *tree, w settings.Worker) *boundary {
	b := &boundary{tree: t, worker: w, answers: make(chan pump.Answer, room), errs: make(chan error, room)}
	b.jobs = &jobs{starts: make(chan start, 2*ipc.MaxJobs), notify: b.notify}
	return b
}

func (b *boundary) Answers() <-chan pump.Answer { return b.answers }
func (b *boundary) Errs() <-chan error          { return b.errs }

func (b *boundary) notify(m ipc.Message) { b.answers <- pump.Answer{Final: true, Message: m} }

// Request answers m.
func (b *boundary) Request(m ipc.Message, list []byte) uint32 {
	b.seq++
	answer, err := b.serve(m, list)
	if err != nil {
		b.errs <- err
		return b.seq
	}
	b.answers <- pump.Answer{Seq: b.seq, Final: true, Message: answer}
	return b.seq
}

func (b *boundary) serve(m ipc.Message, list []byte) (ipc.Message, error) {
	switch m := m.(type) {
	case *ipc.Hello:
		return b.hello()
	case *ipc.Watch:
		return b.tree.list(m)
	case *ipc.Stat:
		return b.tree.examine(m)
	case *ipc.Start:
		return b.start(m.Kind, list)
	case *ipc.Stop:
		return b.stop(m.Job), nil
	case *ipc.Drain:
		return &ipc.DrainAnswer{}, nil
	}
	return nil, fmt.Errorf("request %T is not known", m)
}

// hello names the one root and the one target.
func (b *boundary) hello() (ipc.Message, error) {
	s := b.worker.Syncs[0]
	cfg, err := wire.Append(nil, &b.worker)
	return &ipc.HelloAnswer{
		Roots:   []ipc.Root{{ID: s.Root, Name: "source"}},
		Targets: []ipc.Target{{ID: s.Targets[0], Root: s.Root, Name: "target"}},
		Config:  cfg,
	}, err
}

// start gives the runner its list as a file, from which rsync reads: no cheaper
// way of feeding a child is known, with or without a boundary.
func (b *boundary) start(kind ipc.JobKind, list []byte) (ipc.Message, error) {
	file, err := memfd.Sealed("list", list)
	if err != nil {
		return nil, err
	}
	b.lastJob++
	b.jobs.starts <- start{&ipc.RunStart{Job: b.lastJob, Kind: kind}, file}
	return &ipc.StartAnswer{Job: b.lastJob}, nil
}

func (b *boundary) stop(job ipc.JobID) ipc.Message {
	b.jobs.starts <- start{&ipc.RunStop{Job: job}, nil}
	return &ipc.StopAnswer{}
}

// jobs is the runner's link: a channel one way, a call the other.
type jobs struct {
	starts chan start
	notify func(ipc.Message)
}

type start struct {
	msg  any
	list *os.File
}

func (j *jobs) Receive() (any, *os.File, error) {
	s, ok := <-j.starts
	if !ok {
		return nil, nil, io.EOF
	}
	return s.msg, s.list, nil
}

func (j *jobs) Send(x ipc.RunExited) error {
	j.notify(&x)
	return nil
}

// listener is in the supervisor's place: it hears reports, and gives no command.
type listener struct {
	begin time.Time
	out   io.Writer
	ready bool
	last  status.Report
}

// Write takes one report.
func (l *listener) Write(b []byte) (int, error) {
	r, err := wire.Decode[status.Report](b)
	if err != nil {
		return 0, err
	}
	if r.Target == 0 {
		l.last = r
	}
	if !l.ready && r.Target == 0 && r.Ready == 1 {
		l.ready = true
		_, err = fmt.Fprintf(l.out, "ready: every directory is watched dirs=%d ms=%d\n", r.Dirs, time.Since(l.begin).Milliseconds())
	}
	return len(b), err
}

// end tells how much was done: only what did as much can be compared.
func (l *listener) end() {
	_, _ = fmt.Fprintf(l.out, "ended: commands=%d paths=%d events=%d\n", l.last.Jobs, l.last.Synced, l.last.Events)
}

// Read has nothing to say: the engine's commands end at once.
func (*listener) Read([]byte) (int, error) { return 0, io.EOF }
