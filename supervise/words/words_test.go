package words

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/status"
)

func TestDeath(t *testing.T) {
	for want, got := range map[string]string{
		"the worker (pid 7) was killed": Death("worker", 7, -1, syscall.SIGKILL, nil),
		"the helper (pid 7) made a forbidden system call and was killed: a bug or an attack; the kernel's log names the call": Death("helper", 7, -1, syscall.SIGSYS, nil),
		"the runner (pid 7) could not confine itself, and ended":                                                              Death("runner", 7, CodeConfine, 0, nil),
		"the runner (pid 7) found another directory in a root's place, and ended":                                             Death("runner", 7, CodeRootGone, 0, nil),
		"the helper (pid 7) saw a violation of the protocol, and ended":                                                       Death("helper", 7, CodeViolation, 0, nil),
		"the worker (pid 7) ended with an internal error":                                                                     Death("worker", 7, CodeInternal, 0, nil),
		"the worker (pid 7) ended with code 0, unasked":                                                                       Death("worker", 7, 0, 0, nil),
		"the worker (pid 7) was lost: x":                                                                                      Death("worker", 7, 0, 0, errors.New("x")),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Every way a command can end has words of its own, and a full disk has advice.
func TestFailure(t *testing.T) {
	seen := map[string]ipc.End{}
	for _, end := range []ipc.End{ipc.EndExited, ipc.EndSignalled, ipc.EndTimeout, ipc.EndLost, ipc.EndRefused} {
		text := Failure(status.Report{LastEnd: uint64(end), LastCode: 11})
		if other, ok := seen[text]; ok {
			t.Errorf("ends %d and %d have the same words: %s", end, other, text)
		}
		seen[text] = end
	}
	if text := Failure(status.Report{LastEnd: uint64(ipc.EndExited), LastCode: 11}); !strings.Contains(text, "full disk") {
		t.Errorf("%q", text)
	}
}

func TestTroubles(t *testing.T) {
	limits := Limits{50, 1000, "--accept-root"}
	for name, c := range map[string]struct {
		old, now status.Report
		level    slog.Level
		want     string
	}{
		"overflow":  {status.Report{}, status.Report{Overflows: 2}, slog.LevelWarn, "fs.inotify.max_queued_events"},
		"empty":     {status.Report{}, status.Report{Held: uint64(ipc.EndHeldEmpty), HeldEntries: 1234}, slog.LevelWarn, "(1,234 entries)"},
		"many":      {status.Report{}, status.Report{Held: uint64(ipc.EndHeldMany), HeldDeletes: 2000, HeldEntries: 3000}, slog.LevelWarn, "2,000 or more of the target's 3,000 entries, above the limit of 50 % and 1,000 entries"},
		"more":      {status.Report{Held: uint64(ipc.EndHeldMany), HeldDeletes: 1}, status.Report{Held: uint64(ipc.EndHeldMany), HeldDeletes: 2}, slog.LevelWarn, "--accept-root"},
		"held over": {status.Report{Held: uint64(ipc.EndHeldMany)}, status.Report{}, slog.LevelInfo, "no longer held"},
	} {
		got := append(Troubles(c.old, c.now), Guarded(c.old, c.now, limits)...)
		if len(got) != 1 || got[0].Level != c.level || !strings.Contains(got[0].Text, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
		if again := append(Troubles(c.now, c.now), Guarded(c.now, c.now, limits)...); len(again) != 0 {
			t.Errorf("%s is told twice: %+v", name, again)
		}
	}
}

func TestNumbersAreAll(t *testing.T) {
	got := fmt.Sprint(Numbers(status.Report{HeldDeletes: 7, Dirs: 3}))
	for _, want := range []string{"held_deletes 7", "dirs 3", "list_done 0"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	if n := len(Numbers(status.Report{})); n != 2*reflect.TypeFor[status.Report]().NumField() {
		t.Errorf("%d words", n)
	}
}

func TestNotInStep(t *testing.T) {
	if bad := NotInStep(status.Report{Dirs: 3, Queue: 1}); bad != nil {
		t.Errorf("%q", bad)
	}
	if bad := NotInStep(status.Report{Skipped: 1200, TooLong: 1, Doubt: 2, Held: 1}); len(bad) != 4 || bad[0] != "1,200 sockets, devices or names with a newline were not copied" {
		t.Errorf("%q", bad)
	}
}

func TestTotals(t *testing.T) {
	var sum Totals
	sum.Add(status.Report{Synced: 1000, Jobs: 2})
	sum.Add(status.Report{Synced: 500, Jobs: 1, Failed: 1})
	if got, want := sum.String(), "1,500 paths brought up to date by 3 commands, of which 1 failed"; got != want {
		t.Errorf("%q", got)
	}
}

func TestShell(t *testing.T) {
	for in, want := range map[string]string{
		"--delay=1s": "--delay=1s", "/srv/www": "/srv/www", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'",
	} {
		if got := Shell([]string{in}); got != " "+want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestPassEnded(t *testing.T) {
	old := status.Report{Failed: 2}
	for _, c := range []struct {
		now  status.Report
		done bool
	}{
		{status.Report{Initials: 1, Failed: 2}, true},
		{status.Report{Initials: 1, Failed: 3}, true}, // a list failed before, and the pass went well
		{status.Report{Initials: 1, Failed: 3, Attempts: 1}, true},
		{status.Report{Initials: 1, Failed: 3, Attempts: 1, LastCode: 23}, false},
	} {
		if got := PassEnded(old, c.now, false, false); strings.Contains(got, "is what the source was") != c.done {
			t.Errorf("%+v: %s", c.now, got)
		}
		if got := PassEnded(old, c.now, true, false); strings.Contains(got, "the handler was told") != c.done || strings.Contains(got, "target") {
			t.Errorf("%+v: %s", c.now, got)
		}
	}
}

func TestFalls(t *testing.T) {
	high := status.Report{Ready: 1, Initials: 2, Jobs: 2, Synced: 2, Verified: 2, Queue: 5, Dirs: 7}
	if err := Falls(status.Report{}, high); err != nil {
		t.Error(err)
	}
	free := high
	free.Queue, free.Dirs = 0, 0
	if err := Falls(high, free); err != nil {
		t.Error(err)
	}
	for _, low := range []func(*status.Report){
		func(r *status.Report) { r.Ready-- }, func(r *status.Report) { r.Initials-- }, func(r *status.Report) { r.Jobs-- },
		func(r *status.Report) { r.Synced-- }, func(r *status.Report) { r.Verified-- },
	} {
		r := high
		low(&r)
		if Falls(high, r) == nil {
			t.Errorf("%+v", r)
		}
	}
}

func TestNames(t *testing.T) {
	if got := Names([]string{"a", "b\nc"}); got != "a, "+escape.Name("b\nc") || Names(nil) != "" {
		t.Errorf("%q", got)
	}
}

func TestWaiting(t *testing.T) {
	for _, c := range []struct {
		r     status.Report
		skips bool
		want  string
	}{
		{status.Report{Queue: 2, Big: 1}, false, "3 paths wait, and are found by the first pass of the next start"},
		{status.Report{InFlight: 3}, true, "3 paths wait, and are not copied by the next start, which has no first pass: ask for a whole pass"},
		{status.Report{Queue: 1}, true, "one path waits, and is not copied by the next start, which has no first pass: ask for a whole pass"},
		{status.Report{State: status.StateInStep}, true, "nothing is known to wait; what changes from now on is not copied by the next start"},
		{status.Report{State: status.StateDraining}, false, "what is left is found by the first pass of the next start"},
	} {
		if got := Waiting(c.r, c.skips); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
