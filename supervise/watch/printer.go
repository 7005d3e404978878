package watch

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

// printer writes the lines of all roots to one output.
type printer struct {
	json   bool
	label  bool // text lines say which root they are about
	out    chan []byte
	failed chan struct{} // closed when the output cannot be written
	broken error         // why; to be read after failed was closed
	done   chan struct{}

	mu      sync.Mutex
	waiting int           // guarded by mu: roots that are not ready yet
	gate    chan struct{} // closed when all were ready for the first time
	open    atomic.Bool   // it is
}

func newPrinter(f *os.File, json, label bool, roots int) *printer {
	p := &printer{json: json, label: label, waiting: roots, out: make(chan []byte, 16), failed: make(chan struct{}), done: make(chan struct{}), gate: make(chan struct{})}
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
	}(p.failed)
	return p
}

// err says why the output cannot be written. That its reader has gone is how
// people end us.
func (p *printer) err() error {
	if errors.Is(p.broken, syscall.EPIPE) {
		return exit.Error{Code: exit.Done, Err: errors.New("stopping: the reader of the lines has gone")}
	}
	return p.broken
}

// close waits until all was written, but not for a reader that does not read.
func (p *printer) close() {
	close(p.out)
	select {
	case <-p.done:
	case <-time.After(time.Second):
	}
}

// send hands over whole lines, unless stop says that nobody waits for them.
func (p *printer) send(text []byte, stop <-chan struct{}) {
	select {
	case p.out <- text:
	case <-stop:
	}
}

// expect counts another root that is to be ready before the first line.
func (p *printer) expect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
}

// pass is called once by each root that is ready, or never will be, and waits
// until all are: the last one says so in the first line.
func (p *printer) pass(stop <-chan struct{}) {
	p.mu.Lock()
	p.waiting--
	last := p.waiting == 0 && !p.open.Load()
	p.mu.Unlock()
	if last {
		line := "ready\n"
		if p.json {
			line = "{\"op\":\"ready\"}\n"
		}
		p.send([]byte(line), stop)
		p.open.Store(true)
		close(p.gate)
	}
	select {
	case <-p.gate:
	case <-stop:
	}
}

var errNoObject = errors.New("a line that is no object")

// event appends a worker's line, and says which root it is about.
func (p *printer) event(b []byte, root string, line []byte) ([]byte, error) {
	if !p.json {
		return append(append(p.named(b, root), line...), '\n'), nil
	}
	if len(line) < 3 || line[0] != '{' || line[1] != '"' || line[len(line)-1] != '}' {
		return b, errNoObject
	}
	b = output.AppendName(append(b, '{'), "root", root)
	b = append(append(b, ','), line[1:]...)
	return append(b, '\n'), nil
}

// named appends a root's name to a line of text.
func (p *printer) named(b []byte, root string) []byte {
	if p.label {
		b = append(append(b, escape.Name(root)...), ": "...)
	}
	return b
}

// own appends a line of the supervisor's own about a root.
func (p *printer) own(b []byte, root, op, cause string, now time.Time) []byte {
	if !p.json {
		b = p.named(b, root)
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
