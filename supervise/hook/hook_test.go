package hook

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"lockstep/ipc"
)

// However a hook ends, that is said, and nothing but success looks like it.
func TestWordsOfAnEnd(t *testing.T) {
	for _, c := range []struct {
		out    ipc.RunExited
		err    error
		broken bool
		want   string
		level  slog.Level
	}{
		{ipc.RunExited{End: ipc.EndExited}, nil, false, "has ended", slog.LevelInfo},
		{ipc.RunExited{End: ipc.EndExited, Code: 3}, nil, false, "exit code 3", slog.LevelWarn},
		{ipc.RunExited{End: ipc.EndSignalled, Code: 9}, nil, false, "signal 9 (killed)", slog.LevelWarn},
		{ipc.RunExited{End: ipc.EndTimeout}, nil, false, "hooks.timeout", slog.LevelWarn},
		{ipc.RunExited{End: ipc.EndRefused}, nil, false, "could not be started", slog.LevelError},
		{ipc.RunExited{}, nil, false, "nobody knows", slog.LevelError},
		{ipc.RunExited{}, errors.New("gone"), false, "could not be called: gone", slog.LevelError},
		{ipc.RunExited{End: ipc.EndExited}, errors.New("gone"), true, "nobody waits", slog.LevelWarn},
	} {
		if level, text := words(c.out, c.err, c.broken); level != c.level || !strings.Contains(text, c.want) {
			t.Errorf("%+v: %v %q", c, level, text)
		}
	}
}

// What it wrote is shown escaped, in a few short lines.
func TestLinesOfAHook(t *testing.T) {
	if got := lastLines(nil); len(got) != 0 {
		t.Errorf("%q", got)
	}
	tail := strings.Repeat("x\n\n", 20) + "\x1b[2J" + strings.Repeat("y", 1000) + "\n"
	got := lastLines([]byte(tail))
	if len(got) != 5 || strings.Contains(got[4], "\x1b") || len(got[4]) > 500 || got[0] != "x" {
		t.Errorf("%q", got)
	}
}

// Who waits for nothing returns at once; who waits goes on answering, and has the hook
// ended when a person says so.
func TestWait(t *testing.T) {
	c := New(slog.New(slog.DiscardHandler))
	c.Break()
	c.Wait(nil, nil, nil)

	beat, signals, broken := make(chan struct{}), make(chan os.Signal), make(chan struct{})
	c.cancel = func() { close(broken) }
	go func() {
		beat <- struct{}{}
		signals <- syscall.SIGHUP
		signals <- syscall.SIGTERM
		<-broken
		c.Ended <- struct{}{}
	}()
	c.Wait(beat, signals, func(s os.Signal) bool { return s == syscall.SIGTERM })
	if c.cancel != nil {
		t.Error("its end was not heard")
	}
}
