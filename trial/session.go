package trial

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
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
)

// jobTimeout bounds one job of a trial.
const jobTimeout = 30 * time.Second

// session is one runner that was started for the trial.
type session struct {
	ctx  context.Context
	conn *os.File
	stop func() error
	deaf func() bool // it hears of ctx's end no more
	last ipc.JobID
}

func (t *trial) open(ctx context.Context, cfg settings.Runner, src, dst string) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg.Source, cfg.Target = src, dst
	cfg.Timeout, cfg.Grace = jobTimeout, time.Second
	conn, stop, err := t.start(cfg, src, dst)
	if err != nil {
		return nil, fmt.Errorf("start a runner for the trial of rsync: %w", err)
	}
	// What is being waited for when ctx ends is waited for no longer.
	deaf := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	return &session{ctx: ctx, conn: conn, stop: stop, deaf: deaf}, nil
}

// run has one job done and waits for its end.
func (s *session) run(kind ipc.JobKind, stdin string) (ipc.RunExited, error) {
	list, err := memfd.Sealed("list", []byte(stdin))
	if err != nil {
		return ipc.RunExited{}, fmt.Errorf("make a list: %w", err)
	}
	s.last++
	err = s.send(&ipc.RunStart{Job: s.last, Kind: kind}, list)
	if err = errors.Join(err, list.Close()); err != nil {
		return ipc.RunExited{}, fmt.Errorf("start a job of the trial: %w", err)
	}
	exited, err := s.receive()
	if err != nil {
		return ipc.RunExited{}, fmt.Errorf("the runner of the trial: %w", err)
	}
	if exited.Job != s.last {
		return ipc.RunExited{}, fmt.Errorf("the runner of the trial answered job %d instead of %d", exited.Job, s.last)
	}
	return exited, nil
}

func (s *session) send(m *ipc.RunStart, list *os.File) error {
	packet, err := ipc.Append(nil, 0, m)
	if err != nil {
		return err
	}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	return polled.Send(raw, packet, int(list.Fd()))
}

func (s *session) receive() (ipc.RunExited, error) {
	// The runner ends every job in time; this is for a runner that hangs. A
	// socket that is not served by the poller has no deadline.
	err := s.conn.SetReadDeadline(time.Now().Add(2 * jobTimeout))
	if err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return ipc.RunExited{}, err
	}
	if err := s.ctx.Err(); err != nil { // after the deadline was set, which is past when ctx ends now
		return ipc.RunExited{}, err
	}
	buf := make([]byte, ipc.MaxPacket)
	n, err := s.conn.Read(buf)
	if errors.Is(err, io.EOF) {
		return ipc.RunExited{}, errors.New("it ended before the job did; its own message says why")
	}
	if err != nil {
		return ipc.RunExited{}, err
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

// close ends the runner.
func (s *session) close() error {
	s.deaf()
	if err := errors.Join(s.conn.Close(), s.stop()); err != nil {
		return fmt.Errorf("end the trial's runner: %w", err)
	}
	return nil
}
