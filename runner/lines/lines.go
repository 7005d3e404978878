// Package lines keeps what a command says: its last bytes, or whole lines for
// the log.
//
// Trust: part of the runner; what a command says is hostile, and bounded here.
package lines

import (
	"bytes"
	"sync"

	"lockstep/ipc"
)

// Tail keeps the last bytes written to it, at most ipc.MaxTail. Several may write
// to it.
type Tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	if n >= ipc.MaxTail {
		t.buf = append(t.buf[:0], b[n-ipc.MaxTail:]...)
		return n, nil
	}
	if over := len(t.buf) + n - ipc.MaxTail; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
	t.buf = append(t.buf, b...)
	return n, nil
}

// Bytes is what was kept. Nobody may write any more.
func (t *Tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf
}

// Writer passes whole lines on, at most maxLine bytes each, so that they
// reach the supervisor unmixed. A longer line is cut into several.
type Writer struct {
	Emit func(line []byte)
	buf  []byte
}

const maxLine = 2048

func (w *Writer) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if room := maxLine - len(w.buf); len(line) > room {
			line, rest, whole = b[:room], b[room:], true
		}
		w.buf = append(w.buf, line...)
		b = rest
		if whole {
			w.Flush()
		}
	}
	return n, nil
}

// Flush passes on a line that has no end yet.
func (w *Writer) Flush() {
	if len(w.buf) > 0 {
		w.Emit(w.buf)
		w.buf = w.buf[:0]
	}
}
