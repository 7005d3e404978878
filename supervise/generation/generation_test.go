package generation

import (
	"errors"
	"os"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/status"
	"lockstep/ipc/wire"
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

// A generation that must begin with a whole pass does, whatever the configuration says.
func TestWholeFirst(t *testing.T) {
	for _, whole := range []bool{false, true} {
		p := Plan{Config: config.Config{Sync: config.Sync{Source: "/s", FirstPass: config.FirstSkip}}, Whole: whole}
		data, err := new(Generation).brief(p, 7)
		if err != nil {
			t.Fatal(err)
		}
		helper, err := wire.Decode[ipc.HelperConfig](data)
		if err != nil {
			t.Fatal(err)
		}
		worker, err := wire.Decode[settings.Worker](helper.Worker)
		if err != nil || worker.Syncs[0].SkipFirst == whole {
			t.Errorf("whole %v: %+v, %v", whole, worker.Syncs, err)
		}
	}
}
