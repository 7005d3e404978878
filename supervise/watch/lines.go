package watch

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"lockstep/console"
	"lockstep/internal/escape"
	"lockstep/ipc/output"
	"lockstep/ipc/status"
	"lockstep/supervise/generation"
)

// read passes the lines of a generation's worker on.
func (r *root) read(g *generation.Generation) {
	done := make(chan error, 1)
	r.reading = done
	cut := make(chan struct{})
	r.cut = cut
	again := r.started > 1
	var batch []byte
	go func() {
		err := console.CopyOutput(g.Output, func(class output.Class, line []byte, last bool) (err error) {
			if batch, err = r.line(batch, class, line, again, cut); err != nil {
				return err
			}
			if len(batch) > 0 && (last || len(batch) > output.MaxLine) {
				r.b.print.Send(batch, cut)
				batch = nil
			}
			return nil
		})
		done <- err
	}()
}

// line appends what becomes of one line.
func (r *root) line(b []byte, class output.Class, line []byte, again bool, cut <-chan struct{}) ([]byte, error) {
	switch class {
	case output.Ready:
		if again || r.b.print.Open.Load() {
			r.pass(cut)
			return r.b.print.Own(b, r.path, "rescan", "it is watched from now on", time.Now()), nil
		}
		r.pass(cut)
	case output.Event:
		return r.b.print.Event(b, r.path, line)
	case output.List:
		r.list.entry(r.path, line)
	case output.Done:
		r.list.end()
	case output.Trace:
		b = append(r.b.print.Named(append(b, "trace: "...), r.path), line...)
		b = append(b, '\n')
	}
	return b, nil
}

// lister is where the lines of a list go.
type lister struct {
	mu   sync.Mutex
	to   io.Writer     // guarded by mu; nil: nobody wants one
	done chan struct{} // guarded by mu; closed at its end
}

// entry writes a directory of the list.
func (l *lister) entry(root string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return
	}
	path := escape.Name(root)
	if string(line) != "." {
		path += "/" + string(line)
	}
	// A list that cannot be written is noticed by who asked for it, at its end.
	_, _ = io.WriteString(l.to, path+"\n")
}

func (l *lister) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to != nil {
		l.to = nil
		close(l.done)
	}
}

// begin says where the next list goes.
func (l *lister) begin(to io.Writer) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to, l.done = to, make(chan struct{})
	return l.done
}

// listTime bounds the wait for a list.
const listTime = time.Minute

var errNoList = errors.New("the worker did not give its list")

// write has the worker's tree written to a file or a terminal.
func (r *root) write(to io.Writer) error {
	done := r.list.begin(to)
	r.do(func() error { return r.order(status.CommandList) })
	limit := time.NewTimer(listTime)
	defer limit.Stop()
	select {
	case <-done:
		return nil
	case <-limit.C:
	case <-r.stop:
	}
	r.list.end()
	return errNoList
}

// others are the rescans of which the worker counts no cause. Its numbers are a
// claim: if the causes are more than the rescans, there are none.
func others(s status.Report) uint64 {
	return s.Rescans - min(s.Rescans, s.RescansOverflow+s.RescansUnwatched)
}

// counters are what a line of numbers tells, by its names.
func counters(s status.Report) []struct {
	name string
	n    uint64
} {
	return []struct {
		name string
		n    uint64
	}{
		{"dirs", s.Dirs}, {"unwatched", s.Unwatched}, {"events", s.Events}, {"overflows", s.Overflows}, {"rescans", s.Rescans},
		{"rescans_overflow", s.RescansOverflow}, {"rescans_unwatched", s.RescansUnwatched}, {"rescans_other", others(s)},
		{"rescan_dirs", s.RescanDirs}, {"rescan_nanos", s.RescanNanos},
		{"unpaired", s.Unpaired}, {"returned", s.Returned}, {"repairs", s.Repairs}, {"verified", s.Verified}, {"stale", s.Stale}, {"missing", s.Missing},
		{"verify_dirs", s.VerifyDirs}, {"verify_nanos", s.VerifyNanos},
		{"too_long", s.TooLong}, {"heap_bytes", s.HeapBytes},
	}
}

// guards are what confines this root's processes, and what would if lockstep was
// started as root.
func (r *root) guards() (profile, hold, needRoot string) {
	has, lacks := r.maker.Profile.Guards(r.maker.Machine)
	return r.maker.Profile.Name, strings.Join(has, ","), strings.Join(lacks, ",")
}

// stats writes the line of numbers.
func (r *root) stats() {
	p := r.b.print
	profile, hold, needRoot := r.guards()
	var b []byte
	if p.JSON {
		b = output.AppendName(append(b, '{'), "root", r.path)
		b = fmt.Appendf(b, `,"time":"%s","op":"stats"`, time.Now().UTC().Format(time.RFC3339Nano))
		for _, c := range counters(r.last) {
			b = strconv.AppendUint(append(append(append(b, `,"`...), c.name...), `":`...), c.n, 10)
		}
		b = fmt.Appendf(b, `,"profile":"%s","guards":"%s","need_root":"%s"`, profile, hold, needRoot)
		r.send(append(b, "}\n"...))
		return
	}
	b = time.Now().UTC().AppendFormat(p.Named(b, r.path), "2006-01-02T15:04:05.000000Z")
	b = append(b, " stats"...)
	for _, c := range counters(r.last) {
		b = fmt.Appendf(b, " %s=%d", c.name, c.n)
	}
	b = fmt.Appendf(b, " profile=%s guards=%s need_root=%s", profile, hold, needRoot)
	r.send(append(b, '\n'))
}
