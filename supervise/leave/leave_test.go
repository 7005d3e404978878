package leave

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/ipc/status"
	"lockstep/supervise/generation"
	"lockstep/supervise/hook"
)

// rig is a session that takes note of what it is asked for.
type rig struct {
	*Leave
	up  *generation.Generation
	did []string
}

func newRig(end config.End, run config.Run) *rig {
	r := &rig{up: &generation.Generation{Ready: time.Now()}}
	r.Leave = New(config.Config{Service: config.Service{StopTimeout: time.Hour}, Run: run, Sync: config.Sync{End: end}}, slog.New(slog.DiscardHandler), Host{
		Up:       func() *generation.Generation { return r.up },
		Call:     func(_ *hook.Caller, program, state string) { r.did = append(r.did, "call "+program+" "+state) },
		Show:     func(word string) { r.did = append(r.did, "show "+word) },
		Hurry:    func() { r.did = append(r.did, "hurry") },
		ShutDown: func(why string) { r.did = append(r.did, "shut down: "+why) },
	})
	return r
}

// did wants exactly these to have been done since it was asked last.
func (r *rig) wants(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(r.did, want) {
		t.Errorf("%q, want %q", r.did, want)
	}
	r.did = nil
}

// Only SIGQUIT asks for more than an end, of a sync that runs and has something to do.
func TestWanted(t *testing.T) {
	for _, end := range []config.End{{}, {PreExit: "/p"}, {SyncOnQuit: true}, {Exit: "/e"}} {
		r := newRig(end, config.Run{})
		want := end.PreExit != "" || end.SyncOnQuit
		for _, sig := range []os.Signal{syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
			if got := r.Wanted(sig); got != (want && sig == syscall.SIGQUIT) {
				t.Errorf("%+v: %v: %v", end, sig, got)
			}
		}
		r.up.Ready = time.Time{}
		if r.Wanted(syscall.SIGQUIT) {
			t.Error("before it was ready")
		}
		if r.up = nil; r.Wanted(syscall.SIGQUIT) {
			t.Error("nothing runs")
		}
		if r := newRig(end, config.Run{DryRun: true}); r.Wanted(syscall.SIGQUIT) {
			t.Error("a dry run")
		}
	}
}

// The hook, then what waits, then the end: each once, and not before what is before it.
func TestOrderOfAnEnd(t *testing.T) {
	r := newRig(config.End{PreExit: "/p"}, config.Run{})
	r.Begin("because", true)
	r.wants(t, "show preexit", "call /p preexit")
	r.Step(true)
	r.wants(t)
	r.OnHooked()
	r.wants(t, "show lastsync")
	r.Step(true)
	r.wants(t, "hurry")
	r.Step(true) // in step as it was before it was told
	r.wants(t)
	r.up.Last.Hurried = 1
	r.Step(false)
	r.wants(t)

	// Another worker takes its place: what the old one has done is nothing.
	r.up = nil
	r.Step(true)
	r.up = &generation.Generation{}
	r.Step(true)
	r.wants(t)
	r.up.Ready = time.Now()
	r.Step(true)
	r.wants(t, "hurry")
	r.up.Last.Hurried = 1
	r.Step(true)
	r.wants(t, "shut down: because")
}

// A person who does not wait has the end at once, whatever a hook does later.
func TestDropped(t *testing.T) {
	r := newRig(config.End{PreExit: "/p"}, config.Run{})
	r.Begin("because", true)
	r.did = nil
	r.Drop()
	r.OnHooked()
	r.wants(t, "show ")
}

// Without a person nobody limits the last pass, which --once waits for as for others.
func TestItself(t *testing.T) {
	r := newRig(config.End{PreExit: "/p"}, config.Run{Once: true})
	r.Itself()
	r.Itself()
	r.wants(t, "show preexit", "call /p preexit")
	r.OnHooked()
	if r.bounded || r.Late.Stop() {
		t.Error("it has a limit")
	}
	r = newRig(config.End{}, config.Run{Once: true})
	r.Itself()
	r.wants(t, "shut down: in step")

	r = newRig(config.End{SyncOnQuit: true}, config.Run{})
	r.Begin("because", true)
	if !r.Late.Stop() {
		t.Error("it has no limit")
	}
}

