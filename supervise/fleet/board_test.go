package fleet

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"lockstep/config"
	"lockstep/supervise/exit"
	"lockstep/supervise/host"
	"lockstep/supervise/session"
)

// Of two ends both are told, with the graver one's exit code; the same one is
// told once.
func TestBoth(t *testing.T) {
	failed, refused := errors.New("failed"), exit.Refuse(errors.New("refused"))
	for _, c := range []struct {
		a, b error
		code int
		text string
	}{
		{nil, nil, exit.Done, ""},
		{failed, nil, exit.Failed, "failed"},
		{nil, failed, exit.Failed, "failed"},
		{failed, refused, exit.Usage, "failed\nrefused"},
		{refused, failed, exit.Usage, "refused\nfailed"},
		{refused, refused, exit.Usage, "refused"},
		{exit.Error{Code: exit.Internal, Err: failed}, refused, exit.Internal, "failed\nrefused"},
		{errors.Join(refused), refused, exit.Usage, "refused"},
	} {
		err := both(c.a, c.b)
		if exit.Code(err) != c.code || err != nil && err.Error() != c.text {
			t.Errorf("%v and %v: %v, exit code %d; want %q, %d", c.a, c.b, err, exit.Code(err), c.text, c.code)
		}
	}
}

// A useless rsync ends all sessions for one reason, which is told once and never
// as one sync's own; and nobody is told of readiness.
func TestUnfit(t *testing.T) {
	var log strings.Builder
	unfit := exit.Refuse(errors.New("too old"))
	s := New(Needs{Log: slog.New(slog.NewTextHandler(&log, nil))})
	s.Host = session.Host{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Changed: func() {}}
	for i := range 3 {
		m := s.newMember(config.Config{Sync: config.Sync{Name: fmt.Sprint(i)}}, host.Command{})
		m.stage, m.session = running, session.New(&s.Host, m.cfg, host.Command{}, nil, t.TempDir())
		s.members = append(s.members, m)
	}
	s.trials.err, s.unfit = unfit, unfit
	s.tried()
	var worst error
	for i, m := range s.members {
		told := <-m.session.Tried
		if told.Err == nil {
			t.Fatal("a session was told that rsync is fit")
		}
		worst = s.over(ending{m, errors.Join(told.Err)}, worst, len(s.members)-1-i)
	}
	if exit.Code(worst) != exit.Usage || worst.Error() != "too old" || log.Len() != 0 {
		t.Errorf("ends with %v, exit code %d, having logged %q", worst, exit.Code(worst), log.String())
	}
}
