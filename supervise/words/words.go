// Package words turns numbers and codes of the other processes into what a
// person reads.
//
// Trust: linked into the supervisor; pure. Its input is numbers only.
//
// Invariant: each text names the thing, the reason and, where there is
// something to do, what to do.
package words

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"syscall"

	"lockstep/config/choose"
	"lockstep/console"
	"lockstep/internal/escape"
	"lockstep/ipc"
	"lockstep/ipc/status"
	"lockstep/rsync"
	"lockstep/supervise/exit"
)

// Exit codes of the confined programs that mean something to the supervisor.
const (
	CodeInternal  = 70
	CodeConfine   = 71
	CodeNoRoom    = 73
	CodeRootGone  = 75
	CodeViolation = 76
)

// Final is the error that ends a start after which no other has any sense, since
// it would end in the same way; nil: of any other end.
func Final(role string, code int) error {
	switch code {
	case CodeConfine:
		return exit.Error{Code: exit.Failed, Err: fmt.Errorf("the %s could not be confined, and does not run unconfined; the line above says why", role)}
	case CodeNoRoom:
		return exit.Error{Code: exit.Failed, Err: errors.New("there are more directories than can be watched; the line above says how many, and what to do")}
	}
	return nil
}

// Death says how a process ended that was not asked to.
func Death(role string, pid, code int, sig syscall.Signal, err error) string {
	who := fmt.Sprintf("the %s (pid %d) ", role, pid)
	switch {
	case err != nil:
		return who + "was lost: " + err.Error()
	case sig == syscall.SIGSYS:
		return who + "made a forbidden system call and was killed: a bug or an attack; the kernel's log names the call"
	case sig == syscall.SIGKILL:
		return who + "was killed"
	case sig != 0:
		return who + "was ended by signal: " + sig.String()
	}
	switch code {
	case CodeConfine:
		return who + "could not confine itself, and ended"
	case CodeNoRoom:
		return who + "cannot watch as many directories as there are, and ended"
	case CodeRootGone:
		return who + "found another directory in a root's place, and ended"
	case CodeViolation:
		return who + "saw a violation of the protocol, and ended"
	case CodeInternal:
		return who + "ended with an internal error"
	}
	return who + fmt.Sprintf("ended with code %d, unasked", code)
}

// Failure says how the last command failed, and what to do.
func Failure(r status.Report) string {
	if f := rsync.FaultOf(r.Fault); f != rsync.FaultNone {
		if f.Advice() == "" {
			return f.Name() + ": " + f.Text()
		}
		return f.Name() + ": " + f.Text() + "; " + f.Advice()
	}
	var text, advice string
	switch ipc.End(r.LastEnd) {
	case ipc.EndExited:
		m := rsync.ExitMeaning(int(r.LastCode))
		text, advice = fmt.Sprintf("rsync ended with code %d: %s", r.LastCode, m.Text), m.Advice
	case ipc.EndSignalled:
		text = fmt.Sprintf("rsync was killed by signal %d", r.LastCode)
	case ipc.EndTimeout:
		text, advice = "rsync took longer than --timeout and was killed", "raise --timeout"
	case ipc.EndLost:
		text = "the runner was lost with its command"
	case ipc.EndRefused:
		text = "rsync could not be started"
	default:
		text = "the command failed"
	}
	if advice != "" {
		text += "; " + advice
	}
	return text
}

// Ready says that a worker has come up.
func Ready(r status.Report) string {
	if r.Unwatched > 0 {
		return fmt.Sprintf("ready, but %d directories are not watched", r.Unwatched)
	}
	return "ready: every directory is watched"
}

// Skips is said once of a start without a first pass.
const Skips = `first_pass = "skip": what changed before this sync is ready, and what waited when it ended last, is not copied; a whole pass does that (SIGUSR2, lockstep ctl resync)`

// PassEnded says how the whole pass went that ended between two reports; told:
// to a handler without a target; never: of a target from which nothing is deleted.
func PassEnded(old, r status.Report, told, never bool) string {
	// Attempts and LastCode are of the last command; one with code 0 failed by a
	// warning only, and has compared every path.
	if r.Failed > old.Failed && r.Attempts > 0 && r.LastCode != 0 {
		return "whole pass ended; some paths failed and are tried again"
	}
	if told {
		return "whole pass done: the handler was told of all that is there"
	}
	if never {
		return "whole pass done: the target has what the source had; nothing is deleted from it"
	}
	return "whole pass done: the target is what the source was"
}

// Falls names a number that can only grow and is smaller than it was: no honest
// worker says so, and the lines that such numbers cause would never end.
func Falls(old, r status.Report) error {
	for _, one := range []struct {
		name     string
		old, now uint64
	}{
		{"ready", old.Ready, r.Ready}, {"initials", old.Initials, r.Initials}, {"jobs", old.Jobs, r.Jobs},
		{"synced", old.Synced, r.Synced}, {"verified", old.Verified, r.Verified}, {"batches", old.Batches, r.Batches},
	} {
		if one.now < one.old {
			return fmt.Errorf("%s fell from %d to %d", one.name, one.old, one.now)
		}
	}
	return nil
}

