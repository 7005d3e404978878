package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// outlet makes a pipe whose reading end is ours, and whose writing end is a
// plain number for a child.
func outlet() (*os.File, int, error) { return pipe(0, "output") }

// inlet is the other way round.
func inlet() (*os.File, int, error) { return pipe(1, "list") }

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

// collect reads a command's output to its end in a goroutine of its own, and
// closes the descriptor. The channel is closed then.
func collect(from *os.File, to io.Writer) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// An error ends the output as its end does: the command has gone, or
		// drainTime is over.
		buf := make([]byte, 8<<10)
		_, _ = io.CopyBuffer(to, struct{ io.Reader }{from}, buf)
		_ = from.Close()
	}()
	return done
}

// drainTime bounds the wait for the rest of the output of a command that has
// ended: a process that left its group may hold the pipe open.
const drainTime = 2 * time.Second
