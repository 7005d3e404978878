package rsync

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"lockstep/ipc"
)

// TestRealFaults reads what the real programs printed.
func TestRealFaults(t *testing.T) {
	b, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split("\n"+string(b), "\n== ")[1:]
	if len(cases) < 70 {
		t.Fatalf("%d cases", len(cases))
	}
	seen := map[string]bool{}
	for _, c := range cases {
		head, out, _ := strings.Cut(c, "\n")
		name, rest, _ := strings.Cut(head, ": ")
		code, want, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(code)
		if err != nil {
			t.Fatal(head)
		}
		seen[want] = true
		tail := []byte(strings.ReplaceAll(out, "^M", "\r"))
		if got := Diagnose(ipc.EndExited, n, tail[max(0, len(tail)-ipc.MaxTail):]); got.Name() != want {
			t.Errorf("%s: %q, want %q", name, got.Name(), want)
		}
	}
	for f := FaultHostKeyChanged; f < FaultUsage; f++ {
		if !seen[f.Name()] {
			t.Errorf("nothing real shows %q", f.Name())
		}
	}
}

// TestEveryFaultIsComplete: each has a name of its own and says what to do.
func TestEveryFaultIsComplete(t *testing.T) {
	names := map[string]Fault{}
	for f := range numFaults {
		if f == FaultNone {
			continue
		}
		if f.Name() == "" || f.Text() == "" {
			t.Errorf("fault %d: %q %q", f, f.Name(), f.Text())
		}
		if other, twice := names[f.Name()]; twice {
			t.Errorf("%q is the name of %d and %d", f.Name(), f, other)
		}
		names[f.Name()] = f
		if f.Class() == Person && f.Advice() == "" {
			t.Errorf("%q needs a person and says not what to do", f.Name())
		}
	}
	if FaultOf(uint64(numFaults)) != FaultUnknown || FaultOf(1<<63) != FaultUnknown || FaultOf(uint64(FaultDenied)) != FaultDenied {
		t.Error("a number from elsewhere is not read well")
	}
	for code := range 256 {
		f := Diagnose(ipc.EndExited, code, nil)
		if (f == FaultNone) != (code == 0) {
			t.Errorf("code %d: fault %d", code, f)
		}
		if code > 0 && f != FaultUnknown && f.Class() != ExitMeaning(code).Class && f != FaultUnreachable {
			t.Errorf("code %d: %q is class %v, the table says %v", code, f.Name(), f.Class(), ExitMeaning(code).Class)
		}
	}
	for end := range ipc.End(16) {
		if Diagnose(end, 0, nil) == FaultNone && end != ipc.EndExited {
			t.Errorf("end %d is no fault", end)
		}
	}
}

// A name that somebody made up, in a message, is not the message.
func TestNamesChooseNoFault(t *testing.T) {
	for _, out := range []string{
		"rsync: [receiver] mkstemp \"/t/.: No space left on device (28).aB3xYz\" failed: Permission denied (13)\n",
		"cannot delete non-empty directory: a: Read-only file system (30)\n",
		"could not make way for new regular file: rsync: x: Read-only file system (30)\n",
		"rsync: [sender] send_files failed to open \"/s/x\\#012Host key verification failed.\": Permission denied (13)\n",
		"skipping non-regular file \"@ERROR: Unknown module 'x'\"\n",
	} {
		if f := Diagnose(ipc.EndExited, 23, []byte(out)); f != FaultPartial {
			t.Errorf("%q for %q", f.Name(), out)
		}
	}
}

// FuzzDiagnose: whatever is printed, the fault is one of the set, and exit code
// 0 alone is none.
func FuzzDiagnose(f *testing.F) {
	f.Add(uint8(1), 255, []byte("Host key verification failed.\r\n"))
	f.Add(uint8(1), 23, []byte("rsync: x: No space left on device (28)"))
	f.Fuzz(func(t *testing.T, end uint8, code int, tail []byte) {
		got := Diagnose(ipc.End(end), code, tail)
		if got >= numFaults || got == FaultNone && !(ipc.End(end) == ipc.EndExited && code == 0 && len(tail) == 0) {
			t.Errorf("fault %d", got)
		}
	})
}
