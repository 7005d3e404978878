package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/supervise/errand"
)

// jobTimeout bounds one job of a trial.
const jobTimeout = 30 * time.Second

// session is one runner that was started for the trial.
type session struct {
	ctx  context.Context
	conn *os.File
	stop func() error
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
	return &session{ctx: ctx, conn: conn, stop: stop}, nil
}

// run has one job done and waits for its end.
func (s *session) run(kind ipc.JobKind, stdin string) (ipc.RunExited, error) {
	s.last++
	exited, err := errand.Run(s.ctx, s.conn, ipc.RunStart{Job: s.last, Kind: kind}, stdin, 2*jobTimeout)
	if err != nil {
		return ipc.RunExited{}, fmt.Errorf("the trial: %w", err)
	}
	return exited, nil
}

// close ends the runner.
func (s *session) close() error {
	if err := errors.Join(s.conn.Close(), s.stop()); err != nil {
		return fmt.Errorf("end the trial's runner: %w", err)
	}
	return nil
}
