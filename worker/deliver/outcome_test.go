package deliver

import (
	"strings"
	"testing"
	"time"

	"lockstep/ipc"
	"lockstep/rsync"
	"lockstep/worker/plan"
	"lockstep/worker/queue"
)

func TestJudge(t *testing.T) {
	exit := func(code uint8, tail string) ipc.Exited {
		return ipc.Exited{End: ipc.EndExited, Code: code, Tail: []byte(tail)}
	}
	for name, c := range map[string]struct {
		x      ipc.Exited
		want   verdict
		debris bool
	}{
		"success":               {exit(0, ""), verdictDone, false},
		"success with warning":  {exit(0, "cannot delete non-empty directory: a\n"), verdictPartial, false},
		"partial":               {exit(23, ""), verdictPartial, false},
		"vanished":              {exit(24, "file has vanished: \"/s/a\"\n"), verdictVanished, false},
		"vanished, given up":    {exit(2, "file has vanished: \"/s/a\"\nABORTING due to invalid path from sender: a/b\n"), verdictBroken, true},
		"protocol":              {exit(2, "protocol version mismatch -- is your shell clean?\n"), verdictFailed, false},
		"usage":                 {exit(1, ""), verdictFailed, false},
		"no space":              {exit(11, "write failed: No space left on device (28)\n"), verdictBroken, false},
		"no inodes":             {exit(23, "rsync: [receiver] mkstemp \"/t/.a\" failed: No space left on device (28)\n"), verdictBroken, false},
		"read-only":             {exit(23, "rsync: [receiver] mkstemp \"/t/.a\" failed: Read-only file system (30)\n"), verdictPartial, false},
		"read-only, given up":   {exit(11, "rsync: [receiver] mkstemp \"/t/.a\" failed: Read-only file system (30)\n"), verdictFailed, true},
		"unreachable":           {exit(12, "ssh: connect to host h port 22: Connection refused\r\n"), verdictFailed, true},
		"undocumented":          {exit(99, ""), verdictFailed, true},
		"signal":                {ipc.Exited{End: ipc.EndSignalled, Code: 9}, verdictFailed, true},
		"timeout":               {ipc.Exited{End: ipc.EndTimeout, Code: 15}, verdictFailed, true},
		"runner lost":           {ipc.Exited{End: ipc.EndLost}, verdictFailed, true},
		"never started":         {ipc.Exited{End: ipc.EndRefused, Tail: []byte("program changed")}, verdictFailed, false},
		"held, source empty":    {ipc.Exited{End: ipc.EndHeldEmpty}, verdictHeld, false},
		"held, many deletions":  {ipc.Exited{End: ipc.EndHeldMany}, verdictHeld, false},
		"an end we do not know": {ipc.Exited{End: 77}, verdictFailed, true},
	} {
		got, debris := judge(&c.x, rsync.Diagnose(c.x.End, int(c.x.Code), c.x.Tail))
		if got != c.want || debris != c.debris {
			t.Errorf("%s: verdict %d debris %v, want %d %v", name, got, debris, c.want, c.debris)
		}
	}
}

// TestNoEndIsSilentSuccess: of all ends and codes, exit code 0 without output
// alone acknowledges a path unseen.
func TestNoEndIsSilentSuccess(t *testing.T) {
	for end := range ipc.End(16) {
		for code := range 256 {
			x := ipc.Exited{End: end, Code: uint8(code)}
			if v, _ := judge(&x, rsync.Diagnose(end, code, nil)); v == verdictDone && (end != ipc.EndExited || code != 0) {
				t.Errorf("end %d code %d counts as done", end, code)
			}
		}
	}
}

func TestLastLines(t *testing.T) {
	got := lastLines([]byte("one\ntwo\nthr\x1b]0;owned\x07ee\nfour\n"), 2)
	if want := []string{`thr\x1b]0;owned\x07ee`, "four"}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := lastLines([]byte(strings.Repeat("x", 5000)), 3); len(got) != 1 || len(got[0]) != 400 {
		t.Errorf("a long line was not cut: %d", len(got[0]))
	}
}

