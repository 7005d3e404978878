// Package errand has a runner that belongs to the supervisor do one job, as the
// helper has the others do theirs.
//
// Trust: linked into the supervisor. What the runner answers is decoded by the codec
// that the helper has for it, and is one message of a limited size.
//
// Invariants: an answer is that of the job that was asked for; who hangs is waited
// for no longer than the caller's patience, and no longer than its context.
package errand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"lockstep/internal/memfd"
	"lockstep/ipc"
	"lockstep/ipc/polled"
	"lockstep/ipc/wire"
)

// Run has the job done whose list is stdin by the runner at the other end of conn,
// and waits for its end.
func Run(ctx context.Context, conn *os.File, job ipc.RunStart, stdin string, patience time.Duration) (ipc.RunExited, error) {
	list, err := memfd.Sealed("list", []byte(stdin))
	if err != nil {
		return ipc.RunExited{}, fmt.Errorf("make a list: %w", err)
	}
	if err = errors.Join(send(conn, &job, list), list.Close()); err != nil {
		return ipc.RunExited{}, fmt.Errorf("start a job: %w", err)
	}
	// What is being waited for when ctx ends is waited for no longer.
	deaf := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer deaf()
	exited, err := receive(ctx, conn, patience)
	if err == nil && exited.Job != job.Job {
		err = fmt.Errorf("it answered job %d instead of %d", exited.Job, job.Job)
	}
	if err != nil {
		return ipc.RunExited{}, fmt.Errorf("the runner: %w", err)
	}
	return exited, nil
}

func send(conn *os.File, m *ipc.RunStart, list *os.File) error {
	packet, err := ipc.Append(nil, 0, m)
	if err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return polled.Send(raw, packet, int(list.Fd()))
}

func receive(ctx context.Context, conn *os.File, patience time.Duration) (ipc.RunExited, error) {
	// The runner ends every job in time; this is for a runner that hangs. A
	// socket that is not served by the poller has no deadline.
	err := conn.SetReadDeadline(time.Now().Add(patience))
	if err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return ipc.RunExited{}, err
	}
	if err := ctx.Err(); err != nil { // after the deadline was set, which is past when ctx ends now
		return ipc.RunExited{}, err
	}
	buf := make([]byte, ipc.MaxPacket)
	n, err := conn.Read(buf)
	if errors.Is(err, io.EOF) {
		return ipc.RunExited{}, errors.New("it ended before the job did; its own message says why")
	}
	if err != nil {
		return ipc.RunExited{}, errors.Join(err, ctx.Err())
	}
	header, payload, err := ipc.ParseHeader(buf[:n])
	if err != nil {
		return ipc.RunExited{}, err
	}
	if header.Type != ipc.TypeRunExited {
		return ipc.RunExited{}, fmt.Errorf("message of type %d", header.Type)
	}
	return wire.Decode[ipc.RunExited](payload)
}