// Batches count over the lives of workers; the next one may have what is left.
func TestCount(t *testing.T) {
	r := newRig(config.End{}, config.Run{})
	r.up.Last.Batches = 100
	if r.Count(); r.Counted || r.Left() != 0 {
		t.Error("there is no such end")
	}
	r = newRig(config.End{MaxIterations: 5}, config.Run{})
	if r.Left() != 5 {
		t.Errorf("%d left", r.Left())
	}
	r.up.Last.Batches = 3
	r.Count()
	r.wants(t)
	r.Gone(r.up.Last, false)
	if r.Left() != 2 {
		t.Errorf("%d left", r.Left())
	}
	r.up.Last = status.Report{Batches: 1}
	r.Count()
	r.wants(t)
	r.up.Last.Batches = 2
	r.Count()
	if !r.Counted || len(r.did) != 1 {
		t.Errorf("%v %q", r.Counted, r.did)
	}
	r.Gone(r.up.Last, false)
	if r.Left() != 1 { // 0 would be any number
		t.Errorf("%d left", r.Left())
	}
}

// The last hook is called once the first has ended, and only of a sync that was ready.
func TestFarewell(t *testing.T) {
	for _, c := range []struct {
		end   config.End
		run   config.Run
		ready bool
		want  []string
	}{
		{config.End{Exit: "/e"}, config.Run{}, true, []string{"call /e exiting"}},
		{config.End{Exit: "/e"}, config.Run{}, false, nil},
		{config.End{Exit: "/e"}, config.Run{DryRun: true}, true, nil},
		{config.End{PreExit: "/p"}, config.Run{}, true, nil},
	} {
		r := newRig(c.end, c.run)
		r.Farewell(c.ready, nil, nil, time.Time{})
		r.wants(t, c.want...)
	}
	r := newRig(config.End{Exit: "/e"}, config.Run{})
	r.GoesOn = true // a reload has changed it
	r.Farewell(true, nil, nil, time.Time{})
	r.wants(t)
}

// What waits at the end of a sync whose next start has no first pass is told, when
// nobody else knows of it.
func TestLost(t *testing.T) {
	waits := status.Report{State: status.StateDraining, Queue: 2, InFlight: 1}
	for name, c := range map[string]struct {
		pass   config.FirstPass
		last   status.Report
		owes   bool
		goesOn bool
		want   bool
	}{
		"waits":           {config.FirstSkip, waits, false, false, true},
		"in doubt":        {config.FirstSkip, status.Report{Doubt: 1}, false, false, true},
		"held":            {config.FirstSkip, status.Report{Held: 1}, false, false, true},
		"nothing waits":   {config.FirstSkip, status.Report{State: status.StateDraining}, false, false, false},
		"owes a pass":     {config.FirstSkip, status.Report{State: status.StateDraining}, true, false, true},
		"owes, reload":    {config.FirstSkip, status.Report{State: status.StateDraining}, true, true, false},
		"reload":          {config.FirstSkip, waits, false, true, false},
		"with first pass": {config.FirstWhole, waits, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var told strings.Builder
			l := New(config.Config{Sync: config.Sync{FirstPass: c.pass}}, slog.New(slog.NewTextHandler(&told, nil)), Host{})
			l.GoesOn = c.goesOn
			l.Gone(status.Report{Queue: 9}, true)
			l.Gone(c.last, c.owes)
			l.Farewell(true, nil, nil, time.Time{})
			got := strings.Contains(told.String(), "level=WARN") && strings.Contains(told.String(), "not copied by the next start")
			if got != c.want {
				t.Errorf("told: %v, want %v\n%s", got, c.want, told.String())
			}
		})
	}
}
