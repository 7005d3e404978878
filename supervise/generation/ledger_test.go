package generation

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/config"
	"lockstep/ipc"
	"lockstep/ipc/settings"
	"lockstep/ipc/wire"
	"lockstep/ipc/witness"
	"lockstep/supervise/scribe"
	"lockstep/trail"
)

func packet(t *testing.T, p witness.Packet) []byte {
	t.Helper()
	data, err := wire.Append(nil, &p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// strict is a trail, and its first file.
func strict(t *testing.T) (*scribe.Scribe, string) {
	t.Helper()
	top := t.TempDir()
	s, err := scribe.Open(scribe.Options{Audit: config.Audit{Mode: config.AuditStrict, Dir: filepath.Join(top, "trail"), Size: 1 << 20, To: config.AuditNowhere},
		Keys: filepath.Join(top, "keys"), Log: slog.New(slog.DiscardHandler)}, trail.Event{Type: trail.Start})
	if err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(top, "trail", "audit-00000001.jsonl")
}

// hang has a trail hang, as on a disk that does not answer, until the function is called.
func hang(s *scribe.Scribe) (release func()) {
	hangs, within := make(chan struct{}), make(chan struct{})
	s.Before(trail.Event{Type: trail.Control}, nil, func() { close(within); <-hangs })
	<-within
	return func() { close(hangs) }
}

// A runner that begins and ends commands, and waits for no answer, has no more than a few
// of its words kept.
func TestLedgerUnanswered(t *testing.T) {
	s, _ := strict(t)
	release := hang(s)
	var m Maker
	m.Starter.Trail = s
	l := m.ledger(settings.Runner{Program: "/nonexistent"}, config.Target{Spec: "/t", Path: "/t"})
	went := make(chan struct{}, 10*mostAsked)
	taken := 0
	for id := ipc.JobID(1); id <= 10*mostAsked; id++ {
		if l.hear(packet(t, witness.Packet{Begin: &witness.Begin{Job: id, Kind: ipc.JobList, Bytes: 4}}), func() { went <- struct{}{} }) != nil {
			break
		}
		taken++
		if err := l.hear(packet(t, witness.Packet{End: &witness.End{Job: id, How: ipc.EndStopped}}), nil); err != nil {
			t.Fatal(err)
		}
	}
	if taken != mostAsked {
		t.Errorf("%d words are kept, want %d", taken, mostAsked)
	}
	release()
	for range taken {
		<-went
	}
	if err := l.hear(packet(t, witness.Packet{Begin: &witness.Begin{Job: 1, Kind: ipc.JobList, Bytes: 4}}), func() { went <- struct{}{} }); err != nil {
		t.Errorf("when all are answered: %v", err)
	}
	<-went
	l.close()
	if err := s.Close(scribe.Stopped(0, nil)); err != nil {
		t.Fatal(err)
	}
}

// A hook is not called before its beginning is recorded; who ends it ends the wait.
func TestHookWaits(t *testing.T) {
	s, file := strict(t)
	release := hang(s)
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	var m Maker
	m.Starter.Trail = s
	plan := HookPlan{Program: shell, Status: "exiting"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := m.Hook(ctx, config.Config{}, plan); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was not recorded") {
		t.Errorf("a hook whose beginning is not recorded: %v", err)
	}
	l := ledger{trail: s}
	if err := l.hookBegins(t.Context(), plan, time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it waits longer than a hook may take: %v", err)
	}
	begun := make(chan error, 1)
	go func() { begun <- l.hookBegins(t.Context(), plan, time.Hour) }()
	select {
	case err := <-begun:
		t.Errorf("it begins while nothing can be recorded: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	release()
	if err := <-begun; err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(data), `"type":"command-start"`) {
		t.Errorf("it is not recorded: %v %s", err, data)
	}
	if err := s.Close(scribe.Stopped(0, nil)); err != nil {
		t.Fatal(err)
	}
}

// A runner says what has a place, or is at an end: one begin for each end, and no packet
// of another form. What is recorded is what it may say, and no word of its own.
func TestLedger(t *testing.T) {
	s, file := strict(t)
	var m Maker
	m.Starter.Trail, m.Starter.Sync = s, "www"
	told := settings.Runner{Program: "/nonexistent"}
	told.Argv[ipc.JobList] = []string{"rsync", "-a"}
	l := m.ledger(told, config.Target{Spec: "/t", Path: "/t"})
	goes := make(chan struct{}, 100)
	hear := func(data []byte) error { return l.hear(data, func() { goes <- struct{}{} }) }
	begin := func(id ipc.JobID) []byte {
		return packet(t, witness.Packet{Begin: &witness.Begin{Job: id, Kind: ipc.JobList, Bytes: 4, Entries: 1}})
	}
	end := func(id ipc.JobID) []byte {
		return packet(t, witness.Packet{End: &witness.End{Job: id, How: ipc.EndExited}})
	}
	none := packet(t, witness.Packet{Begin: &witness.Begin{Job: 99, Bytes: 4}})
	for _, c := range []struct {
		what string
		data []byte
		fine bool
	}{
		{"an end without a beginning", end(1), false}, {"a beginning", begin(1), true}, {"the same", begin(1), false}, {"its end", end(1), true}, {"that again", end(1), false},
		{"a beginning", begin(2), true}, {"no kind", none, false}, {"junk", []byte("junk"), false}, {"more", append(begin(3), 0), false}, {"less", begin(3)[:20], false}, {"nothing", nil, false},
	} {
		if err := hear(c.data); (err == nil) != c.fine {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	for id := ipc.JobID(10); id < 10+mostOpen-1; id++ {
		if err := hear(begin(id)); err != nil {
			t.Fatal(err)
		}
	}
	if hear(begin(50)) == nil {
		t.Error("it may have begun any number of commands")
	}
	l.close() // the runner has gone
	if err := s.Close(scribe.Stopped(0, nil)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if begun, ended := strings.Count(string(data), `"command-start"`), strings.Count(string(data), `"command-end"`); begun != 1+mostOpen || ended != begun || len(goes) != begun {
		t.Errorf("%d commands were begun, %d ended, %d may: %s", begun, ended, len(goes), data)
	}
	if !strings.Contains(string(data), scribe.HashWords([]string{"rsync", "-a"})) || !strings.Contains(string(data), `"end":"lost"`) {
		t.Errorf("%s", data)
	}
	// Without a trail a runner has nothing of the kind to say.
	if err := (&ledger{}).hear(begin(1), nil); err == nil {
		t.Error("it is heard where there is no trail")
	}
}

// A runner that begins commands in a row is slowed down.
func TestLedgerPace(t *testing.T) {
	now := time.Now()
	l := &ledger{}
	for range commandBurst {
		l.pace(now)
	}
	if wait := l.next.Sub(now); wait > commandEvery {
		t.Errorf("after %d it waits for %v", commandBurst, wait)
	}
	before := time.Now()
	for range 5 {
		l.pace(time.Now())
	}
	if took := time.Since(before); took < 3*commandEvery {
		t.Errorf("five more took %v", took)
	}
}
