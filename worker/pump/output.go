package pump

import (
	"io"
	"sync"
)

// outputRoom is how many bytes of lines wait for a reader that is slow.
const outputRoom = 8 << 20

// Output hands lines to a pipe without ever making the engine wait: what its
// reader does not take is kept, up to a limit.
type Output struct {
	mu   sync.Mutex
	buf  []byte // guarded by mu
	busy bool   // guarded by mu: a piece is being written
	wake chan struct{}
}

// NewOutput starts the goroutine that writes to w.
func NewOutput(w io.Writer) *Output {
	o := &Output{wake: make(chan struct{}, 1)}
	go o.write(w)
	return o
}

func (o *Output) write(w io.Writer) {
	var spare []byte
	for range o.wake {
		for {
			o.mu.Lock()
			piece := o.buf
			o.buf, o.busy = spare[:0], len(piece) > 0
			o.mu.Unlock()
			if len(piece) == 0 {
				spare = piece
				break
			}
			if _, err := w.Write(piece); err != nil {
				return // the supervisor is gone; its death ends this process
			}
			if spare = piece; cap(spare) > outputRoom/8 {
				spare = nil
			}
		}
	}
}

// Put queues a line, and says whether there was room for it.
func (o *Output) Put(line []byte) bool {
	o.mu.Lock()
	fits := len(o.buf)+len(line) <= outputRoom
	if fits {
		o.buf = append(o.buf, line...)
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default: // the writer is awake, or about to be
	}
	return fits
}

// Calm says that less than half of the room is taken.
func (o *Output) Calm() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.buf) < outputRoom/2
}

// Empty says that all lines were written.
func (o *Output) Empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.buf) == 0 && !o.busy
}