// Waiting says how much is not copied; skips: the next start has no first pass.
func Waiting(r status.Report, skips bool) string {
	n := r.Queue + r.Big + r.InFlight
	one, all := "is found by the first pass of the next start", "are found by the first pass of the next start"
	if skips {
		one, all = "is not copied by the next start, which has no first pass: "+unfound, "are not copied by the next start, which has no first pass: "+unfound
	}
	switch {
	case n == 0 && r.State == status.StateInStep:
		return "nothing is known to wait; what changes from now on " + one
	case n == 0:
		return "what is left " + one
	}
	if n == 1 {
		return "one path waits, and " + one
	}
	return console.Number(n) + " paths wait, and " + all
}

// unfound is what to do then.
const unfound = "ask for a whole pass when it is ready (SIGUSR2, lockstep ctl resync)"

// Counted says that the last of so many batches was acknowledged.
func Counted(n uint64, r status.Report, skips bool) string {
	return "batches acknowledged: " + console.Number(n) + "; " + Waiting(r, skips)
}

// Limits are what a held pass is measured by.
type Limits struct {
	Percent uint32
	Entries uint64
	Consent string // the flag that lifts the hold
}

// Held says that a guard holds, why, and what a person can do.
func Held(r status.Report, l Limits) string {
	start := "stop lockstep and start it once with " + l.Consent
	switch ipc.End(r.Held) {
	case ipc.EndNone:
		return "no longer held"
	case ipc.EndHeldEmpty:
		return fmt.Sprintf("held: the source is empty and the target is not (%s entries); nothing is deleted; if the source is meant to be empty, %s",
			console.Number(r.HeldEntries), start)
	}
	return fmt.Sprintf("held: a whole pass would delete %s or more of the target's %s entries, above the limit of %d %% and %s entries; nothing is deleted; if that is meant, %s",
		console.Number(r.HeldDeletes), console.Number(r.HeldEntries), l.Percent, console.Number(l.Entries), start)
}

// HeldRoot says that a root is not what it must be, and what a person can do;
// consent is the flag that says that it is meant.
func HeldRoot(why, consent string) string {
	return fmt.Sprintf("held: %s; nothing is copied or deleted until it is back; if it is meant to be so, stop lockstep and start it once with %s", why, consent)
}

// Line is one line of the log.
type Line struct {
	Level slog.Level
	Text  string
}

// Troubles are the lines about what became worse between two reports of one
// worker, as far as the worker's own messages do not say it.
func Troubles(old, r status.Report) []Line {
	if r.Overflows == 0 || old.Overflows > 0 {
		return nil
	}
	return []Line{{slog.LevelWarn,
		"events were lost, because the kernel's queue was full: the whole tree is compared, and nothing else is lost; if it happens often, raise fs.inotify.max_queued_events by sysctl"}}
}

// Guarded are the lines about a guard that holds a target's pass, or no longer.
func Guarded(old, r status.Report, l Limits) []Line {
	var out []Line
	if r.Held != old.Held || r.Held != 0 && (r.HeldDeletes != old.HeldDeletes || r.HeldEntries != old.HeldEntries) {
		level := slog.LevelWarn
		if r.Held == 0 {
			level = slog.LevelInfo
		}
		out = append(out, Line{level, Held(r, l)})
	}
	return out
}

// Numbers are all fields of a report, for the log.
func Numbers(r status.Report) []any {
	var attrs []any
	v := reflect.ValueOf(r)
	for i := range v.NumField() {
		attrs = append(attrs, snake(v.Type().Field(i).Name), v.Field(i).Uint())
	}
	return attrs
}

// snake turns HeldDeletes into held_deletes.
func snake(name string) string {
	var b strings.Builder
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			if i > 0 && name[i-1] >= 'a' {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// NotInStep lists what keeps a finished --once from being in step.
func NotInStep(r status.Report) []string {
	var bad []string
	for _, one := range []struct {
		n    uint64
		what string
	}{
		{r.Skipped, "sockets, devices or names with a newline were not copied"},
		{r.TooLong, "paths are too long to be named"},
		{r.Doubt, "paths are in doubt"},
	} {
		if one.n > 0 {
			bad = append(bad, console.Number(one.n)+" "+one.what)
		}
	}
	if r.Held != 0 {
		bad = append(bad, "a pass is held")
	}
	return bad
}

// Totals add up what all workers of a session have done.
type Totals struct{ Synced, Jobs, Failed uint64 }

// Add adds one worker's last report.
func (t *Totals) Add(r status.Report) {
	t.Synced += r.Synced
	t.Jobs += r.Jobs
	t.Failed += r.Failed
}

func (t Totals) String() string {
	return fmt.Sprintf("%s paths brought up to date by %s commands, of which %s failed",
		console.Number(t.Synced), console.Number(t.Jobs), console.Number(t.Failed))
}

// Shell is words as a shell reads them, each after a blank.
func Shell(args []string) string {
	var b strings.Builder
	for _, w := range args {
		b.WriteByte(' ')
		b.WriteString(shellWord(w))
	}
	return b.String()
}

// shellWord quotes a word for a shell when it needs it.
func shellWord(w string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:@%+"
	if w != "" && strings.Trim(w, plain) == "" {
		return w
	}
	return "'" + strings.ReplaceAll(escape.Name(w), "'", `'\''`) + "'"
}

// Names lists names of the file system's.
func Names(names []string) string {
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = escape.Name(name)
	}
	return strings.Join(shown, ", ")
}

// Watching says how changes are heard of, and why so.
func Watching(c choose.Choice) string {
	every := ""
	if c.Monitor == choose.Poll {
		every = fmt.Sprintf(" every %v", c.Every)
	}
	return fmt.Sprintf("changes are heard of by %s%s: %s", c.Monitor, every, escape.Name(c.Why))
}
