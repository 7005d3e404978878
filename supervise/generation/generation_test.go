package generation

import (
	"errors"
	"os"
	"testing"
	"time"

	"lockstep/ipc/status"
	"lockstep/supervise/proc"
)

// A process that does not read what it is told does not hold the session.
func TestWritesAreBounded(t *testing.T) {
	for name, write := range map[string]func(*Generation) error{
		"worker": func(g *Generation) error { return g.Order(status.CommandVerify) },
		"helper": func(g *Generation) error { return g.ShutDown() },
	} {
		ours, theirs, err := proc.Pair("deaf")
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		defer ours.Close()
		g := &Generation{control: ours, status: ours}
		begin := time.Now()
		for err == nil && time.Since(begin) < 10*writeTime {
			err = write(g)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		}
	}
}

func TestEndOfWhatNeverBegan(t *testing.T) {
	g := &Generation{}
	if err := g.End(nil, nil, func(os.Signal) bool { return false }); err != nil {
		t.Error(err)
	}
}
