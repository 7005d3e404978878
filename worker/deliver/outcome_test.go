package deliver

import (
	"strings"
	"testing"

	"lockstep/ipc"
	"lockstep/rsync"
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
