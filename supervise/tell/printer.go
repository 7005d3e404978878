// Package tell writes the lines of several workers to one output, and says of each
// which root it is about.
//
// Trust: linked into the supervisor. Lines are a worker's claim, and have passed
// console.CopyOutput.
//
// Invariants: the first line says ready, once all are; if they never are, there is
// no line; whoever reads may be slow:
// a writer of lines waits for it, and for nothing else.
package tell

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lockstep/internal/escape"
	"lockstep/ipc/output"
	"lockstep/supervise/exit"
)

// Printer writes the lines of all roots to one output.
type Printer struct {
	JSON   bool
	Label  bool // text lines say which root they are about
	out    chan []byte
	Failed chan struct{} // closed when the output cannot be written
	broken error         // why; to be read after failed was closed
	done   chan struct{}

	mu      sync.Mutex
	waiting int           // guarded by mu: roots that are not ready yet
	decided bool          // guarded by mu: whether the first line is written
	Gate    chan struct{} // closed when all were ready for the first time, or never will be
	Open    atomic.Bool   // all were
	ended   atomic.Bool   // they never will be
}

// New makes one for so many roots.
func New(f *os.File, json, label bool, roots int) *Printer {
	p := &Printer{JSON: json, Label: label, waiting: roots, out: make(chan []byte, 16), Failed: make(chan struct{}), done: make(chan struct{}), Gate: make(chan struct{})}
	go func(failed chan struct{}) {
		defer close(p.done)
		for text := range p.out {
			if p.broken != nil {
				continue
			}
			if _, p.broken = f.Write(text); p.broken != nil {
				close(failed)
			}
		}
	}(p.Failed)
	return p
}

// Err says why the output cannot be written. That its reader has gone is how
// people end us.
func (p *Printer) Err() error {
	if errors.Is(p.broken, syscall.EPIPE) {
		return exit.Error{Code: exit.Done, Err: errors.New("stopping: the reader of the lines has gone")}
	}
	return p.broken
}

// Close waits until all was written, but not for a reader that does not read.
func (p *Printer) Close() {
	close(p.out)
	select {
	case <-p.done:
	case <-time.After(time.Second):
	}
}

// Send hands over whole lines, unless stop says that nobody waits for them.
func (p *Printer) Send(text []byte, stop <-chan struct{}) {
	if p.ended.Load() {
		return
	}
	select {
	case p.out <- text:
	case <-stop:
	}
}

// Expect counts another root that is to be ready before the first line.
func (p *Printer) Expect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
}

// End says that what is not ready will not be: if that is so of any root, there
// are no lines, since the first one would not be true.
func (p *Printer) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.decided {
		p.decided = true
		p.ended.Store(true)
		close(p.Gate)
	}
}

// Pass is called once by each root that is ready, or is waited for no longer, and
// waits until all are: the last one says so in the first line.
func (p *Printer) Pass(stop <-chan struct{}) {
	p.mu.Lock()
	p.waiting--
	last := p.waiting == 0 && !p.decided
	p.decided = p.decided || last
	p.mu.Unlock()
	if last {
		line := "ready\n"
		if p.JSON {
			line = "{\"op\":\"ready\"}\n"
		}
		p.Send([]byte(line), stop)
		p.Open.Store(true)
		close(p.Gate)
	}
	select {
	case <-p.Gate:
	case <-stop:
	}
}

var errNoObject = errors.New("a line that is no object")

// Event appends a worker's line, and says which root it is about.
func (p *Printer) Event(b []byte, root string, line []byte) ([]byte, error) {
	if !p.JSON {
		return append(append(p.Named(b, root), line...), '\n'), nil
	}
	if len(line) < 3 || line[0] != '{' || line[1] != '"' || line[len(line)-1] != '}' {
		return b, errNoObject
	}
	b = output.AppendName(append(b, '{'), "root", root)
	b = append(append(b, ','), line[1:]...)
	return append(b, '\n'), nil
}

// Named appends a root's name to a line of text.
func (p *Printer) Named(b []byte, root string) []byte {
	if p.Label {
		b = append(append(b, escape.Name(root)...), ": "...)
	}
	return b
}

// Own appends a line of the supervisor's own about a root.
func (p *Printer) Own(b []byte, root, op, cause string, now time.Time) []byte {
	if !p.JSON {
		b = p.Named(b, root)
		b = now.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
		return append(b, " "+op+" dir . ("+escape.Name(cause)+")\n"...)
	}
	b = output.AppendName(append(b, '{'), "root", root)
	b = append(b, `,"time":"`...)
	b = now.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","op":"`+op+`","type":"dir","path":""`...)
	b = output.AppendName(append(b, ','), "cause", cause)
	return append(b, "}\n"...)
}
