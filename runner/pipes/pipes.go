// Package pipes has the pipes between a runner and its commands, and keeps what
// comes through them.
//
// Trust: part of the runner; what comes through them is hostile, and not looked
// into.
package pipes

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/runner/lines"
)

// Outlet makes a pipe whose reading end is ours, and whose writing end is a
// plain number for a child.
func Outlet() (*os.File, int, error) { return pipe(0, "output") }

// Inlet is the other way round.
func Inlet() (*os.File, int, error) { return pipe(1, "list") }

// pipe makes a pipe of which end ours (0: it reads) is served by the runtime's
// poller; the other one is a number.
func pipe(ours int, name string) (*os.File, int, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, fmt.Errorf("pipe: %w", err)
	}
	if err := unix.SetNonblock(p[ours], true); err != nil {
		return nil, -1, errors.Join(fmt.Errorf("pipe: %w", err), unix.Close(p[0]), unix.Close(p[1]))
	}
	return os.NewFile(uintptr(p[ours]), name), p[1-ours], nil
}

// Collect reads a command's output to its end in a goroutine of its own, and
// closes the descriptor. The channel is closed then.
func Collect(from *os.File, to io.Writer) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// An error ends the output as its end does: the command has gone, or
		// DrainTime is over.
		buf := make([]byte, 8<<10)
		_, _ = io.CopyBuffer(to, struct{ io.Reader }{from}, buf)
		_ = from.Close()
	}()
	return done
}

// DrainTime bounds the wait for the rest of the output of a command that has
// ended: a process that left its group may hold the pipe open.
const DrainTime = 2 * time.Second

// Output is the two pipes of one command.
type Output struct {
	Stdout, Stderr int // writing ends, for the child
	readers        []*os.File
	done           []<-chan struct{}
	tail           *lines.Tail
	lines          *lines.Writer
}

// NewOutput makes the pipe that both stdout and stderr go to, so that their
// order is kept; with show, stdout has one of its own, of which show gets the lines.
func NewOutput(show func(line []byte)) (*Output, error) {
	reader, writer, err := Outlet()
	if err != nil {
		return nil, err
	}
	o := &Output{Stdout: writer, Stderr: writer, tail: &lines.Tail{}}
	o.readers = append(o.readers, reader)
	if show != nil {
		shown, end, err := Outlet()
		if err != nil {
			return nil, errors.Join(err, unix.Close(writer), reader.Close())
		}
		o.Stdout = end
		o.readers = append(o.readers, shown)
		o.lines = &lines.Writer{Emit: show}
		o.done = append(o.done, Collect(shown, o.lines))
	}
	o.done = append(o.done, Collect(reader, o.tail))
	return o, nil
}

// Started closes the writing ends, which the child has now: else the output
// would never end.
func (o *Output) Started() error {
	err := unix.Close(o.Stderr)
	if o.Stdout != o.Stderr {
		err = errors.Join(err, unix.Close(o.Stdout))
	}
	if err != nil {
		return fmt.Errorf("close a pipe: %w", err)
	}
	return nil
}

// Finish waits for the rest of the output, but not longer than DrainTime, and
// returns the end of it. The command's group must be dead.
func (o *Output) Finish() []byte {
	until := time.Now().Add(DrainTime)
	for _, reader := range o.readers {
		// The error is ErrClosed when the reader has come to the end.
		_ = reader.SetReadDeadline(until)
	}
	for _, done := range o.done {
		<-done
	}
	if o.lines != nil {
		o.lines.Flush()
	}
	return o.tail.Bytes()
}