// A handler's exit codes are its own: none of them means what it means of rsync,
// and nothing is swept after it.
func TestJudgeHandler(t *testing.T) {
	tg, h := reviewTarget()
	h.opt.Tell = plan.TellRsync
	k := &Task{t: tg}
	for code := range 256 {
		want, fault := verdictFailed, rsync.FaultHandler
		if code == 0 {
			want, fault = verdictDone, rsync.FaultNone
		}
		x := ipc.Exited{End: ipc.EndExited, Code: uint8(code)}
		if v, f, debris := k.judged(&x); v != want || f != fault || debris {
			t.Errorf("%d: %v %v %v", code, v, f.Name(), debris)
		}
	}
	for end, want := range map[ipc.End]verdict{ipc.EndSignalled: verdictFailed, ipc.EndTimeout: verdictFailed, ipc.EndLost: verdictFailed, ipc.EndRefused: verdictFailed, ipc.EndHeldEmpty: verdictHeld} {
		x := ipc.Exited{End: end, Code: 9}
		if v, f, debris := k.judged(&x); v != want || f == rsync.FaultHandler || debris {
			t.Errorf("%d: %v %v %v", end, v, f.Name(), debris)
		}
	}
	if rsync.FaultHandler.Away() || rsync.FaultHandler.Class() != rsync.Retry {
		t.Error("a failure of a handler is none of the way to its target")
	}
}

// A list that is refused time and again is divided where a handler is told: its
// paths may be why. Where rsync is the command it never is: no path is.
func TestRefusedListOfAHandler(t *testing.T) {
	for tell, divided := range map[plan.Telling]bool{plan.TellNothing: false, plan.TellPaths: true, plan.TellRsync: true} {
		tg, h := reviewTarget()
		tg.live = true
		h.opt.Tell = tell
		for _, rel := range []string{"a", "b", "c", "d"} {
			tg.Queue.Add(rel, queue.Content, h.now)
		}
		size := 0
		for range 4 {
			h.now = h.now.Add(2 * time.Hour)
			b := tg.Queue.Take(h.now, 100)
			if b == nil {
				t.Fatalf("%v: nothing to take", tell)
			}
			size = len(b.Entries)
			k := &Task{t: tg, batch: b, jobs: []plan.Job{{Kind: ipc.JobList, Entries: b.Entries}}}
			tg.lanes[laneNormal] = k
			k.Exited(ipc.Exited{End: ipc.EndRefused, Tail: []byte("a list for the handler: no space left on device")})
		}
		if (size < 4) != divided {
			t.Errorf("%v: a batch has %d paths", tell, size)
		}
	}
}

// A pass in which the handler failed at something has told of the rest: changes
// follow, and the pass is made again. What was stopped, lost or refused was no pass.
func TestPassOfAHandlerThatFails(t *testing.T) {
	for end, live := range map[ipc.End]bool{
		ipc.EndExited: true, ipc.EndSignalled: true, ipc.EndTimeout: true,
		ipc.EndStopped: false, ipc.EndLost: false, ipc.EndRefused: false, ipc.EndHeldEmpty: false,
	} {
		for _, code := range []uint8{0, 1, 24, 255} {
			if end == ipc.EndExited && code == 0 {
				continue
			}
			tg, h := reviewTarget()
			h.opt.Tell = plan.TellPaths
			tg.Queue.AddWhole(h.now)
			tg.Queue.BeginWhole(h.now)
			tg.StartPass(nil, false)
			tg.lanes[laneNormal].Exited(ipc.Exited{End: end, Code: code})
			if tg.live != live || !tg.redoAt.IsZero() != live || tg.attempts == 0 {
				t.Errorf("end %d code %d: live %v, made again %v, %d failures", end, code, tg.live, !tg.redoAt.IsZero(), tg.attempts)
			}
		}
	}
}
