package worker

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"lockstep/internal/calm"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/ipc/wire"
	"lockstep/monitor"
	"lockstep/worker/pump"
)

// still is a helper and a feed that say nothing but what the test does.
type still struct {
	answers chan pump.Answer
	errs    chan error
	asked   chan ipc.Message
	stop    chan struct{}
}

func (s *still) Request(m ipc.Message, _ []byte) uint32  { s.asked <- m; return 1 }
func (s *still) Answers() <-chan pump.Answer             { return s.answers }
func (s *still) Errs() <-chan error                      { return s.errs }
func (s *still) Run() error                              { <-s.stop; return nil }
func (s *still) Filled() <-chan []byte                   { return nil }
func (s *still) Release([]byte)                          {}
func (s *still) Decode(_ []byte, _ monitor.Takers) error { return nil }
func (s *still) Mark()                                   {}
func (s *still) Unwatch(int32)                           {}

// A command that comes before the worker knows its roots is not lost: it waits for
// who can obey it.
func TestCommandBeforeTheGreeting(t *testing.T) {
	s := &still{answers: make(chan pump.Answer), errs: make(chan error), asked: make(chan ipc.Message, 4), stop: make(chan struct{})}
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(Ends{Helper: s, Status: theirs, Events: s, Log: io.Discard, Calm: calm.New()}, "build")
	}()
	<-s.asked
	send := func(wait time.Duration) error {
		if err := ours.SetWriteDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		_, err := ours.Write([]byte{byte(status.CommandVerify), 0, 0, 0, 0, 0, 0, 0})
		return err
	}
	if err := send(50 * time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("a command was read before the greeting was answered: %v", err)
	}
	cfg, err := wire.Append(nil, &settings.Worker{})
	if err != nil {
		t.Fatal(err)
	}
	s.answers <- pump.Answer{Seq: 1, Final: true, Message: &ipc.HelloAnswer{Config: cfg}}
	if err := send(10 * time.Second); err != nil {
		t.Errorf("nobody reads commands: %v", err)
	}
	close(s.stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
